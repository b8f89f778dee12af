"""Explain a failed request in one sentence: what was asked, which Hub, the likely cause, what to do."""

from __future__ import annotations

import errno
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from gantl_zoo.errors import HubError
from gantl_zoo.storage.untrusted import printable

PUBLIC = "https://huggingface.co"
LOG_IN = "log in with `hf auth login` or set HF_TOKEN"
LONGEST_WAIT = 7 * 24 * 3600.0  # seconds; a longer `Retry-After` is not plausible
FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)


@dataclass(frozen=True)
class Asked:
    """A request: the action, the repository and its Hub, the token and the cache."""

    doing: str  # "pull", "push to", "list"
    repo: str
    endpoint: str
    revision: str | None = None
    token: str | bool | None = field(default=None, repr=False)  # as huggingface_hub takes it
    cache_dir: str | Path | None = None  # None: the Hub's usual cache

    def __str__(self) -> str:
        name = self.repo + (f"@{self.revision}" if self.revision else "")
        return f"can't {self.doing} {name} ({shown(self.endpoint)})"


class Refused(Exception):
    """The server limits the rate of requests, or has an internal error (429, 5xx)."""

    def __init__(self, response: Any) -> None:
        super().__init__(f"HTTP status {response.status_code}")
        self.response = response


class NoAnswer(Exception):
    """A request and its repetition had no answer."""


def shown(endpoint: str) -> str:
    """An address without the user name and password that it may hold."""
    parts = urlsplit(endpoint)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def status(error: BaseException) -> int | None:
    """The HTTP status that an exception carries."""
    code = getattr(getattr(error, "response", None), "status_code", None)
    return code if isinstance(code, int) else None


def retry_after(error: BaseException) -> float | None:
    """Seconds that the server asks us to wait (`Retry-After`, or the Hub's `RateLimit`)."""
    headers = getattr(getattr(error, "response", None), "headers", {})
    seconds = str(headers.get("retry-after", "")).strip()
    if seconds.isdecimal():
        return min(float(seconds), LONGEST_WAIT)
    reset = re.search(r"\br\s*=\s*0\s*;\s*t\s*=\s*(\d+)", str(headers.get("ratelimit", "")))
    return min(float(reset.group(1)), LONGEST_WAIT) if reset else None


def explain(error: Exception, asked: Asked) -> HubError:
    """Convert an error of huggingface_hub, its HTTP library or the system to a `HubError`."""
    cause: BaseException = error
    while cause.__cause__ is not None and type(cause).__name__ in ("LocalEntryNotFoundError", "RuntimeError"):
        cause = cause.__cause__  # the client wraps the actual error
    kinds = {kind.__name__ for kind in type(cause).__mro__}
    text = (
        _offline_or_lost(cause, kinds, asked) or _refused(cause, kinds, asked) or _ours(cause, kinds, asked)
    )
    explained = HubError(_without_token(f"{asked}: {text}", asked.token))
    code = status(cause)
    lost = kinds & {"TransportError", "NoAnswer"} and "UnsupportedProtocol" not in kinds
    explained.passing = bool(lost) or code == 429 or (code or 0) >= 500
    return explained


def _offline_or_lost(error: BaseException, kinds: set[str], asked: Asked) -> str | None:
    """The explanation if the Hub was not reached or the connection broke; else None."""
    if "OfflineModeIsEnabled" in kinds:
        if asked.doing != "pull":
            return "HF_HUB_OFFLINE is set; unset it"
        return "HF_HUB_OFFLINE is set and it is not in the cache; unset it, or pull once while online"
    if kinds & {"TimeoutException", "NoAnswer"}:
        if asked.doing == "push to":
            return "the server did not answer in time; push again: files that have arrived are not sent again"
        return (
            "the server did not answer in time; try again later (HF_HUB_DOWNLOAD_TIMEOUT and "
            "HF_HUB_ETAG_TIMEOUT are the limits in seconds)"
        )
    if kinds & {"ConnectError", "ProxyError", "UnsupportedProtocol", "InvalidURL"}:
        where = "HF_ENDPOINT and --endpoint" if asked.endpoint != PUBLIC else "the network"
        return f"it can't be reached ({error}); check {where}"
    if kinds & {"RemoteProtocolError", "ReadError", "WriteError"} or "Consistency check failed" in str(error):
        return "the connection broke repeatedly; no incomplete file is kept; try again"
    return None


def _refused(error: BaseException, kinds: set[str], asked: Asked) -> str | None:
    """The explanation if the Hub refused the request; else None."""
    code = status(error)
    if "GatedRepoError" in kinds:
        return f"access is restricted: request it at {shown(asked.endpoint)}/{asked.repo}, and {LOG_IN}"
    if "RevisionNotFoundError" in kinds:
        where = f"{shown(asked.endpoint)}/{asked.repo}/tree/main"
        return f"it has no branch, tag or commit {asked.revision or 'main'!r}; see the list at {where}"
    if code == 401:
        return f"the repository does not exist, or is private and you are not logged in: {LOG_IN}"
    if code == 403 and asked.doing != "push to":
        return f"your token has no permission to read it; {LOG_IN}"
    if code == 403:
        return f"your token has no permission to write; use another, or --create-pr; {LOG_IN}"
    if "EntryNotFoundError" in kinds:
        return "a file is missing: the repository does not hold a complete model of gantl_zoo"
    if code in (404, 410):
        return "the repository does not exist, or your token has no permission to read it; check the name"
    if code == 429:
        return _wait(error)
    if code in (409, 412):
        return "the repository was changed by another commit meanwhile; nothing was written; push again"
    if code is not None and code >= 500:
        return f"the server has an error ({code}), also after retries; try again later"
    if code is not None:
        reason = getattr(error, "server_message", None) or "it gives no reason"
        return f"the server refused the request ({code}): {printable(reason, 1000)}"
    return None


def _wait(error: BaseException) -> str:
    seconds = retry_after(error)
    when = time.strftime("%H:%M:%S", time.localtime(time.time() + (seconds or 300)))
    asks = f"asks to wait {seconds:.0f} s" if seconds else "had too many requests"
    return f"the server {asks}: try again after {when}; the limit is higher for users who are logged in"


def _ours(error: BaseException, kinds: set[str], asked: Asked) -> str:
    """The explanation if the cause is this machine or the request itself."""
    if isinstance(error, OSError) and error.errno in FULL:
        return f"the disk is full ({error.strerror}); free some space, or move the cache with HF_HOME"
    if isinstance(error, OSError) and error.errno is not None:
        return f"{error.strerror}: {error.filename or 'the cache'}; fix it, or move the cache with HF_HOME"
    if "xet" in str(error).lower().replace(asked.repo.lower(), ""):
        return (
            "this Hub has no Xet storage, which the client tries first: set HF_HUB_DISABLE_XET=1 and try "
            f"again ({type(error).__name__})"
        )
    if "HFValidationError" in kinds:
        return "a repository's name must be user/name, with letters, digits, '-', '_', '.'"
    return f"{type(error).__name__}: {error}"


def _without_token(text: str, given: str | bool | None = None) -> str:
    from huggingface_hub import get_token

    for token in (given, get_token()):
        text = text.replace(token, "(token)") if isinstance(token, str) and token else text
    return text
