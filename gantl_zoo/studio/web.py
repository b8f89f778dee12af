"""What all pages share: the studio of an application, templates, answers, errors."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.templating import Jinja2Templates

from gantl_zoo.errors import ZooError
from gantl_zoo.studio.models import Models
from gantl_zoo.studio.newest import Newest
from gantl_zoo.studio.queue import Queue
from gantl_zoo.studio.settings import Settings
from gantl_zoo.version import VERSION

HERE = Path(__file__).parent
PAGES = (("explore", "Explore"), ("train", "Train"), ("compare", "Compare"), ("share", "Share"))
Handler = Callable[[Request], Awaitable[Response]]


@dataclass
class Studio:
    """The parts that requests share."""

    settings: Settings
    models: Models = field(init=False)
    queue: Queue = field(init=False)
    newest: Newest = field(default_factory=Newest)
    templates: Jinja2Templates = field(init=False)

    def __post_init__(self) -> None:
        self.models, self.queue = Models(self.settings), Queue(self.settings)
        self.templates = Jinja2Templates(HERE / "templates")
        self.templates.env.globals |= {"pages": PAGES, "version": VERSION, "root": str(self.settings.root)}


def studio_of(request: Request) -> Studio:
    """The studio that answers a request."""
    return cast(Studio, request.app.state.studio)


def page(request: Request, name: str, status: int = 200, **values: Any) -> Response:
    """A page or a part of one."""
    return studio_of(request).templates.TemplateResponse(request, f"{name}.html", values, status_code=status)


def query(request: Request) -> dict[str, str]:
    """The values of an address, the last one of each name."""
    return {key: value[:4096] for key, value in request.query_params.items()}


async def form_of(request: Request) -> dict[str, str]:
    """The values of a form without files."""
    async with request.form(max_files=0, max_fields=50) as form:
        return {key: value[:4096] for key, value in form.items() if isinstance(value, str)}


def part(handler: Handler) -> Handler:
    """A handler of a part of a page: an error becomes its text, which a screen reader announces."""

    @functools.wraps(handler)
    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except ZooError as error:
            return page(request, "alert", message=str(error))

    return answer


async def on_error(request: Request, error: Exception) -> Response:
    """The answer to a request that can't be met: a page, or the text alone for a program."""
    status = 404 if request.method == "GET" and "/runs/" in request.url.path else 400
    if "text/html" in request.headers.get("accept", ""):
        return page(request, "error", status, message=str(error), current="")
    return JSONResponse({"error": str(error)}, status)


async def on_missing(request: Request, error: Exception) -> Response:
    """The answer for an address that does not exist."""
    if "text/html" not in request.headers.get("accept", ""):
        return HTMLResponse("not found", 404)
    return page(request, "error", 404, message="This page does not exist.", current="")
