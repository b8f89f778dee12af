"""Tables, paragraphs and JSON for standard output: formatted for a terminal, else plain and complete."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from gantl_zoo.errors import DataError

WIDTH = 80


def is_terminal() -> bool:
    """Whether standard output is a terminal."""
    return bool(getattr(sys.stdout, "isatty", bool)())


def width() -> int:
    """Columns of a page: of the terminal, or 80; never more than 120."""
    return min(120, shutil.get_terminal_size((WIDTH, 24)).columns) if is_terminal() else WIDTH


def bold(text: str) -> str:
    """The text in bold on a terminal, unless NO_COLOR is set."""
    return f"\033[1m{text}\033[0m" if is_terminal() and "NO_COLOR" not in os.environ else text


def table(rows: Sequence[Sequence[str]], *, right: Iterable[int] = (), cut: bool = False) -> list[str]:
    """Aligned columns, those in `right` to the right. `cut`: a line ends with the terminal's width."""
    if not rows:
        return []
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            f"{cell:>{size}}" if i in right else f"{cell:{size}}"
            for i, (cell, size) in enumerate(zip(row, widths, strict=True))
        ]
        line = "  ".join(cells).rstrip()
        limit = width() - 2  # lines are indented
        lines.append(
            f"{line[: limit - 1].rstrip()}…" if cut and is_terminal() and len(line) > limit else line
        )
    return lines


def facts(rows: Iterable[tuple[str, str]], left: int = 0) -> list[str]:
    """Names and values in two columns; a long value goes on in its column. Rows without one are left out."""
    kept = [(name, value) for name, value in rows if value]
    left = left or 2 + max((len(name) for name, _ in kept), default=0)
    lines = []
    for name, value in kept:
        first, *more = wrapped(value, width() - left - 2) or [""]
        lines += [f"{name:{left}}{first}", *(" " * left + line for line in more)]
    return lines


def wrapped(text: str, size: int = 0) -> list[str]:
    """The lines of a paragraph; no word is broken."""
    return textwrap.wrap(text, size or width(), break_long_words=False, break_on_hyphens=False)


def paragraph(text: str) -> list[str]:
    """The lines of a paragraph inside a section."""
    return wrapped(text, width() - 2)


def print_page(text: str) -> None:
    """Print a page. Escapes control characters, which untrusted files may hold, except those for bold."""
    from gantl_zoo.storage.untrusted import escaped

    parts = re.split(r"(\033\[[01]m)", text) if is_terminal() else [text]
    clean = ["\n".join(map(escaped, part.split("\n"))) if part[:1] != "\033" else part for part in parts]
    print("".join(clean))


def section(title: str, lines: Iterable[str]) -> list[str]:
    """An empty line, a title, and the lines indented; nothing without lines."""
    inside = [f"  {line}".rstrip() for line in lines]
    return ["", bold(title), *inside] if inside else []


def write_json(value: Any, place: str) -> None:
    """Print a value as JSON if `place` is "-", else write it to that file. Raises `DataError`."""
    text = json.dumps(value, indent=2, ensure_ascii=True)
    if place == "-":
        print(text)
        return
    try:
        with open(os.path.expanduser(place), "w", encoding="utf-8") as file:
            file.write(text + "\n")
    except OSError as error:
        raise DataError(f"can't write {place}: {error.strerror}") from error


def shape(sides: Iterable[int] | None) -> str:
    """(3, 64, 64) as "3×64×64"; "" for None."""
    return "×".join(map(str, sides or ()))


def megabytes(count: int | None) -> str:
    """Bytes as "3.6 MB"; "" for None."""
    return "" if count is None else f"{count / 1e6:.1f} MB"
