"""The HTML page: a template, filled with the parts of each run or model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gantl_zoo.runs.report.contents import Contents, comparison_of
from gantl_zoo.runs.report.pictures import WIDE, Figure, encoded, figures, spread
from gantl_zoo.runs.report.svg import curves, together
from gantl_zoo.runs.report.words import FLOOR, meanings
from gantl_zoo.version import VERSION
from gantl_zoo.viz.curves import names

if TYPE_CHECKING:
    from jinja2 import Template

HERE = Path(__file__).parent
LIMIT = 2_600_000  # bytes of all pictures of a page, so that it stays under 3 MB
SHARES = {"frames": 0.5, "pairs": 0.2, "others": 0.3}  # of the limit


@dataclass(frozen=True)
class Part:
    """One run or model on the page. The curves are SVG, the figures have their pictures in them."""

    about: Contents
    key: str
    frames: list[Figure]
    pair: list[Figure]
    figures: list[Figure]
    curves: list[str]
    compared: list[str]
    meanings: list[tuple[str, str]]

    @property
    def of_classes(self) -> list[str]:
        """The metrics of single classes, which are folded."""
        return [name for name in self.about.floors if "[" in name]

    @property
    def on(self) -> str:
        """What all metrics were measured on; "" if they differ."""
        texts = {str(metric.get("on") or "") for metric in self.about.metrics}
        return texts.pop() if len(texts) == 1 else ""


def html(all_contents: Sequence[Contents]) -> str:
    """One self-contained page about a few runs or models."""
    from markupsafe import Markup

    parts = [part_of(one, f"p{i}", LIMIT // len(all_contents)) for i, one in enumerate(all_contents)]
    files = {name: Markup((HERE / f"page.{name}").read_text(encoding="utf-8")) for name in ("css", "js")}
    return template().render(
        parts=parts,
        title=" and ".join(one.title for one in all_contents[:3]) + (" …" if len(all_contents) > 3 else ""),
        compared=compared(all_contents),
        floor=FLOOR,
        version=VERSION,
        svg=Markup,
        **files,
    )


@cache
def template() -> Template:
    """The template of the page, which takes longer to compile than to fill."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["number"] = number
    return environment.get_template("page.html.j2")


def part_of(about: Contents, key: str, limit: int) -> Part:
    """The pictures, curves and words of one run or model, in about `limit` bytes."""
    room = {name: int(limit * share) for name, share in SHARES.items()}
    frames = spread(about.frames)
    shown = [(f"step {step:,}", path) for step, path in frames]
    pair = []
    if len(frames) > 1 and about.records.config.get("verb") == "transfer":
        first, last = frames[0], frames[-1]
        pair = [(f"before: the source, step {first[0]}", first[1]), (f"after: step {last[0]:,}", last[1])]
    own = figures(other_pictures(about), room["others"], WIDE) if about.is_run else samples(about, limit)
    records = about.records
    drawn = curves(records.stats, records.metrics, about.floors, records.chance, key) if about.is_run else []
    compared = comparison_of(about.folder) if about.is_run else []
    means = meanings(str(one["name"]) for one in about.metrics)
    return Part(
        about, key, figures(shown, room["frames"]), figures(pair, room["pairs"]), own, drawn, compared, means
    )


def other_pictures(about: Contents) -> list[tuple[str, Path]]:
    """The pictures of a run besides its samples by step, each with a caption."""
    captions = {
        "comparison.png": "Real images, the source, the result of this run, and training from scratch",
        "nearest.png": "Samples (left) beside their nearest training images: copies would be equal",
        "reals.png": "Training images",
    }
    pictures = [(text, about.picture(name)) for name, text in captions.items()]
    strips = sorted(about.folder.glob("directions/*.png"))
    return pictures + [(f"Direction {path.stem}", path) for path in strips]


def samples(about: Contents, limit: int) -> list[Figure]:
    """A grid of samples of a model that has no run."""
    if about.model.get("kind") != "gan":
        return []
    from gantl_zoo.model.gan import load_gan
    from gantl_zoo.runs.pictures import picture

    return encoded(
        [("Samples of the first seeds", picture(load_gan(about.folder, discriminator=False)))], limit
    )


def compared(all_contents: Sequence[Contents]) -> dict[str, Any] | None:
    """A table of several runs or models, and the curve of a metric that more than one has."""
    if len(all_contents) < 2:
        return None
    shared = [name for name in names([one.floors for one in all_contents]) if is_shared(name, all_contents)]
    rows = [{name: value_of(one, name) for name in shared} for one in all_contents]
    table = [(f"p{i}", one, row) for i, (one, row) in enumerate(zip(all_contents, rows, strict=True))]
    runs = distinct({f"{i}": one for i, one in enumerate(all_contents)})
    metric = next(
        (name for name in shared if sum(name in names(r.records.metrics) for r in all_contents) > 1), ""
    )
    curve = together({k: one.records.metrics for k, one in runs.items() if one.is_run}, metric,
                     all_contents[0].floors.get(metric)) if metric else ""  # fmt: skip
    return {"names": shared, "rows": table, "curve": curve}


def is_shared(name: str, all_contents: Sequence[Contents]) -> bool:
    """Whether more than one of them has this metric."""
    return sum(name in one.floors for one in all_contents) > 1


def value_of(one: Contents, name: str) -> float | None:
    """The kept model's value of a metric."""
    return next((float(metric["value"]) for metric in one.metrics if metric["name"] == name), None)


def distinct(runs: Mapping[str, Contents]) -> dict[str, Contents]:
    """The runs by title; a number is added to a title that occurs twice."""
    named: dict[str, Contents] = {}
    for one in runs.values():
        title = one.title
        while title in named:
            title += " (2)"
        named[title] = one
    return named


def number(value: Any) -> str:
    """A number of a table; "" for none."""
    return "" if value is None else f"{value:.4g}"
