"""The notebook docs/tour.ipynb runs from top to bottom, and its kept outputs are those of a run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import gantl_zoo as gz

NOTEBOOK = Path(__file__).parent.parent / "docs" / "tour.ipynb"
LIMIT = 600  # seconds for a cell, on a machine that is busy
BRIEF = {"steps=400": "steps=4", "metrics_every=200": "metrics_every=2", "samples=500": "samples=50"}


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def kinds(cell: Any) -> set[str]:
    """The kinds of output of a cell, without what progress and logging print."""
    shown = [output for output in cell["outputs"] if output["output_type"] in ("execute_result", "stream")]
    named = [output.get("data", {output.get("name", ""): ""}) for output in shown]
    return {kind for data in named for kind in data} - {"stderr"}


def shorten(notebook: Any) -> None:
    """Let the notebook train for few steps, and measure few samples."""
    for long, short in BRIEF.items():
        cells = [cell for cell in code_cells(notebook) if long in cell["source"]]
        assert cells, f"the tour has no {long}"
        for cell in cells:
            cell["source"] = cell["source"].replace(long, short)


def test_the_tour_runs_and_shows_what_the_kept_one_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("GANTL_ZOO_DISABLE_PLUGINS", "all")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    kept = [kinds(cell) for cell in code_cells(notebook)]
    shorten(notebook)
    client = nbclient.NotebookClient(notebook, timeout=LIMIT, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    assert [kinds(cell) for cell in code_cells(notebook)] == kept
    assert sum("image/png" in found for found in kept) >= 4, "a tour shows pictures"
    assert (tmp_path / "my-portraits" / "generator.safetensors").is_file()


def test_the_tour_uses_public_names_and_keeps_its_outputs() -> None:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    source = "\n".join("".join(cell["source"]) for cell in code_cells(notebook))
    assert set(re.findall(r"\bgz\.(\w+)", source)) <= set(gz.__all__)
    assert not re.search(r"\b_\w|\._\w|import (?!gantl_zoo as gz)", source), "only public names"
    assert all(cell["execution_count"] for cell in code_cells(notebook)), "run it before it is kept"
    assert not re.search(r"Traceback|Warning|/(home|root|tmp)/", json.dumps(notebook["cells"]))
