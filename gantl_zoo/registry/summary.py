"""The first sentence of a registered object's docstring, read from its source file without importing it.

A list of all names shows it, and must wait for no network's module, which imports torch.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

from gantl_zoo.registry.plugins import Entry

QUOTES = '"""'
NEXT = ("\ndef ", "\nclass ", "\n@")  # where the next definition begins


def summary(entry: Entry) -> str:
    """The first sentence of the docstring, without addresses of papers; "" if there is none to read."""
    if entry.target is not None:
        return first(str(getattr(entry.target, "__doc__", None) or ""))
    module, _, path = entry.reference.partition(":")
    return first(docstring(source(module), path))


def docstring(text: str, name: str) -> str:
    """The docstring of a function or class at the top level of a module's text; "" without one.

    Plain searches: to compile a regular expression for each name takes longer than the rest of a list.
    """
    heads = [f"\n{word} {name}{end}" for word in ("def", "class") for end in "(:"]
    start = max(f"\n{text}".find(head) for head in heads)
    if start < 0:
        return ""
    ends = [end for head in NEXT if (end := text.find(head, start + 1)) > 0]
    body = text[start : min(ends, default=len(text))]
    before, _, rest = body.partition(QUOTES)
    return rest.partition(QUOTES)[0] if re.search(r":\n\s+r?$", before) else ""


def first(docstring: str) -> str:
    """The first sentence of a docstring."""
    paragraph = " ".join(docstring.strip().partition("\n\n")[0].split())
    return re.sub(
        r" \(https?://[^\s)]+\)|,? https?://[^\s,)]+", "", re.split(r"(?<=\.) (?=[A-Z])", paragraph)[0]
    )


def source(module: str) -> str:
    """The text of a module, which is not imported; "" if its source is not installed."""
    package, *parts = module.split(".")
    try:
        spec = find_spec(package)
    except ValueError:  # imported, but not from a file
        return ""
    places = [Path(folder, *parts) for folder in (spec and spec.submodule_search_locations) or ()]
    files = [file for place in places for file in (place.with_suffix(".py"), place / "__init__.py")]
    files += [Path(spec.origin)] if spec and spec.origin and not parts else []
    path = next((file for file in files if file.is_file() and file.suffix == ".py"), None)
    return path.read_text(encoding="utf-8", errors="replace") if path else ""
