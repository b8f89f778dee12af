"""One conversation with a Hub: which one, how long we wait, what is tried again.

Everything is sent by huggingface_hub's client, with its token and its cache. It repeats some requests five
times and others never, and waits as long as it is told. While we talk, two hooks on it see to it that what
waiting may mend comes here, where it is tried again a little, the same for all.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from gantl_zoo.errors import ZooError
from gantl_zoo.hub.trouble import Asked, NoAnswer, Refused, explain, retry_after, status

if TYPE_CHECKING:
    from huggingface_hub import HfApi

T = TypeVar("T")
LIBRARY = "gantl-zoo"
PATIENCE = 60.0  # seconds that a server may stay silent; the client's own limits for downloads are shorter
LONGEST_WAIT = 30.0  # a rate limit beyond this is told, not slept through
PAUSES = (0.5, 1.0, 2.0)  # before a request is tried again after trouble that tends to pass
_lock, _talking = threading.Lock(), [0]
_unanswered: dict[tuple[int, str, str], int] = {}


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
    """Our rules hold on the client that huggingface_hub shares, for as long as we talk."""
    from huggingface_hub import get_session

    hooks = get_session().event_hooks
    if _before not in hooks["request"]:
        get_session().event_hooks = {
            "request": [*hooks["request"], _before],
            "response": [*hooks["response"], _after],
        }
    with _lock:
        _talking[0] += 1
        _unanswered.clear()
    try:
        yield
    finally:
        with _lock:
            _talking[0] -= 1


def _before(request: Any) -> None:
    """A request without a limit gets one; what stays without an answer is asked twice, not six times."""
    if not _talking[0]:
        return
    if not any(request.extensions.get("timeout", {}).values()):
        request.extensions["timeout"] = dict.fromkeys(("connect", "read", "write", "pool"), PATIENCE)
    key = (threading.get_ident(), request.method, str(request.url))
    _unanswered[key] = _unanswered.get(key, 0) + 1
    if _unanswered[key] > 2:
        raise NoAnswer("asked twice")


def _after(response: Any) -> None:
    """The client would sleep through a rate limit of an hour, and ask a broken server for half a minute."""
    if not _talking[0]:
        return
    request = response.request
    _unanswered.pop((threading.get_ident(), request.method, str(request.url)), None)
    if response.status_code == 429 or response.status_code >= 500:
        raise Refused(response)
