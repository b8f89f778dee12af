"""docs/troubleshooting.md: a section for each condition of the doctor, with its thresholds and real options."""

from __future__ import annotations

import re

import pytest
import typer
from test_docs import DOCS, text_of

from gantl_zoo.cli.app import app
from gantl_zoo.data.files import CORRUPT_LIMIT
from gantl_zoo.data.split import HELD_OUT
from gantl_zoo.runs.diagnosis import amount, discriminator, samples, settings
from gantl_zoo.runs.diagnosis.condition import Condition
from gantl_zoo.runs.diagnosis.table import CONDITIONS

TEXT = text_of(DOCS / "troubleshooting.md")
PARTS = ("**Symptom.**", "**Evidence.**", "**What to change.**")
THRESHOLDS = {
    "lr-too-high": [f"{settings.LARGE:.0%}", f"{settings.USUAL:.1%}"],
    "lr-too-low": [f"{settings.SMALL:.4%}"],
    "collapse": [f"{samples.COLLAPSED:g}", f"{samples.FRESH:,}"],
    "memorising": [f"{samples.COPIES:g}"],
    "augmentation-leak": [f"{samples.CERTAIN:g}", f"p={samples.CERTAIN / 2:g}"],
    "too-few-steps": [f"{amount.ALIKE:g}", f"{amount.FRESH:,}"],
    "saturated-discriminator": [f"{discriminator.RANKED:.1%}", f"{discriminator.SOLVED:.0%}"],
    "overfitting": [f"{discriminator.MEMORISED:g}"],
    "r1-too-strong": [f"{discriminator.STRONG}"],
    "frozen-too-much": [f"{settings.FROZEN:.0%}"],
    "frozen-too-little": [f"{settings.FEW}", f"{settings.WORSE:g}"],
    "few-held-out": [f"{amount.HELD_OUT}"],
}


def section_of(name: str) -> str:
    found = re.search(rf"^### `{name}`\n(.*?)(?=^##)", TEXT, re.M | re.S)
    assert found, f"docs/troubleshooting.md has no section `{name}`"
    return found[1]


@pytest.mark.parametrize("condition", CONDITIONS, ids=lambda condition: condition.name)
def test_a_condition_has_a_section(condition: Condition) -> None:
    text = section_of(condition.name)
    first = text.strip().split("\n")[0].lower()
    assert condition.title.lower() in first
    assert condition.note is ("note" in first)
    assert all(part in text for part in PARTS)
    plain = text.replace(" %", "%")
    assert all(number in plain for number in THRESHOLDS.get(condition.name, []))


def test_the_sections_are_those_of_the_doctor() -> None:
    assert sorted(re.findall(r"^### `(.*?)`$", TEXT, re.M)) == sorted(c.name for c in CONDITIONS)


def test_every_option_exists() -> None:
    command = typer.main.get_command(app)
    context = command.make_context("gantl-zoo", [], resilient_parsing=True)
    known = {"--debug"}
    for verb in ("train", "transfer", "evaluate", "resume"):
        part = command.get_command(context, verb)  # type: ignore[attr-defined]
        known |= {option for parameter in part.params for option in parameter.opts}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", TEXT)) <= known


def test_the_limits_of_images_are_those_of_the_code() -> None:
    assert f"Above {CORRUPT_LIMIT:.0%}".replace("%", " %") in TEXT
    assert f"a test split needs at least {HELD_OUT}" in TEXT
