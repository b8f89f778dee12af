"""Requests to a Hub: its address, the time limit, and the retries.

All requests go through huggingface_hub's client, with its token and its cache. The client itself repeats some
requests five times and others never, and waits as long as a server asks it to. During our requests two
temporary hooks surface transient failures, so that all calls share one retry policy, that of `ask`. The hooks
act only on threads inside `ask`, and are removed when there are none.
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


PATIENCE = 60.0  # seconds without an answer; the client's own limits for downloads are shorter
LONGEST_WAIT = 30.0  # seconds; a longer rate limit is reported, not waited for
PAUSES = (0.5, 1.0, 2.0)  # seconds before each retry after a transient failure
_lock, _active = threading.Lock(), [0]  # the number of threads inside `ask`


class Here(threading.local):
    """Per thread: how often each request had no answer; None outside of `ask`."""

    unanswered: dict[tuple[str, str], int] | None = None


_here = Here()


def endpoint_of(endpoint: str | None = None) -> str:
    """The Hub's address: the argument, `HF_ENDPOINT` as it is now, or the public Hub. Raises `HubError`."""
    from huggingface_hub import constants

    address = (endpoint or os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")
    try:
        parts = urlsplit(address)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:  # unbalanced brackets, an invalid port
        valid = False
    if not valid:
        shown = printable(address.rpartition("@")[2])  # without the password that it may hold
        raise HubError(
            f"{shown!r} is not a valid Hub address; --endpoint and HF_ENDPOINT are like https://HOST"
        )
    return address


def is_offline() -> bool:
    """Whether `HF_HUB_OFFLINE` is set now, or was when huggingface_hub was imported."""
    from huggingface_hub import constants

    now = os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}
    return bool(constants.HF_HUB_OFFLINE) or now


def api(endpoint: str | None = None, token: str | bool | None = None) -> HfApi:
    """A client of the Hub. Without a `token` it uses `HF_TOKEN` or the one that `hf auth login` stored; False
    sends none.
    """
    from huggingface_hub import HfApi

    return HfApi(endpoint=endpoint_of(endpoint), token=token, library_name=LIBRARY)


def ask(asked: Asked, call: Callable[[], T], *, again: bool = True) -> T:
    """Return `call()`. Retries transient failures, if `again`; raises `HubError` for all others."""
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
    """Seconds to wait before a retry; None if a retry won't help."""
    code = status(error)
    if code == 429:
        seconds = retry_after(error)
        return pause if seconds is None else seconds if seconds <= LONGEST_WAIT else None
    cut = {"RemoteProtocolError", "ReadError", "WriteError"} & {kind.__name__ for kind in type(error).__mro__}
    return pause if cut or (code is not None and code >= 500) else None


@contextmanager
def _patience() -> Iterator[None]:
    """Apply our time limit and retry policy to this thread's requests through the shared client."""
    with _lock:
        _active[0] += 1
        _hook()
    before, _here.unanswered = _here.unanswered, {}
    try:
        yield
    finally:
        _here.unanswered = before
        with _lock:
            _active[0] -= 1
            _hook()


def _hook() -> None:
    """Add our hooks to the client, which may be a new one by now, or remove them if no thread needs them."""
    from huggingface_hub import get_session

    client = get_session()
    for kind, ours in (("request", _before), ("response", _after)):
        others = [hook for hook in client.event_hooks[kind] if hook is not ours]
        client.event_hooks = client.event_hooks | {kind: [*others, ours] if _active[0] else others}


def _before(request: Any) -> None:
    """Set the time limit of a request without one; stop the client after one repetition instead of five."""
    if _here.unanswered is None:
        return
    if not any(request.extensions.get("timeout", {}).values()):
        request.extensions["timeout"] = dict.fromkeys(("connect", "read", "write", "pool"), PATIENCE)
    key = (request.method, str(request.url))
    _here.unanswered[key] = _here.unanswered.get(key, 0) + 1
    if _here.unanswered[key] > 2:
        raise NoAnswer("no answer, twice")


def _after(response: Any) -> None:
    """Raise on a rate limit or a server error: the client would wait for an hour, or retry for 30 s."""
    if _here.unanswered is None:
        return
    _here.unanswered.pop((response.request.method, str(response.request.url)), None)
    if response.status_code == 429 or response.status_code >= 500:
        raise Refused(response)
