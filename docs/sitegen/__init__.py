"""Parts of the site that are made at build time, as a Sphinx extension.

`pages.py` copies Markdown from outside of `docs/` and makes the contents. `links.py` leads links to pages of
the site. `tour.py` converts the notebook. `gallery.py` walks the released models. `reference.py` lists the
public names, and `docstrings.py` converts their docstrings. `rooms.py` draws the rooms of the package. The
made pages are in `docs/generated`, which git ignores.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from sitegen import docstrings, gallery, pages, reference, rooms, tour

DOCS = Path(__file__).parent.parent
GENERATED = DOCS / "generated"


def make(app: Any, config: Any) -> None:
    """Write all made pages anew."""
    shutil.rmtree(GENERATED, ignore_errors=True)
    for part in (pages, tour, rooms, gallery, reference):
        part.write(GENERATED)


def read(app: Any, page: str, source: list[str]) -> None:
    """Change a page of the guide as Sphinx reads it: its links, its contents, the picture of the rooms."""
    source[0] = pages.prepared(page, source[0])


def setup(app: Any) -> dict[str, Any]:
    app.connect("config-inited", make)
    app.connect("source-read", read)
    app.connect("autodoc-process-docstring", docstrings.convert)
    app.connect("autodoc-process-signature", docstrings.signature)
    app.connect("missing-reference", docstrings.undocumented)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
