"""`serve`: listen, say where, and answer until Ctrl-C."""

from __future__ import annotations

import secrets
import socket
import sys
import threading
import webbrowser
from dataclasses import replace

from gantl_zoo.errors import UsageError
from gantl_zoo.studio.settings import Settings

NEEDED = "the studio needs other packages: pip install 'gantl_zoo[studio]'"


def serve(settings: Settings, *, browser: bool = False) -> None:
    """Serve the studio until it is interrupted. Prints its address on standard output.

    Raises `UsageError` if the extra `studio` is missing, if the root does not exist, or if the port is taken.
    """
    try:
        import uvicorn

        from gantl_zoo.studio.app import create_app
        from gantl_zoo.studio.guard import is_loopback
    except ImportError as error:
        raise UsageError(f"{NEEDED} ({error})") from error
    if not settings.root.is_dir():
        raise UsageError(f"there is no folder {settings.root}")
    with listening(settings.host, settings.port) as listener:
        settings = replace(settings, port=listener.getsockname()[1])
        if not is_loopback(settings.host) and not settings.token:
            settings = replace(settings, token=secrets.token_urlsafe(24))
        address = address_of(settings)
        print(address, flush=True)
        print("Ctrl-C stops the studio; runs go on.", file=sys.stderr, flush=True)
        if browser:
            threading.Timer(1.0, webbrowser.open, [address]).start()
        config = uvicorn.Config(
            create_app(settings),
            log_level="warning",
            access_log=False,
            server_header=False,
            ws="none",
            lifespan="off",
        )
        uvicorn.Server(config).run(sockets=[listener])


def listening(host: str, port: int) -> socket.socket:
    """A socket bound to an address. Raises `UsageError` if that is impossible."""
    if not 0 <= port < 1 << 16:
        raise UsageError(f"a port is a number from 0 to 65535, not {port}")
    listener = None
    try:
        address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(address[0], address[1])
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address[4])
        return listener
    except OSError as error:
        if listener is not None:
            listener.close()
        raise UsageError(
            f"can't listen on {host}, port {port} ({error.strerror or error}): another studio may be open "
            "there; choose another port with --port N, or --port 0 for any free one"
        ) from error


def address_of(settings: Settings) -> str:
    """The address to open, with the token if one is needed."""
    host = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(settings.host, settings.host)
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{settings.port}/" + (f"login?token={settings.token}" if settings.token else "")
