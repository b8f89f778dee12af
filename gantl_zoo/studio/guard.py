"""The guard before all pages: Host, Origin, the token, the size of a request, and headers for the browser.

- Host: only addresses and names of this machine, so that a page whose name was pointed to 127.0.0.1 (DNS
  rebinding) reads nothing.
- Origin and Sec-Fetch-Site: another site can neither send a form nor embed or fetch anything.
- The token: needed where the studio is reachable from other machines.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import socket
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gantl_zoo.studio.settings import Settings

MOST = 1 << 20  # bytes of a request without images
IMAGES = "/train/images"
OPEN = ("/login", "/static/")  # reachable without the token
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self' blob: data:; style-src 'self'; "
    "script-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class TooLarge(Exception):
    """A request's body is above the limit."""


class Guard:
    """ASGI middleware that answers what is not allowed, and passes on the rest."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app, self.settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for key, value in HEADERS.items():
                    headers.setdefault(key, value)
            await send(message)

        request = Request(scope)
        limit = self.settings.most_sent if scope["path"] == IMAGES else MOST
        if (refused := self.refusal(request, limit)) is not None:
            await refused(scope, receive, answer)
            return
        try:
            await self.app(scope, counted(receive, limit), answer)
        except TooLarge:
            await PlainTextResponse(f"a request may have {limit:,} bytes", 413)(scope, receive, answer)

    def refusal(self, request: Request, limit: int) -> Response | None:
        """The answer to a request that is not allowed, else None."""
        headers, method = request.headers, request.method
        if not is_own(headers.get("host", ""), self.settings):
            return PlainTextResponse("this name is not one of the studio's addresses", 421)
        if foreign(headers, method, request.url.path):
            return PlainTextResponse("requests from other sites are refused; open the studio itself", 403)
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > limit:
            return PlainTextResponse(f"a request may have {limit:,} bytes", 413)
        if (
            self.settings.token
            and not request.url.path.startswith(OPEN)
            and not admitted(request, self.settings)
        ):
            if method == "GET":
                return RedirectResponse("/login", 303)
            return PlainTextResponse("the token is missing: log in", 401)
        return None


def counted(receive: Receive, limit: int) -> Receive:
    """`receive`, which raises `TooLarge` when the body has more than `limit` bytes."""
    seen = 0

    async def limited() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > limit:
            raise TooLarge
        return message

    return limited


def is_own(host: str, settings: Settings) -> bool:
    """Whether a Host header is an address or a name of this machine.

    On loopback these are its addresses and localhost; else all addresses, the machine's name and `--host`.
    """
    name = urlsplit(f"//{host}").hostname if is_plain(host) else None
    if not name:
        return False
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        machine = socket.gethostname().lower()
        names = (
            {settings.host.lower(), machine, f"{machine}.local"} if not is_loopback(settings.host) else set()
        )
        return name == "localhost" or name in names
    return address.is_loopback or not is_loopback(settings.host)


def is_plain(host: str) -> bool:
    """Whether a Host header can be parsed: a name or an address, and a port."""
    try:
        urlsplit(f"//{host}").port  # noqa: B018  # raises for an invalid port
    except ValueError:
        return False
    return not set(host) & set("/?#@\\ ,")


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is reachable from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def foreign(headers: Headers, method: str, path: str) -> bool:
    """Whether a request was caused by another site: a link to the start page is all that it may have."""
    site, own = headers.get("sec-fetch-site"), f"http://{headers.get('host', '')}"
    if method not in ("GET", "HEAD"):
        return headers.get("origin") != own
    if headers.get("origin") not in (None, own):
        return True
    navigates = headers.get("sec-fetch-mode") == "navigate" and path in ("/", "/login")
    return site in ("cross-site", "same-site") and not navigates


def cookie_name(settings: Settings) -> str:
    """The name of the cookie; cookies do not distinguish ports, so the name does."""
    return f"gantl_zoo_studio_{settings.port}"


def cookie_value(settings: Settings) -> str:
    """What the cookie holds in place of the token."""
    return hmac.new(settings.token.encode(), b"gantl_zoo studio", hashlib.sha256).hexdigest()


def admitted(request: Request, settings: Settings) -> bool:
    """Whether a visitor has logged in."""
    given = request.cookies.get(cookie_name(settings), "")
    return hmac.compare_digest(given.encode(), cookie_value(settings).encode())


def is_token(text: str, settings: Settings) -> bool:
    """Whether this is the token."""
    return hmac.compare_digest(text.encode(), settings.token.encode())
