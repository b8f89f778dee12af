"""The web application: `/generate`, `/health`, `/metrics`, and a page that describes them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gantl_zoo.errors import UsageError
from gantl_zoo.serve import pages
from gantl_zoo.serve.answers import encode
from gantl_zoo.serve.batching import Batcher, Busy, Source
from gantl_zoo.serve.counts import Counts
from gantl_zoo.serve.query import FORMATS, NotAcceptable, Query, parse

MOST = 256  # images of a request
LIMIT = 1024  # images that wait
CLIENT_GONE = 499  # as in nginx
JSON = "application/json"
SAFE = {"X-Content-Type-Options": "nosniff"}
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; form-action 'self'"


@dataclass(frozen=True)
class Service:
    """The state of the application."""

    source: Source
    most: int
    counts: Counts
    batcher: Batcher


def application(
    source: Source,
    *,
    most: int = MOST,
    limit: int = LIMIT,
    hosts: Sequence[str] | None = None,
    workers: int = 1,
    divide: Callable[[int], None] | None = None,
) -> Starlette:
    """The application that serves `source`.

    `most` is the number of images that a request may ask for, `limit` how many may wait in all. With `hosts`,
    requests with another Host header are refused, so that no web page can reach a private service. For
    `workers` and `divide` see `Batcher`.
    """
    counts = Counts()
    batcher = Batcher(source, max(limit, most), counts, workers=workers, divide=divide)
    service = Service(source, most, counts, batcher)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        worker = asyncio.create_task(batcher.run())
        try:
            yield
        finally:
            worker.cancel()
            batcher.threads.shutdown()

    routes = [
        Route("/", page),
        Route("/generate", generate),
        Route("/health", health),
        Route("/metrics", metrics),
        Route("/openapi.json", openapi),
    ]
    trusted: Any = {"allowed_hosts": list(hosts or []), "www_redirect": False}
    guards = [Middleware(TrustedHostMiddleware, **trusted)] if hosts else []
    handlers: Any = {HTTPException: refused, Exception: failed}
    app = Starlette(routes=routes, middleware=guards, exception_handlers=handlers, lifespan=lifespan)
    app.state.service = service
    return app


def service_of(request: Request) -> Service:
    """The state of a request's application."""
    service: Service = request.app.state.service
    return service


async def generate(request: Request) -> Response:
    """The images of seeds."""
    service, start = service_of(request), time.perf_counter()
    try:
        accept = request.headers.get("accept", "")
        query = parse(request.query_params.multi_items(), accept, service.source, service.most)
        content = await unless_gone(request, service, query)
    except UsageError as error:
        return problem(request, 400, str(error))
    except NotAcceptable as error:
        return problem(request, 406, str(error))
    except Busy as error:
        return problem(request, 429, str(error), {"Retry-After": str(error.seconds)})
    if content is None:
        service.counts.gone += 1
        return answer(request, b"", JSON, CLIENT_GONE)
    service.counts.answered(time.perf_counter() - start)
    return answer(request, content, FORMATS[query.format], headers={"Vary": "Accept"})


async def unless_gone(request: Request, service: Service, query: Query) -> bytes | None:
    """The answer to a query; None if the client hangs up before it is there."""

    async def work() -> bytes:
        images = await service.batcher.images(query.seeds, query.labels, query.truncation)
        return await asyncio.to_thread(encode, images, query, service.source.name)

    content, gone = asyncio.ensure_future(work()), asyncio.ensure_future(hung_up(request))
    try:
        await asyncio.wait({content, gone}, return_when=asyncio.FIRST_COMPLETED)
        return content.result() if content.done() else None
    finally:
        content.cancel()
        gone.cancel()


async def hung_up(request: Request) -> None:
    """Wait until the client hangs up. What it sends is dropped."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def health(request: Request) -> Response:
    """What is served."""
    service = service_of(request)
    facts = pages.facts(service.source) | {"status": "ok", "waiting": service.counts.waiting}
    return answer(request, json.dumps(facts).encode(), JSON)


async def metrics(request: Request) -> Response:
    """Counters, in the text format of Prometheus."""
    text = service_of(request).counts.text()
    return answer(request, text.encode(), "text/plain; version=0.0.4; charset=utf-8")


async def openapi(request: Request) -> Response:
    """The description of the service for programs."""
    service = service_of(request)
    return answer(request, json.dumps(pages.openapi(service.source, service.most)).encode(), JSON)


async def page(request: Request) -> Response:
    """The description of the service for people."""
    service = service_of(request)
    text = pages.page(service.source, service.most)
    return answer(
        request, text.encode(), "text/html; charset=utf-8", headers={"Content-Security-Policy": POLICY}
    )


def answer(
    request: Request, content: bytes, kind: str, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """A response, which is counted."""
    service_of(request).counts.answers[status] += 1
    return Response(content, status, headers=SAFE | (headers or {}), media_type=kind)


def problem(request: Request, status: int, text: str, headers: dict[str, str] | None = None) -> Response:
    """An error as JSON."""
    return answer(request, json.dumps({"error": text}).encode(), JSON, status, headers)


async def refused(request: Request, error: HTTPException) -> Response:
    """An unknown path, or a method other than GET."""
    text = "unknown path; / describes the service" if error.status_code == 404 else error.detail
    return problem(request, error.status_code, text, dict(error.headers or {}))


async def failed(request: Request, error: Exception) -> Response:
    """The model failed."""
    return problem(request, 500, f"{type(error).__name__} while the images were computed")
