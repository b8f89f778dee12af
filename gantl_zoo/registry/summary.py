"""The first sentence of a registered object's docstring, read from its source file without importing it.

A list of all names shows it, and must wait for no network's module, which imports torch.
"""

from __future__ import annotations

import re
from pathlib import Path

from gantl_zoo.registry.plugins import Entry

PACKAGE = "gantl_zoo."
# a function or class, and the docstring that follows before another begins
DOCSTRING = r'^(?:def|class) {name}\b(?:(?!\n(?:def|class|@)\b)[\s\S])*?:\n\s+r?"""([\s\S]*?)"""'


def summary(entry: Entry) -> str:
    """The first sentence of the docstring of a built-in or of what a script registered, without addresses
    of papers; "" for a plug-in's.
    """
    if entry.target is not None:
        return first(str(getattr(entry.target, "__doc__", None) or ""))
    module, _, path = entry.reference.partition(":")
    if entry.owner != "gantl_zoo" or not module.startswith(PACKAGE) or "." in path:
        return ""
    found = re.search(DOCSTRING.format(name=re.escape(path)), source(module), re.M)
    return first(found[1]) if found else ""


def first(docstring: str) -> str:
    """The first sentence of a docstring."""
    paragraph = " ".join(docstring.strip().partition("\n\n")[0].split())
    return re.sub(
        r" \(https?://[^\s)]+\)|,? https?://[^\s,)]+", "", re.split(r"(?<=\.) (?=[A-Z])", paragraph)[0]
    )


def source(module: str) -> str:
    """The text of one of our modules; "" if its source is not installed."""
    place = Path(__file__).parents[1].joinpath(*module.split(".")[1:])
    for file in (place.with_suffix(".py"), place / "__init__.py"):
        if file.is_file():
            return file.read_text(encoding="utf-8")
    return ""
