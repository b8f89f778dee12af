"""The contents of the site, and pages made of Markdown that is outside of `docs/`.

The contents are those of `index.md`: each of its lists is a group of the side bar. So a new page of the guide
enters one list, for GitHub and for the site.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from sitegen.links import DOCS, ROOT, page_of, rewritten

COPIED = ["CHANGELOG.md", "CONTRIBUTING.md", "benchmarks/*.md", "model_cards/*.md", "plugins/*/README.md"]
MADE = {"Reference": ["generated/gallery", "generated/api/index"]}
MADE_BELOW = {
    "generated/benchmarks/README": "benchmarks/*.md",
    "generated/gallery": "model_cards/*.md",
    "plugins": "plugins/*/README.md",
}
LAST = ["generated/benchmarks/README", "generated/CONTRIBUTING", "generated/CHANGELOG"]
ITEM = re.compile(r"^(?:\d+\.|-) \[[^\]]*\]\(([^)#]+)\)", re.M)
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
    for pattern in COPIED:
        for file in sorted(ROOT.glob(pattern)):
            page = page_of(file)
            assert page is not None, file
            target = generated.parent / f"{page}.md"
            target.parent.mkdir(parents=True, exist_ok=True)
            text = titled(without_head(file.read_text(encoding="utf-8")), file.stem)
            target.write_text(rewritten(text, file, page), encoding="utf-8")


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
    """The pages of each list of `index.md`, by the line above the list."""
    found = {}
    for part in re.split(r"\n(?=[^\n]+:\n\n(?:\d+\.|-) )", index):
        if items := [item.removesuffix(".md") for item in ITEM.findall(part)]:
            found[part.strip().partition(":")[0]] = items
    return found


def contents(index: str) -> str:
    """The side bar: the lists of `index.md`, the made pages before the last list, and pages in no list."""
    *first, (last, background) = groups(index).items()
    listed = {page for _, pages in [*first, (last, background)] for page in pages}
    others = [page for page in of_the_guide() if page not in listed and not parent(page)]
    parts = [*first, ("More", others), *MADE.items(), (last, [*background, *LAST])]
    return "".join(toctree(pages, title) for title, pages in parts if pages)


def of_the_guide() -> list[str]:
    """All pages in `docs/` but the index."""
    files = (file.relative_to(DOCS) for file in DOCS.rglob("*.md"))
    kept = (file for file in files if file.parts[0] not in ("generated", "_build", "sitegen"))
    return sorted(page for file in kept if (page := file.with_suffix("").as_posix()) != "index")


def parent(page: str) -> str | None:
    """The page above a page of a folder in the side bar: the one with the most links to the folder."""
    folder = page.rpartition("/")[0]
    if not folder:
        return None
    links = {name: text_of(name).count(f"]({folder}/") for name in of_the_guide() if "/" not in name}
    best = max(links, key=lambda name: links[name])
    return best if links[best] else None


def children(page: str) -> list[str]:
    """The pages that stand below a page in the side bar, in the order in which it links to them."""
    text = text_of(page) if "/" not in page else ""
    below = [other for other in of_the_guide() if parent(other) == page]
    below.sort(key=lambda other: (f"]({other}.md" not in text, text.find(f"]({other}.md"), other))
    files = sorted(ROOT.glob(MADE_BELOW[page])) if page in MADE_BELOW else []
    return below + [place for file in files if (place := page_of(file)) is not None and place != page]


def text_of(page: str) -> str:
    """The Markdown of a page of the guide."""
    return (DOCS / f"{page}.md").read_text(encoding="utf-8")


def toctree(pages: Iterable[str], title: str = "") -> str:
    """A hidden table of contents, which Sphinx shows in the side bar."""
    caption = f":caption: {title}\n" if title else ""
    lines = "\n".join(f"/{page}" for page in pages)
    return f"\n\n```{{toctree}}\n:hidden:\n{caption}\n{lines}\n```\n"
