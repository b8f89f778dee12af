"""Run the application: a socket, limits for slow clients, and a stop that lets running requests finish."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from gantl_zoo.errors import UsageError

HEADERS_WITHIN = 30.0  # seconds in which a new client must have sent its first request
READ_WITHIN = 60.0  # seconds that a client may take for the rest of the last answer
MOST_CLIENTS = 512  # connections; more get the status 503
MOST_HEADERS = 16_384  # bytes
STOP_WITHIN = 10  # seconds for running requests
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Patient(H11Protocol):
    """An HTTP connection of a client that may be slow, but not for ever."""

    def connection_made(self, transport: Any) -> None:
        """Called at the start."""
        super().connection_made(transport)
        self.loop.call_later(HEADERS_WITHIN, self.close_unless_asked)

    def close_unless_asked(self) -> None:
        """Close the connection if no request has come."""
        if self.cycle is None:
            self.transport.close()

    def timeout_keep_alive_handler(self) -> None:
        """Called when no further request comes: close, and drop what the client does not read."""
        super().timeout_keep_alive_handler()
        self.loop.call_later(READ_WITHIN, self.transport.abort)


class Server(uvicorn.Server):
    """A server that calls `ready` when it listens, and ends normally after SIGINT or SIGTERM."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self.ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen."""
        await super().startup(sockets)
        if self.started:
            self.ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at a signal; uvicorn itself would raise it again afterwards."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {
            number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises `UsageError` if the address can't be used."""
    if not 0 <= port < 1 << 16:
        raise UsageError(f"a port is from 0 to 65,535, not {port}; choose another --port")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise UsageError(
            f"can't listen on {host} port {port}: {error.strerror or error}; choose another --port"
        ) from None


def server(app: Any, ready: Callable[[], None]) -> Server:
    """A server of an application, not yet running."""
    config = uvicorn.Config(
        app,
        http=Patient,
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=MOST_CLIENTS,
        h11_max_incomplete_event_size=MOST_HEADERS,
        timeout_graceful_shutdown=STOP_WITHIN,
    )
    return Server(config, ready)


def serve(app: Any, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM. `ready` is called with the address. Port 0 means a free one."""
    with listen(host, port) as listening:
        name = f"[{host}]" if ":" in host else host
        address = f"http://{name}:{listening.getsockname()[1]}"
        server(app, lambda: ready(address)).run([listening])
