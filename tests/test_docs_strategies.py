"""docs/strategies.md: each strategy with its settings as in the code, and its numbers as in the tables."""

from __future__ import annotations

import re
from typing import Any

import pytest
from test_docs import DOCS, ROOT, text_of

from gantl_zoo import registry

TABLES = sorted((ROOT / "benchmarks").glob("transfer*.md"))
OWNERS = ("gantl_zoo", "gantl-zoo-fewshot")
NAMES = [name for name in registry.strategies.names() if registry.strategies.info(name).owner in OWNERS]
RATIO = re.compile(r"\b\d\.\d\d\b")


def measured() -> dict[tuple[str, str, str], str]:
    """The ratios to scratch of transfer-short.md, by pair, number of images and strategy with its settings."""
    found, pair, images = {}, "", ""
    for line in text_of(ROOT / "benchmarks" / "transfer-short.md").splitlines():
        if line.startswith("## "):
            pair = line.split()[1]
        if line.startswith("### "):
            images = line.removeprefix("### ")
        if row := re.match(r"\| `(.*?)(?: backbone=\S+)?` \| \d+ \| [^|]* \| (\d\.\d\d) \|", line):
            found[pair, images, row[1]] = row[2]
    return found


def section_of(name: str) -> str:
    """The text of a strategy's section."""
    found = re.search(rf"^### `{name}`\n(.*?)(?=^##|\Z)", text_of(DOCS / "strategies.md"), re.M | re.S)
    assert found, f"docs/strategies.md has no section `{name}`"
    return found[1]


def typed(value: Any) -> str:
    """A default as it is typed on the command line."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


@pytest.mark.parametrize("name", NAMES)
def test_the_settings_are_those_of_the_code(name: str) -> None:
    rows = re.findall(r"^\| `(\w+)` \| `(.*?)` \|", section_of(name), re.M)
    parameters = registry.strategies.takes(name)[0]
    assert dict(rows) == {key: typed(p.default) for key, p in parameters.items()}


@pytest.mark.parametrize("name", NAMES)
def test_a_section_has_the_paper_and_says_when_it_wins(name: str) -> None:
    text = section_of(name)
    assert "**When it wins.**" in text
    doc = registry.strategies.load(name).__doc__ or ""
    for paper in re.findall(r"https://arxiv\.org/abs/[\d.]+\d", doc):
        assert paper in text


@pytest.mark.parametrize("name", NAMES)
def test_every_number_of_a_section_is_in_the_tables(name: str) -> None:
    text = section_of(name).partition("**When it wins.**")[2]
    named = {name, "full", *re.findall(r"`([\w-]+)`", text)}
    known: set[str] = set()
    for line in "\n".join(map(text_of, TABLES)).splitlines():
        cells = line.strip("| ").split("|")
        if re.split(r"[ `]", cells[0].strip(" `"))[0] in named:
            known |= set(RATIO.findall(line))
    assert set(RATIO.findall(text)) <= known


def test_the_table_of_all_strategies_is_that_of_the_benchmark() -> None:
    text = text_of(DOCS / "strategies.md").partition("**All strategies with the same budget.**")[2]
    rows = dict(re.findall(r"^\| `(.*?)` \| (.*) \|$", text.partition("\n### ")[0], re.M))
    table = measured()
    assert set(rows) == {*NAMES, "freeze-d first=1"}
    for name, cells in rows.items():
        pairs = ("digits", "mnist-glyphs", "mnist-fashion")
        expected = [table[p, f"{n} images", name] for n in (10, 100, 1000) for p in pairs]
        assert cells.split(" | ") == expected, name
