"""All conditions, the most serious first."""

from __future__ import annotations

from gantl_zoo.runs.diagnosis import samples

CONDITIONS = [*samples.CONDITIONS]
