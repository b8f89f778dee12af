"""The page of Compare: two models, or a model and its source, with the same seeds."""

from __future__ import annotations

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gantl_zoo.errors import ZooError
from gantl_zoo.studio.models import Models, about, base_of, choices
from gantl_zoo.studio.pictures import whole
from gantl_zoo.studio.points import parsed
from gantl_zoo.studio.web import page, part, query, studio_of

SEEDS = "0-11"


async def compare(request: Request) -> Response:
    """The page with the choice of two models."""
    studio, values = studio_of(request), query(request)
    known = await run_in_threadpool(choices, studio.settings)
    first = values.get("a") or studio.settings.model or next(iter(known.runs), "dcgan-fashion-mnist")
    return page(
        request,
        "compare",
        current="compare",
        choices=known,
        a=first,
        b=values.get("b", ""),
        values=values,
        seeds=SEEDS,
    )


@part
async def both(request: Request) -> Response:
    """Both models: what they are, their pictures and their metrics."""
    studio, values = studio_of(request), query(request)
    seeds, label = values.get("seeds") or SEEDS, values.get("label", "")
    parsed(seeds)
    if label:
        whole("class", label)
    result = await studio.newest.run(
        "", 0, lambda: facts(studio.models, values.get("a", ""), values.get("b", ""))
    )
    return page(request, "both", seeds=seeds, label=label, **result)


def pair(models: Models, a: str, b: str) -> tuple[str, str]:
    """The names of the two models; the second is by default the source of the first, "" without one."""
    return a, b or base_of(models.gan(a))


def facts(models: Models, a: str, b: str) -> dict[str, Any]:
    """The two models, a note on their seeds, and the rows of their metrics. `b` is by default a's source."""
    a, b = pair(models, a, b)
    first = models.gan(a)
    if not b:
        return {
            "sides": [side(a, first)],
            "note": f"{first.name} has no source; choose a second model.",
            "metrics": metrics_of(first),
        }
    try:
        second = models.gan(b)
    except ZooError as error:
        return {"sides": [side(a, first)], "note": str(error), "metrics": metrics_of(first)}
    note = ""
    if first.latent_dim != second.latent_dim:
        note = "The latents have different sizes, so that the same seeds have nothing in common."
    return {"sides": [side(a, first), side(b, second)], "note": note, "metrics": metrics_of(first, second)}


def side(text: str, gan: Any) -> dict[str, Any]:
    """One model of a comparison."""
    return {"model": text, **about(gan)}


def metrics_of(*gans: Any) -> list[dict[str, Any]]:
    """One row for each metric that a folder has: the values of both models, their floors, what is better."""
    rows: dict[str, dict[str, Any]] = {}
    for column, gan in enumerate(gans):
        for result in gan.metrics:
            key = result["name"]
            row = rows.setdefault(key, {"name": key, "values": ["", ""], "floors": ["", ""], "on": ["", ""]})
            row["values"][column], row["better"] = f"{result['value']:.4g}", result.get("better", "")
            floor = result.get("floor")
            row["floors"][column] = "" if floor is None else f"{floor:.4g}"
            row["on"][column] = result.get("data_fingerprint", "")
    for row in rows.values():
        row["comparable"] = bool(row["on"][0]) and row["on"][0] == row["on"][1]
    return list(rows.values())


ROUTES = [Route("/compare", compare), Route("/compare/both", both)]
