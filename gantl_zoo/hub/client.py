"""One conversation with a Hub: which one, how long we wait, what is tried again.

Everything is sent by huggingface_hub's client, with its token and its cache. Two things it leaves open are
settled here: a request without a time limit gets one, and nobody sleeps through a rate limit of an hour.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from gantl_zoo.errors import ZooError
from gantl_zoo.hub.trouble import Asked, RateLimited, explain, retry_after, status

if TYPE_CHECKING:
    from huggingface_hub import HfApi

T = TypeVar("T")
LIBRARY = "gantl-zoo"
PATIENCE = 60.0  # seconds that a server may stay silent; the client's own limits for downloads are shorter
LONGEST_WAIT = 30.0  # a rate limit beyond this is told, not slept through
PAUSES = (0.5, 1.0, 2.0)  # before a request is tried again after trouble that tends to pass
_lock, _talking = threading.Lock(), [0]


def endpoint_of(endpoint: str | None = None) -> str:
    """The Hub's address: the argument, or `HF_ENDPOINT` as it is now, or the public Hub."""
    from huggingface_hub import constants

    return (endpoint or os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")


def is_offline() -> bool:
    """Whether `HF_HUB_OFFLINE` is set now, or was when huggingface_hub was imported."""
    from huggingface_hub import constants

    now = os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}
    return bool(constants.HF_HUB_OFFLINE) or now


def api(endpoint: str | None = None) -> HfApi:
    """The Hub's client. It finds the token itself: `HF_TOKEN`, or what `hf auth login` stored."""
    from huggingface_hub import HfApi

    return HfApi(endpoint=endpoint_of(endpoint), library_name=LIBRARY)


def ask(asked: Asked, call: Callable[[], T], *, again: bool = True) -> T:
    """What `call` returns. Trouble that tends to pass is tried again, if `again`; else `HubError`."""
    if is_offline():
        from huggingface_hub.errors import OfflineModeIsEnabled

        raise explain(OfflineModeIsEnabled(), asked)
    for pause in (*PAUSES, None) if again else (None,):
        try:
            with _patience():
                return call()
        except ZooError:
            raise
        except Exception as error:
            wait = None if pause is None else _worth_waiting(error, pause)
            if wait is None:
                raise explain(error, asked) from error
            time.sleep(wait)
    raise AssertionError("the last round returns or raises")


def _worth_waiting(error: Exception, pause: float) -> float | None:
    """Seconds after which `error` may be gone, or None."""
    code = status(error)
    if code == 429:
        told = retry_after(error)
        return pause if told is None else told if told <= LONGEST_WAIT else None
    cut = {"RemoteProtocolError", "ReadError", "WriteError"} & {kind.__name__ for kind in type(error).__mro__}
    return pause if cut or (code is not None and code >= 500) else None


@contextmanager
def _patience() -> Iterator[None]:
    """Our limits hold on the client that huggingface_hub shares, for as long as we talk."""
    from huggingface_hub import get_session

    hooks = get_session().event_hooks
    if _limit not in hooks["request"]:
        get_session().event_hooks = {
            "request": [*hooks["request"], _limit],
            "response": [*hooks["response"], _notice],
        }
    with _lock:
        _talking[0] += 1
    try:
        yield
    finally:
        with _lock:
            _talking[0] -= 1


def _limit(request: Any) -> None:
    limits = request.extensions.get("timeout", {})
    if _talking[0] and not any(limits.values()):
        request.extensions["timeout"] = dict.fromkeys(("connect", "read", "write", "pool"), PATIENCE)


def _notice(response: Any) -> None:
    """The client obeys any Retry-After; ours only a short one."""
    if _talking[0] and response.status_code == 429:
        limited = RateLimited(response)
        if (retry_after(limited) or 0) > LONGEST_WAIT:
            raise limited
