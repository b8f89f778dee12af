"""Bytes from a stranger: bounded files, JSON without loopholes, and what a file really is."""

from __future__ import annotations

import json
import math
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gantl_zoo.errors import UsageError, WeightsError, ZooError

MAX_DEPTH = 100  # of nested JSON; a lineage is one deeper with each transfer
MAX_DIGITS = 20  # of a whole number, as 64 bits have
MAX_TEXT = 1 << 16
MAX_BRACKETS = 50_000  # lists and objects; a million empty ones take seconds to parse

# The first bytes of what people download in place of a model's files.
SIGNATURES = {
    b"version https://git-lfs": "it is a Git LFS pointer: fetch the real file with `git lfs pull`",
    b"<": "it is an HTML or XML page: the download went to a web page, not to the file",
    b'{"error': "it is a server's error message: the download failed; fetch it again",
    b"PK\x03\x04": "it is a zip, as torch.save writes: only safetensors are read",
    b"\x80": "it is a pickle: only safetensors are read",
    b"\x1f\x8b": "it is gzip: unpack it first",
    b"BZh": "it is bzip2: unpack it first",
    b"\xfd7zXZ": "it is xz: unpack it first",
    b"\x28\xb5\x2f\xfd": "it is zstd: unpack it first",
    b"\x89HDF": "it is HDF5, as Keras writes: only safetensors are read",
    b"\x93NUMPY": "it is a NumPy array: only safetensors are read",
    b"GGUF": "it is GGUF, for language models: only safetensors are read",
}


def size_of(path: Path, limit: int, what: str) -> int:
    """The bytes of a regular file, at most `limit`. Raises `WeightsError`."""
    try:
        size = path.stat().st_size
        regular = path.is_file()  # else a pipe would be waited for
    except FileNotFoundError:
        raise WeightsError(f"{path} is missing: the model folder is incomplete; fetch it again") from None
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} can't be read: {error}") from error
    if not regular:
        raise WeightsError(f"{path} is {'a folder' if path.is_dir() else 'no regular file'}, not {what}")
    if size > limit:
        raise WeightsError(f"{path} is {what} of {size:,} bytes, and more than {limit:,} are not read")
    return size


def read_json(path: Path, limit: int, what: str) -> Any:
    """The JSON of a UTF-8 file of at most `limit` bytes. Raises `WeightsError` that says what it is instead.

    Refused besides what JSON refuses: a key twice, NaN and Infinity, whole numbers of more than
    `MAX_DIGITS`, control characters, and more than `MAX_DEPTH` levels.
    """
    size_of(path, limit, what)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path} can't be read: {error.strerror}") from error
    try:
        found = parse(data)
        walk(found)
    except (ValueError, RecursionError) as error:
        likely = sniff(data[:64]) or f"{error}; fetch it again, or mend it by hand"
        raise WeightsError(f"{path} can't be read as JSON: {likely}") from error
    return found


def parse(data: bytes) -> Any:
    """JSON in UTF-8 without repeated keys and numbers that aren't finite. Raises `ValueError`."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 ({error.reason} at byte {error.start})") from error
    if data.count(b"[") + data.count(b"{") > MAX_BRACKETS:
        raise ValueError(f"it has more than {MAX_BRACKETS:,} lists and objects")
    return json.loads(
        text, object_pairs_hook=_once, parse_int=_whole, parse_float=_finite, parse_constant=_constant
    )


def walk(found: Any, depth: int = 0) -> None:
    """Depth and strings of parsed JSON are within the limits, or `ValueError`."""
    if depth > MAX_DEPTH:
        raise ValueError(f"it is nested more than {MAX_DEPTH} levels deep")
    if isinstance(found, str):
        check_text(found)
    elif isinstance(found, dict):
        for key, value in found.items():
            check_text(key)
            walk(value, depth + 1)
    elif isinstance(found, list):
        for value in found:
            walk(value, depth + 1)


def check_text(text: str) -> None:
    """A string that a terminal can show. Raises `ValueError`."""
    if len(text) > MAX_TEXT:
        raise ValueError(f"it has a string of more than {MAX_TEXT} characters")
    if not text.isprintable() and any(
        unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t" for c in text
    ):
        raise ValueError(f"the string {text[:40]!r} has control characters")


def escaped(text: str) -> str:
    """The text with `\\xe9` for a byte of a file name that is not UTF-8, and Python's escapes for control
    characters. A printable text stays as it is.
    """
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def storable(text: str, what: str, error: type[ZooError] = UsageError) -> str:
    """`text`, if a config that holds it can be read again. Raises `error` with the text and `what` it is."""
    try:
        check_text(text)
    except ValueError:
        raise error(
            f"{what} '{escaped(text[:80])}' can't be kept in a config.json, which takes UTF-8 without "
            f"control characters, at most {MAX_TEXT:,}: rename it"
        ) from None
    return text


def to_json(config: Mapping[str, Any], what: str) -> str:
    """The text of a config that `read_json` reads again. Raises `UsageError` that names what it can't."""
    try:
        text = json.dumps(config, indent=2) + "\n"
        for place, inner in _texts(config, ""):
            storable(inner, f"{what}: {place}")
        walk(parse(text.encode()))
    except UsageError:
        raise
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"{what} can't be kept as JSON: {error}") from error
    return text


def _texts(value: Any, place: str) -> Iterator[tuple[str, str]]:
    """All strings of a config, each with its place, such as `data.source`."""
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
    raw = 0xDC80 <= number <= 0xDCFF  # a byte, as Python decodes file names
    return f"\\x{number - 0xDC00:02x}" if raw else character.encode("unicode_escape").decode()


def printable(said: Any, most: int = 200) -> str:
    """A stranger's words as a terminal may show them: in one line, of at most `most` characters."""
    return "".join(c if c.isprintable() else " " for c in str(said)[:most])


def sniff(start: bytes) -> str:
    """What a file is that begins with these bytes, and what to do; "" if that is unknown."""
    if start[8:9] == b"{":  # a safetensors header, whose length may begin with any byte
        return ""
    return next((meaning for mark, meaning in SIGNATURES.items() if start.lstrip().startswith(mark)), "")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        ((twice, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {twice[:80]!r} is there twice")
    return found


def _whole(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"the number {digits[:MAX_DIGITS]}… has more than {MAX_DIGITS} digits")
    return int(digits)


def _finite(digits: str) -> float:
    if not math.isfinite(number := float(digits)):
        raise ValueError(f"the number {digits[:MAX_DIGITS]} is too large")
    return number


def _constant(name: str) -> float:
    raise ValueError(f"{name} is no number in JSON")
