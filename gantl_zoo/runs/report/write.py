"""Write a report to a file."""

from __future__ import annotations

import os
from pathlib import Path

from gantl_zoo.errors import UsageError
from gantl_zoo.runs.report.contents import contents
from gantl_zoo.runs.report.markdown import markdown
from gantl_zoo.runs.report.page import html
from gantl_zoo.storage.atomic import replace_file

FILE = "report.html"
SUFFIXES = (".html", ".htm", ".md")


def write_report(*sources: str | Path, to: str | Path | None = None) -> Path:
    """Write one page about runs or models: is it good, and why not? Returns its path.

    `sources` are run folders, model folders or names; several are compared. The page has the lineage, the
    samples during a run, the metrics, the curves, the diagnosis and the command. It needs no other file and
    loads nothing. `to` ends in .html or, for the words alone, in .md; None means `report.html` in the folder
    of a single run, else in the current folder. Raises `UsageError` and what `load_model` raises.
    """
    if not sources:
        raise UsageError("name a run folder or a model for the report")
    subjects = [contents(source) for source in sources]
    alone = len(subjects) == 1 and subjects[0].is_run
    path = (
        Path(os.path.expanduser(to)) if to is not None else (subjects[0].folder if alone else Path()) / FILE
    )
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{path} must end in .html or .md")
    text = markdown(subjects) if path.suffix.lower() == ".md" else html(subjects)
    try:
        with replace_file(path) as beside:
            beside.write_text(text, encoding="utf-8", errors="backslashreplace")  # names of files
    except OSError as error:
        raise UsageError(f"can't write {path}: {error.strerror or error}") from error
    return path
