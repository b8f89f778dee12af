"""Fixtures that make short runs fast: what surrounds the training takes most of the time of a few steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gantl_zoo.runs import prepare
from gantl_zoo.runs.report import svg
from gantl_zoo.storage.atomic import replace_file
from gantl_zoo.training import health
from gantl_zoo.viz import curves
from gantl_zoo.viz.panels import Panel


@pytest.fixture
def full_runs() -> None:
    """The runs of the test do all that runs outside of the tests do."""


@pytest.fixture(autouse=True)
def quick_runs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs draw no curves, check few samples and name no other source, unless the test uses `full_runs`."""
    if "full_runs" not in request.fixturenames:
        monkeypatch.setattr(prepare, "nearness", lambda source, images, far: "")
        monkeypatch.setattr(curves, "draw", blank_picture)
        monkeypatch.setattr(svg, "drawn", blank_svg)
        monkeypatch.setattr(health, "LOOKED_AT", 32)


def blank_picture(
    stats: curves.Rows, metrics: curves.Rows, path: Path, floors: Any = None, chance: float | None = None
) -> Path | None:
    """The file of `curves.draw`, blank; None where that draws nothing."""
    if not curves.panels_with_rows(stats, metrics, floors or {}):
        return None
    with replace_file(path) as beside:
        Image.new("RGB", (8, 8)).save(beside, format="png")
    return path


def blank_svg(rows: curves.Rows, panel: Panel, chance: float | None, name: str) -> str:
    """The element of `svg.drawn`, blank."""
    return svg.inline("<svg></svg>", panel.title)
