"""The contents of the site, and pages made of Markdown that is outside of `docs/`.

The contents are those of `index.md`: each of its lists is a group of the side bar. So a new page of the guide
enters one list, for GitHub and for the site.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from sitegen.links import DOCS, ROOT, page_of, rewritten

COPIED = ["*.md", "benchmarks/*.md", "model_cards/*.md", "plugins/*/README.md"]
GENERATED = {"Reference": ["generated/gallery", "generated/api/index"]}
GENERATED_BELOW = {
    "generated/benchmarks/README": "benchmarks/*.md",
    "generated/gallery": "model_cards/*.md",
    "plugins": "plugins/*/README.md",
}
LAST = ["benchmarks/README.md", "*.md"]
ITEM = re.compile(r"^(?:\d+\.|-) (.+(?:\n {2,}.+)*)", re.M)
PAGE = re.compile(r"\]\(([^)#]+)\.md\)")
ROOMS = "<!-- the site shows the picture of the rooms here -->"
PICTURE = """
![The rooms of the package on their floors, and what they import](generated/rooms.svg)

Each line leads down to a room that the upper one imports from. If a path of other lines shows an import, the
line is left out.
"""
REFERENCE = """
Reference:

- [Gallery](generated/gallery.md): the released models, with pictures, commands and licences.
- [Python](generated/api/index.md): every public function and class.
"""


def write(generated: Path) -> None:
    """Copy the Markdown from outside of `docs/`, with its links led to pages."""
    for page, file in copied(COPIED).items():
        target = generated.parent / f"{page}.md"
        target.parent.mkdir(parents=True, exist_ok=True)
        text = titled(without_head(file.read_text(encoding="utf-8")), file.stem)
        target.write_text(rewritten(text, file, page), encoding="utf-8")


def copied(patterns: Iterable[str]) -> dict[str, Path]:
    """The pages that are made of the files that match, and these files. `README.md` is not one of them."""
    files = [file for pattern in patterns for file in sorted(ROOT.glob(pattern))]
    places = {page_of(file): file for file in files}
    return {page: file for page, file in places.items() if page is not None and page != "index"}


def without_head(text: str) -> str:
    """A Markdown text without the metadata at its top, between two lines `---`."""
    return re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.S)


def titled(text: str, name: str) -> str:
    """The text with a title: a model card has none."""
    return text if re.search(r"^# ", text, re.M) else f"# {name}\n\n{text}"


def prepared(page: str, text: str) -> str:
    """The text of a page as the site shows it."""
    if not page.startswith("generated/"):
        text = rewritten(text, DOCS / f"{page}.md", page)
    if page == "index":
        return text.replace("\nBackground:", f"{REFERENCE}\nBackground:") + contents(text)
    if inner := children(page):
        text += toctree(inner)
    return text.replace(ROOMS, PICTURE)


def groups(index: str) -> dict[str, list[str]]:
    """The pages of each list of `index.md`, by the line above it. Links after a colon are not in the list."""
    parts: dict[str, list[str]] = {}
    for part in re.split(r"\n(?=[^\n]+:\n\n(?:\d+\.|-) )", index):
        heads = [item.partition("): ")[0] + ")" for item in ITEM.findall(part)]
        if pages := [page for head in heads for page in PAGE.findall(head)]:
            parts[part.strip().partition(":")[0]] = pages
    return parts


def contents(index: str) -> str:
    """The side bar: the lists of `index.md`, the made pages before the last list, and pages in no list."""
    *first, (last, background) = groups(index).items()
    listed = {page for _, pages in [*first, (last, background)] for page in pages}
    below = {page for pages in families(DOCS).values() for page in pages}
    others = [page for page in of_the_guide(DOCS) if page not in listed | below]
    parts = [*first, ("More", others), *GENERATED.items(), (last, [*background, *copied(LAST)])]
    return "".join(toctree(pages, title) for title, pages in parts if pages)


def of_the_guide(docs: Path) -> list[str]:
    """All pages in `docs/` but the index."""
    files = (file.relative_to(docs) for file in docs.rglob("*.md"))
    kept = (file for file in files if file.parts[0] not in ("generated", "_build", "sitegen"))
    return sorted(page for file in kept if (page := file.with_suffix("").as_posix()) != "index")


@cache
def families(docs: Path) -> dict[str, list[str]]:
    """The pages that stand below another one in the side bar, in the order in which that one links to them.

    These are the pages that `index.md` does not list. They are in a folder, and stand below the page that has
    the most links to the folder.
    """
    texts = {
        page: (docs / f"{page}.md").read_text(encoding="utf-8") for page in ["index", *of_the_guide(docs)]
    }
    listed = {page for pages in groups(texts.pop("index")).values() for page in pages}
    below: dict[str, list[str]] = {}
    for folder in sorted({page.rpartition("/")[0] for page in texts if page not in listed} - {""}):
        best = max(
            (page for page in texts if "/" not in page), key=lambda page: texts[page].count(f"]({folder}/")
        )
        links = PAGE.findall(texts[best])
        inside = [page for page in texts if page.rpartition("/")[0] == folder and page not in listed]
        if any(page in links for page in inside):
            below.setdefault(best, []).extend(sorted(inside, key=[*links, *inside].index))
    return below


def children(page: str) -> list[str]:
    """The pages that stand below a page in the side bar."""
    copies = copied([GENERATED_BELOW[page]]) if page in GENERATED_BELOW else {}
    return [*families(DOCS).get(page, []), *(place for place in copies if place != page)]


def toctree(pages: Iterable[str], title: str = "") -> str:
    """A hidden table of contents, which Sphinx shows in the side bar."""
    caption = f":caption: {title}\n" if title else ""
    lines = "\n".join(f"/{page}" for page in pages)
    return f"\n\n```{{toctree}}\n:hidden:\n{caption}\n{lines}\n```\n"
