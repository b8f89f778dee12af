"""Links of a Markdown file of the repository, as links within the site.

A page names its neighbours as GitHub wants it: `metrics.md`, `../benchmarks/transfer.md`, `../LICENSE`. In
the site, a link to Markdown leads to the page that was made of it, and a link to another file to that file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
CODE = re.compile(r"^(`{3,}|~{3,})[^\n]*\n.*?^\1\s*?$|(?<!`)(`+)(?!`).+?(?<!`)\2(?!`)", re.M | re.S)
TARGET = re.compile(r"\]\((?![a-z]+:)([^)\s#]*)(#[^)\s]*)?\)")
ADDRESS = re.compile(
    r"(?<!\]\()(?<![<\[\"'\w])(https?://[^\s)>\]]+[^\s)>\].,;:])"
)  # GitHub makes links of these
PICTURES = {".png", ".svg", ".jpg", ".gif", ".webp"}

# a file of the repository, and the page that is made of it
PLACES = [
    (r"docs/(.+)\.md", r"\1"),
    (r"docs/(.+)\.ipynb", r"generated/\1"),
    (r"benchmarks/(.+)\.md", r"generated/benchmarks/\1"),
    (r"model_cards/(.+)\.md", r"generated/models/\1"),
    (r"plugins/([^/]+)/README\.md", r"generated/plugins/\1"),
    (r"README\.md", "index"),
    (r"([A-Z_]+)\.md", r"generated/\1"),
]


def page_of(file: Path) -> str | None:
    """The page of the site that a file of the repository becomes; None for a file that becomes none."""
    name = file.relative_to(ROOT).as_posix() if file.is_relative_to(ROOT) else ""
    for pattern, place in PLACES:
        if match := re.fullmatch(pattern, name):
            return match.expand(place)
    return None


def outside_code(text: str, change: Callable[[str], str]) -> str:
    """Change what is outside of code blocks and of code within sentences."""
    parts, end = [], 0
    for code in CODE.finditer(text):
        parts += [change(text[end : code.start()]), code[0]]
        end = code.end()
    return "".join([*parts, change(text[end:])])


def rewritten(text: str, file: Path, page: str) -> str:
    """The Markdown of `file` for the site's `page`. Addresses become links, as on GitHub; other links lead to
    pages or files."""
    folder = (DOCS / page).parent

    def link(match: re.Match[str]) -> str:
        path, anchor = match[1], match[2] or ""
        if not path:
            return match[0]
        target = (file.parent / path).resolve()
        place = page_of(target)
        if place is not None:
            return f"]({os.path.relpath(DOCS / place, folder)}.md{anchor})"
        scheme = "" if target.suffix in PICTURES else "path:"
        return f"]({scheme}{os.path.relpath(target, folder)})"

    return outside_code(text, lambda part: ADDRESS.sub(r"<\1>", TARGET.sub(link, part)))
