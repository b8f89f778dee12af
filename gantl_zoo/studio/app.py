"""`create_app`: the application with all pages."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from gantl_zoo.errors import ZooError
from gantl_zoo.studio import compare, explore, reports, share, train
from gantl_zoo.studio.guard import Guard, cookie_name, cookie_value, is_token
from gantl_zoo.studio.settings import Settings
from gantl_zoo.studio.web import HERE, Studio, form_of, on_error, on_missing, page, studio_of


async def home(request: Request) -> Response:
    """The start page is Explore."""
    return RedirectResponse("/explore", 303)


async def health(request: Request) -> Response:
    """Whether the studio answers."""
    return PlainTextResponse("ok")


async def login(request: Request) -> Response:
    """Take the token from the address that the terminal shows, or from a form."""
    settings = studio_of(request).settings
    given = (
        (await form_of(request)).get("token")
        if request.method == "POST"
        else request.query_params.get("token")
    )
    if not settings.token or (given and is_token(given, settings)):
        answer = RedirectResponse("/explore", 303)
        if settings.token:
            answer.set_cookie(cookie_name(settings), cookie_value(settings), httponly=True, samesite="strict")
        return answer
    message = "This is not the token." if given else ""
    return page(request, "login", 403 if given else 200, message=message, current="")


def create_app(settings: Settings) -> Starlette:
    """The application of a studio."""
    routes = [
        Route("/", home),
        Route("/health", health),
        Route("/login", login, methods=["GET", "POST"]),
        *explore.ROUTES,
        *train.ROUTES,
        *compare.ROUTES,
        *share.ROUTES,
        *reports.ROUTES,
        Mount("/static", StaticFiles(directory=HERE / "static"), name="static"),
    ]
    app = Starlette(
        routes=routes,
        middleware=[Middleware(Guard, settings=settings)],
        exception_handlers={ZooError: on_error, 404: on_missing},
    )
    app.state.studio = Studio(settings)
    return app
