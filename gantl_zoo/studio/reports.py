"""The report on a run, or on two models, as `gantl-zoo report` writes it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from gantl_zoo.studio.compare import pair
from gantl_zoo.studio.runs import folder_named
from gantl_zoo.studio.web import query, studio_of

# A report has its own styles and scripts. The sandbox keeps them away from the studio.
POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "frame-ancestors 'none'; sandbox allow-scripts"
)


def answer(text: str) -> Response:
    """The page of a report."""
    return HTMLResponse(text, headers={"Content-Security-Policy": POLICY})


def written(*sources: str | Path) -> str:
    """A new report. Raises what `write_report` raises."""
    from gantl_zoo.runs.report.write import write_report

    with tempfile.TemporaryDirectory() as place:
        return write_report(*sources, to=Path(place) / "report.html").read_text(encoding="utf-8")


async def of_run(request: Request) -> Response:
    """The report that a run wrote at its end, else one on the run as it is now."""
    studio = studio_of(request)
    folder = folder_named(studio.settings, request.path_params["name"])
    path = folder / "report.html"
    if path.is_file() and not path.is_symlink():
        return answer(path.read_text(encoding="utf-8", errors="replace"))
    return answer(await studio.newest.run("", 0, lambda: written(folder)))


async def of_two(request: Request) -> Response:
    """A report that compares two models."""
    studio, values = studio_of(request), query(request)

    def work() -> str:
        names = [name for name in pair(studio.models, values.get("a", ""), values.get("b", "")) if name]
        return written(*(studio.models.report_source(name) for name in names))

    return answer(await studio.newest.run("", 0, work))


ROUTES = [Route("/runs/{name}/report", of_run), Route("/compare/report", of_two)]
