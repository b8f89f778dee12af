"""The pages and pictures of Explore."""

from __future__ import annotations

from collections.abc import Callable

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gantl_zoo.errors import UsageError
from gantl_zoo.studio.models import about, choices
from gantl_zoo.studio.newest import Stale
from gantl_zoo.studio.pictures import METHODS, WALL, View, archive, images_of, latents_file, sheet
from gantl_zoo.studio.web import Studio, page, part, query, studio_of

PNG = "image/png"
LARGEST = 4096  # pixels of a sheet's width
# What can be saved: the type, the name of the file, and its content
FILES: dict[str, tuple[str, str, Callable[[Studio, View], bytes]]] = {
    "wall": (
        PNG,
        "wall.png",
        lambda studio, view: sheet(images_of(studio.models, view)[1], min(6, len(view.texts))),
    ),
    "picture": (PNG, "picture.png", lambda studio, view: sheet(images_of(studio.models, view)[1][:1], 1)),
    "zip": ("application/zip", "pictures.zip", lambda studio, view: archive(studio.models, view)),
    "latents": (
        "application/octet-stream",
        "latents.safetensors",
        lambda studio, view: latents_file(studio.models, view, images_of(studio.models, view)[0]),
    ),
}


async def explore(request: Request) -> Response:
    """The page: the choices, and the model that the address names."""
    studio, values = studio_of(request), query(request)
    known = await run_in_threadpool(choices, studio.settings)
    model = values.get("model") or studio.settings.model or default(known.releases)
    return page(
        request,
        "explore",
        current="explore",
        choices=known,
        model=model,
        wall=WALL,
        methods=METHODS,
        values=values,
    )


def default(releases: list[str]) -> str:
    """The model that is shown first."""
    return "dcgan-faces" if "dcgan-faces" in releases else next(iter(releases), "")


@part
async def model_part(request: Request) -> Response:
    """What is known of a model, and its controls."""
    studio, name = studio_of(request), query(request).get("model", "")
    gan = await run_in_threadpool(studio.models.gan, name)
    return page(
        request,
        "model",
        about=await run_in_threadpool(about, gan),
        mapped=hasattr(gan.generator, "synthesize"),
    )


@part
async def directions_part(request: Request) -> Response:
    """A slider for each direction of a model."""
    studio, view = studio_of(request), View.of(query(request))
    directions = await studio.newest.run("", 0, lambda: studio.models.directions(view.model, view.method))
    return page(
        request, "directions", shares=[float(value) for value in directions.values], method=view.method
    )


async def picture_sheet(request: Request) -> Response:
    """A PNG of all pictures of a view, side by side; 204 if a newer request has replaced this one."""
    studio, values = studio_of(request), query(request)
    view = View.of(values)
    turn = values.get("turn", "0")
    if not (turn.isascii() and turn.isdecimal() and len(turn) < 16):
        raise UsageError("turn must be a whole number")
    columns = max(1, min(len(view.texts), 8))

    def work() -> bytes:
        return sheet(images_of(studio.models, view, exact=False)[1], columns)

    try:
        content = await studio.newest.run(values.get("view", "")[:80], int(turn), work)
    except Stale:
        return Response(status_code=204)
    return Response(content, media_type=PNG, headers={"X-Columns": str(columns)})


async def save(request: Request) -> Response:
    """A file with the pictures of a view, or their latents."""
    studio, view = studio_of(request), View.of(query(request))
    if (what := request.path_params["what"]) not in FILES:
        raise UsageError(f"can save {', '.join(FILES)}, not {what}")
    kind, name, make = FILES[what]
    content = await studio.newest.run("", 0, lambda: make(studio, view))
    return Response(
        content, media_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )


ROUTES = [
    Route("/explore", explore),
    Route("/explore/model", model_part),
    Route("/explore/directions", directions_part),
    Route("/explore/sheet.png", picture_sheet),
    Route("/explore/save/{what}", save),
]
