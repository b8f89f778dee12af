"""Read untrusted files: limits on size, strict JSON, and detection of the actual file format."""

from __future__ import annotations

import json
import math
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gantl_zoo.errors import UsageError, WeightsError, ZooError

MAX_DEPTH = 100  # levels of nested JSON; each transfer adds one to a lineage
MAX_DIGITS = 20  # of an integer: 64 bits have at most 20
MAX_TEXT = 1 << 16
MAX_BRACKETS = 50_000  # lists and objects together: parsing a million takes seconds

ONLY = "only safetensors are supported"
IMPORT = "`gantl-zoo import` reads the formats of other projects"

# First bytes of formats that are often downloaded in place of a model's files, and what to do then.
SIGNATURES = {
    b"version https://git-lfs": "it is a Git LFS pointer: download the file itself with `git lfs pull`",
    b"<": "it is an HTML or XML page: the URL was that of a web page, not of the file",
    b'{"error': "it is a server's error message: the download failed; try again",
    b"PK\x03\x04": f"it is a zip archive, as torch.save writes it: {ONLY}; {IMPORT}",
    b"\x80": f"it is a pickle: {ONLY}; {IMPORT}",
    b"\x1f\x8b": "it is gzip: unpack it first",
    b"BZh": "it is bzip2: unpack it first",
    b"\xfd7zXZ": "it is xz: unpack it first",
    b"\x28\xb5\x2f\xfd": "it is zstd: unpack it first",
    b"\x89HDF": f"it is HDF5, as Keras writes it: {ONLY}",
    b"\x93NUMPY": f"it is a NumPy array: {ONLY}",
    b"GGUF": f"it is GGUF, for language models: {ONLY}",
}


def size_of(path: Path, limit: int, what: str) -> int:
    """The size in bytes of a regular file. Raises `WeightsError` above `limit`; `what` names the file."""
    try:
        size = path.stat().st_size
        regular = path.is_file()  # reading a pipe would block
    except FileNotFoundError:
        raise WeightsError(f"{path} is missing: the model folder is incomplete; download it again") from None
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} can't be read: {error}") from error
    if not regular:
        raise WeightsError(
            f"{path} is {'a folder' if path.is_dir() else 'not a regular file'}; expected {what}"
        )
    if size > limit:
        raise WeightsError(f"{path} is {what} of {size:,} bytes, above the limit of {limit:,}")
    return size


def read_json(path: Path, limit: int, what: str) -> Any:
    """Read the JSON of a UTF-8 file of at most `limit` bytes. Raises `WeightsError`.

    Stricter than JSON: rejects duplicate keys, NaN and Infinity, integers of more than `MAX_DIGITS` digits,
    control characters, and more than `MAX_DEPTH` levels. The error says what the file is if it is not JSON.
    """
    size_of(path, limit, what)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path} can't be read: {error.strerror}") from error
    try:
        value = parse(data)
        walk(value)
    except (ValueError, RecursionError) as error:
        likely = sniff(data[:64]) or f"{error}; download it again, or correct it by hand"
        raise WeightsError(f"{path} can't be read as JSON: {likely}") from error
    return value


def parse(data: bytes) -> Any:
    """Parse JSON in UTF-8. Raises `ValueError`, also for duplicate keys and non-finite numbers."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 ({error.reason} at byte {error.start})") from error
    if data.count(b"[") + data.count(b"{") > MAX_BRACKETS:
        raise ValueError(f"it has more than {MAX_BRACKETS:,} lists and objects")
    return json.loads(
        text, object_pairs_hook=_once, parse_int=_whole, parse_float=_finite, parse_constant=_constant
    )


def walk(content: Any, depth: int = 0) -> None:
    """Check depth and strings of parsed JSON against the limits. Raises `ValueError`."""
    if depth > MAX_DEPTH:
        raise ValueError(f"it is nested more than {MAX_DEPTH} levels deep")
    if isinstance(content, str):
        check_text(content)
    elif isinstance(content, dict):
        for key, value in content.items():
            check_text(key)
            walk(value, depth + 1)
    elif isinstance(content, list):
        for value in content:
            walk(value, depth + 1)


def check_text(text: str) -> None:
    """Check that a string is short enough and has no control characters. Raises `ValueError`."""
    if len(text) > MAX_TEXT:
        raise ValueError(f"it has a string of more than {MAX_TEXT:,} characters")
    if not text.isprintable() and any(
        unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t" for c in text
    ):
        raise ValueError(f"the string {text[:40]!r} has control characters")


def escaped(text: str) -> str:
    """The text with Python's escapes for control characters, and `\\xe9` for a non-UTF-8 byte of a file name.

    Printable text is returned unchanged.
    """
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def storable(text: str, what: str, error: type[ZooError] = UsageError) -> str:
    """Return `text` if `config.json` can store it. Raises `error`, whose message says `what` the text is."""
    try:
        check_text(text)
    except ValueError:
        raise error(
            f"{what} '{escaped(text[:80])}' can't be stored in config.json, which takes at most {MAX_TEXT:,} "
            "characters of UTF-8 without control characters: rename it"
        ) from None
    return text


def to_json(config: Mapping[str, Any], what: str) -> str:
    """The config as JSON text that `read_json` accepts. Raises `UsageError` that names the wrong value."""
    try:
        text = json.dumps(config, indent=2) + "\n"
        for place, inner in _texts(config, ""):
            storable(inner, f"{what}: {place}")
        walk(parse(text.encode()))
    except UsageError:
        raise
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"{what} can't be stored as JSON: {error}") from error
    return text


def _texts(value: Any, place: str) -> Iterator[tuple[str, str]]:
    """Yield all strings of a config, each with its position, such as `data.source`."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield f"a key of {place}" if place else "a key", str(key)
            yield from _texts(inner, f"{place}.{key}" if place else str(key))
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _texts(inner, place)


def _escape(character: str) -> str:
    number = ord(character)
    raw = 0xDC80 <= number <= 0xDCFF  # a surrogate: Python decodes a non-UTF-8 byte of a file name to it
    return f"\\x{number - 0xDC00:02x}" if raw else character.encode("unicode_escape").decode()


def printable(text: Any, most: int = 200) -> str:
    """Make untrusted text safe to print: one line of at most `most` characters."""
    return "".join(c if c.isprintable() else " " for c in str(text)[:most])


def sniff(start: bytes) -> str:
    """What format a file with these first bytes has, and what to do; "" if it is unknown."""
    if start[8:9] == b"{":  # a safetensors header: its length may begin with any of the marks
        return ""
    return next((meaning for mark, meaning in SIGNATURES.items() if start.lstrip().startswith(mark)), "")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        ((duplicate, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {duplicate[:80]!r} occurs twice")
    return content


def _whole(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"the number {digits[:MAX_DIGITS]}… has more than {MAX_DIGITS} digits")
    return int(digits)


def _finite(digits: str) -> float:
    if not math.isfinite(number := float(digits)):
        raise ValueError(f"the number {digits[:MAX_DIGITS]} is too large")
    return number


def _constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")
