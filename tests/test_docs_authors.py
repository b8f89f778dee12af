"""The pages for authors of plug-ins: each example is complete, short, and runs as it is printed."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import run
from test_docs import AUTHORS, blocks, text_of

from gantl_zoo.registry.builtins import REGISTRIES
from gantl_zoo.registry.plugins import guide, singular

LONGEST = 40  # lines of an example
PACKAGE = AUTHORS / "package.md"


@pytest.fixture(autouse=True)
def registries(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder of its own, and registries that forget what a page has registered."""
    monkeypatch.chdir(tmp_path)
    for registry in REGISTRIES.values():
        monkeypatch.setattr(registry, "_own", dict(registry._own))


def test_each_kind_has_a_page_and_each_page_a_kind() -> None:
    pages = {f"docs/authors/{page.name}" for page in AUTHORS.glob("*.md")}
    assert pages == {*map(guide, REGISTRIES), "docs/authors/package.md"}


@pytest.mark.parametrize("kind", REGISTRIES)
def test_an_example_runs_as_it_is_printed(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    page = AUTHORS / f"{singular(kind)}.md"
    before = set(REGISTRIES[kind]._own)
    first, *others = blocks(page, "python")
    assert first.count("\n") < LONGEST, f"{first.count(chr(10))} lines"
    assert "gantl_zoo.testing" in first, "the example ends with the checks of its kind"
    exec(compile(first, page.name, "exec"), {"__name__": "guide"})
    assert set(REGISTRIES[kind]._own) > before, f"the example registers none of the {kind}"
    expected = re.findall(r"^print\(.*\)  # (.*)$", first, re.M)
    assert capsys.readouterr().out.splitlines() == expected
    for code in others:
        exec(compile(code, page.name, "exec"), {"__name__": "guide"})


def test_the_package_that_is_shown_passes_its_checks(
    install: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    module, *others = blocks(PACKAGE, "python")
    project = blocks(PACKAGE, "toml")[0]
    assert module.count("\n") + project.count("\n") < LONGEST
    (name,) = re.findall(r'^name = "(.*)"$', project, re.M)
    ((group, points),) = re.findall(
        r'^\[project.entry-points."gantl_zoo.(\w+)"\]\n(.*?)\n\n', project, re.M | re.S
    )
    install(name, module, **{group: dict(re.findall(r'^([\w-]+) = "(.*)"$', points, re.M))})
    code, out, err = run(capsys, "plugins", name, "--check")
    assert code == 0 and "last-only" in out + err
    for code_of in others:
        exec(compile(code_of, PACKAGE.name, "exec"), {"__name__": "guide"})
    sys.modules.pop("my_gans", None)


def test_the_package_page_names_every_group_of_entry_points() -> None:
    assert {f"gantl_zoo.{kind}" for kind in REGISTRIES} <= set(
        re.findall(r"`(gantl_zoo\.\w+)`", text_of(PACKAGE))
    )
