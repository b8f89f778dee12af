"""Settings of the site that `make docs` builds from the guide. `sitegen/` makes pages at build time."""

from __future__ import annotations

import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS), str(DOCS.parent)]

from gantl_zoo.version import VERSION  # noqa: E402

project, author, release = "gantl_zoo", "gantl_zoo", VERSION
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode", "sitegen"]
exclude_patterns = ["_build", "sitegen"]

# Markdown: anchors as GitHub makes them
myst_heading_anchors = 6
suppress_warnings = ["myst.header"]  # a model card's parts begin at the second level

smartquotes = False  # "cpu" is to be typed so

# every reference leads somewhere, but for types of other projects, which have no pages here
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(?:torch|nn|numpy|np|PIL|collections|inspect|pathlib|typing|typing_extensions)\..*"),
    ("py:class", "Array|Image|Pace|Path|Picture|Tensor"),  # imported for type checkers alone
]

autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_inherit_docstrings = False
autodoc_member_order = "bysource"
python_maximum_signature_line_length = 80
toc_object_entries_show_parents = "hide"

# nothing comes from another host: Furo has no fonts or scripts from elsewhere
html_theme = "furo"
html_title = f"gantl_zoo {VERSION}"
html_static_path = ["sitegen/static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False
