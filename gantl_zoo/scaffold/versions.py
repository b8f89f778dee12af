"""The version of the scaffold, and what a newer one adds to packages that an older one wrote."""

from __future__ import annotations

import json
import re
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlparse

SCAFFOLD = 1
ADDED: dict[int, str] = {  # by version: what it adds, as an advice
    1: "",
}


def newer(plugin: str) -> list[str]:
    """Lines on what a newer scaffold adds to a plug-in.

    Empty if its source is not installed in editable mode, or if `gantl-zoo plugin new` did not write it.
    """
    folder = source_of(plugin)
    own = None if folder is None else version_in(folder)
    if own is None or own >= SCAFFOLD:
        return []
    lines = [f"{plugin} was written by version {own} of the scaffold; version {SCAFFOLD} adds:"]
    return lines + [f"  {text}" for version, text in sorted(ADDED.items()) if version > own]


def source_of(plugin: str) -> Path | None:
    """The folder of a package that is installed in editable mode."""
    try:
        distribution = metadata.distribution(plugin)
        text = distribution.read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        return None
    url = json.loads(text or "{}")
    if not url.get("dir_info", {}).get("editable"):
        return None
    return Path(unquote(urlparse(url["url"]).path))


def version_in(folder: Path) -> int | None:
    """The version of the scaffold that a package's pyproject.toml states."""
    file = folder / "pyproject.toml"
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    section = text.partition("[tool.gantl-zoo]")[2].partition("\n[")[0]
    match = re.search(r"^scaffold\s*=\s*(\d+)", section, re.M)  # tomllib needs Python 3.11
    return int(match[1]) if match else None
