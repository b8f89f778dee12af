"""Docstrings as reStructuredText, which autodoc reads.

The docstrings are plain text: code is between single backticks, an indented block is code, and lines that
begin with a name in backticks and a colon are a list. A dataclass's fields with a comment are a list, too.
"""

from __future__ import annotations

import dataclasses
import inspect
import pkgutil
import re
from typing import Any

import gantl_zoo as gz

CODE = re.compile(r"(`+)(.+?)\1(\w?)", re.S)
FIELD = re.compile(r"^ {4}(\w+): .*?  # (.+)$")
ITEM = re.compile(r"^(`[^`]+`(?:, `[^`]+`)*): (.*)$")
SETTING = re.compile(r"^  (\w+ \(default .*)$")
BULLET = re.compile(r"^- ")


def convert(app: Any, what: str, name: str, subject: Any, options: Any, lines: list[str]) -> None:
    """Convert a docstring in place, as autodoc's event wants it."""
    if what in ("class", "exception") and dataclasses.is_dataclass(subject):
        if len(lines) == 1 and lines[0].startswith(f"{getattr(subject, '__name__', '')}("):
            lines.clear()  # what `dataclass` writes without a docstring
        lines += ["", *fields(subject)]
    lines[:] = [*converted(lines), ""]


def signature(
    app: Any, what: str, name: str, subject: Any, options: Any, shown: str | None, returns: str | None
) -> tuple[str, str | None] | None:
    """A signature that Sphinx can read: a default that a function makes is `...`."""
    return None if shown is None else (shown.replace("<factory>", "..."), returns)


def fields(kind: Any) -> list[str]:
    """The fields of a dataclass that have a comment, as `name`: comment."""
    try:
        source = inspect.getsource(kind).splitlines()
    except (OSError, TypeError):
        return []
    return [f"`{line[1]}`: {line[2]}" for line in map(FIELD.match, source) if line]


def converted(lines: list[str]) -> list[str]:
    """The lines of a docstring as reStructuredText."""
    done: list[str] = []
    for kind, block in blocks(lines):
        if kind == "code":
            done += ["::", "", *(f"    {line}" for line in block), ""]
        else:
            text = inline("\n".join(block)).split("\n")
            done += [*text, ""]
    return done


def blocks(lines: list[str]) -> list[tuple[str, list[str]]]:
    """Paragraphs, lists and blocks of code, in order."""
    parts: list[tuple[str, list[str]]] = []
    for part in re.split(r"\n\s*\n", "\n".join(lines).strip("\n")):
        block = part.split("\n")
        if not part.strip():
            continue
        if all(SETTING.match(line) or line.startswith("      ") for line in block):
            parts.append(("text", listed(block, SETTING)))
        elif all(line.startswith("    ") for line in block):
            if parts and parts[-1][0] == "code":
                parts[-1][1].extend(["", *block])
            else:
                parts.append(("code", block))
        else:
            parts.append(("text", listed(block, ITEM)))
    return parts


def listed(block: list[str], item: re.Pattern[str]) -> list[str]:
    """A block whose items are lines that match, as a list with bullets. Lines after an item belong to it."""
    done: list[str] = []
    inside = False
    for line in block:
        if item.match(line) or BULLET.match(line):
            if done and not inside:
                done.append("")
            inside = True
            done.append(f"- {line.strip().removeprefix('- ')}")
        else:
            done.append(f"  {line.strip()}" if inside else line.strip())
    return done


def inline(text: str) -> str:
    """A text with its code between double backticks, and nothing else marked."""
    parts, end = [], 0
    for code in CODE.finditer(text):
        shown = " ".join(code[2].split())
        joint = f"\\ {code[3]}" if code[3] else ""
        parts += [escaped(text[end : code.start()]), f"{reference(shown)}{joint}"]
        end = code.end()
    return "".join([*parts, escaped(text[end:])])


def reference(code: str) -> str:
    """Code between double backticks; a public class or a function with a long name is a link to it."""
    name = code.removesuffix("()")
    linked = name in gz.__all__ and (name[0].isupper() or "_" in name)
    return f":py:obj:`~gantl_zoo.{name}`" if linked else f"``{code}``"


def escaped(text: str) -> str:
    """A text whose characters mean themselves: stars, bars, and lines below a word."""
    return re.sub(r"([*|\\]|_(?!\w))", r"\\\1", text)


def undocumented(app: Any, env: Any, node: Any, content: Any) -> Any:
    """The text of a reference to a type of the package that is not public; None for any other missing one.

    It stays a text without a link, if there is such a type.
    """
    target = str(node.get("reftarget", ""))
    if node.get("refdomain") != "py" or not exists(target):
        return None
    return content


def exists(target: str) -> bool:
    """Whether a full name, such as `gantl_zoo.model.gan.GAN`, leads to an object of the package."""
    if not target.startswith("gantl_zoo."):
        return False
    try:
        pkgutil.resolve_name(target)
    except (ImportError, AttributeError):
        return False
    return True
