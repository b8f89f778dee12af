"""One conversation with a Hub: which one, how long we wait, what is tried again.

Everything is sent by huggingface_hub's client, with its token and its cache. It repeats some requests five
times and others never, and waits as long as it is told. While we talk, two hooks on it see to it that what
waiting may mend comes here, where it is tried again a little, the same for all. They touch only what a thread
sends that talks for us, and are gone when none does.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar
from urllib.parse import urlsplit

from gantl_zoo.errors import HubError, ZooError
from gantl_zoo.hub.errors import Asked, NoAnswer, Refused, explain, retry_after, status
from gantl_zoo.storage.card.metadata import LIBRARY
from gantl_zoo.storage.untrusted import printable

if TYPE_CHECKING:
    from huggingface_hub import HfApi

T = TypeVar("T")


class HubOptions(TypedDict, total=False):
    """How to reach the Hub, in huggingface_hub's words."""

    token: str | bool | None  # None: HF_TOKEN or the stored one; False: none
    cache_dir: str | Path | None  # None: the Hub's usual cache
    local_files_only: bool  # take what the cache has, and send nothing


PATIENCE = 60.0  # seconds that a server may stay silent; the client's own limits for downloads are shorter
LONGEST_WAIT = 30.0  # a rate limit beyond this is told, not slept through
PAUSES = (0.5, 1.0, 2.0)  # before a request is tried again after trouble that tends to pass
_lock, _talking = threading.Lock(), [0]  # how many threads talk


class Here(threading.local):
    """How often this thread has asked what without an answer; None while it doesn't talk for us."""

    unanswered: dict[tuple[str, str], int] | None = None


_here = Here()


def endpoint_of(endpoint: str | None = None) -> str:
    """The Hub's address: the argument, `HF_ENDPOINT` as it is now, or the public Hub. Raises `HubError`."""
    from huggingface_hub import constants

    address = (endpoint or os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")
    try:
        parts = urlsplit(address)
        right = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:  # brackets, a port that is no number
        right = False
    if not right:
        shown = printable(address.rpartition("@")[2])  # without the password that it may hold
        raise HubError(f"{shown!r} is no address of a Hub; --endpoint and HF_ENDPOINT are like https://HOST")
    return address


def is_offline() -> bool:
    """Whether `HF_HUB_OFFLINE` is set now, or was when huggingface_hub was imported."""
    from huggingface_hub import constants

    now = os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}
    return bool(constants.HF_HUB_OFFLINE) or now


def api(endpoint: str | None = None, token: str | bool | None = None) -> HfApi:
    """The Hub's client. Without a `token` it finds one itself: `HF_TOKEN`, or what `hf auth login` stored;
    False sends none.
    """
    from huggingface_hub import HfApi

    return HfApi(endpoint=endpoint_of(endpoint), token=token, library_name=LIBRARY)


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
    """Our rules hold for what this thread sends through the client that huggingface_hub shares."""
    with _lock:
        _talking[0] += 1
        _hook()
    before, _here.unanswered = _here.unanswered, {}
    try:
        yield
    finally:
        _here.unanswered = before
        with _lock:
            _talking[0] -= 1
            _hook()


def _hook() -> None:
    """The client (which may be a new one by now) has our hooks if and only if somebody talks."""
    from huggingface_hub import get_session

    client = get_session()
    for kind, ours in (("request", _before), ("response", _after)):
        others = [hook for hook in client.event_hooks[kind] if hook is not ours]
        client.event_hooks = client.event_hooks | {kind: [*others, ours] if _talking[0] else others}


def _before(request: Any) -> None:
    """A request without a limit gets one; what stays without an answer is asked twice, not six times."""
    if _here.unanswered is None:
        return
    if not any(request.extensions.get("timeout", {}).values()):
        request.extensions["timeout"] = dict.fromkeys(("connect", "read", "write", "pool"), PATIENCE)
    key = (request.method, str(request.url))
    _here.unanswered[key] = _here.unanswered.get(key, 0) + 1
    if _here.unanswered[key] > 2:
        raise NoAnswer("asked twice")


def _after(response: Any) -> None:
    """The client would sleep through a rate limit of an hour, and ask a broken server for half a minute."""
    if _here.unanswered is None:
        return
    _here.unanswered.pop((response.request.method, str(response.request.url)), None)
    if response.status_code == 429 or response.status_code >= 500:
        raise Refused(response)
