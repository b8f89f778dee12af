"""README, guide and changelog: links, pictures, commands, Python code, and tables of names."""

from __future__ import annotations

import ast
import importlib.util
import math
import re
import shlex
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image

import gantl_zoo as gz
from gantl_zoo.cli.app import ClickError, app
from gantl_zoo.metrics.catalogue import BY_DEFAULT
from gantl_zoo.registry.builtins import REGISTRIES
from gantl_zoo.strategy import auto

ROOT = Path(__file__).parent.parent
DOCS, PICTURES = ROOT / "docs", ROOT / "docs" / "pictures"
AUTHORS = DOCS / "authors"  # test_docs_authors.py runs these pages
GUIDE = sorted([*DOCS.glob("*.md"), *AUTHORS.glob("*.md")])
PAGES = [ROOT / "README.md", *GUIDE]
BESIDE = ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "benchmarks/README.md")
LINKED = [*PAGES, *(ROOT / name for name in BESIDE)]
LINKED += sorted((ROOT / "plugins").glob("*/README.md"))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
CARD = (87, 96, 106)  # as in docs/pictures.py
PICTURES_LIMIT = 3_000_000
NOT_PLAIN = r"\b(knows|told|taught|sees|rests|rivals?|whoever)\b"  # words that the guide does not use


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return FENCE.sub("", text_of(page))


def blocks(page: Path, language: str) -> list[str]:
    """The blocks of code in a language."""
    return [code for kind, code in FENCE.findall(text_of(page)) if kind == language]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def section(page: str, heading: str) -> str:
    """The text of `docs/PAGE.md` under a heading, up to the next one."""
    found = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", text_of(DOCS / f"{page}.md"), re.M | re.S)
    assert found, f"docs/{page}.md has no section {heading}"
    return found[1]


def own(kind: str) -> list[str]:
    """The built-in names of a registry."""
    registry = REGISTRIES[kind]
    return [name for name in registry.names() if registry.info(name).owner == "gantl_zoo"]


@pytest.mark.parametrize("page", LINKED, ids=named)
def test_every_link_and_anchor_exists(page: Path) -> None:
    for _, _, target in LINK.findall(prose(page)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{target} does not exist"
        assert there.is_relative_to(ROOT), f"{target} is outside of the repository"
        assert not anchor or anchor in anchors(there), f"{target}: {named(there)} has no such heading"


def test_readme_is_short_and_opens_with_the_demo() -> None:
    text = text_of(ROOT / "README.md")
    assert text.count("\n") <= 150
    opening = text[:2000]
    assert "docs/pictures/demo.png" in opening and "make demo" in opening and "make test" in opening
    assert "gz.load_model(" in opening and "gz.transfer(" in opening


def test_every_page_is_listed() -> None:
    for page in GUIDE:
        beside = DOCS / "plugins.md" if page.parent == AUTHORS else ROOT / "README.md"
        for index in (beside, DOCS / "index.md"):
            place = page.relative_to(index.parent).as_posix()
            assert page.name == "index.md" or f"]({place})" in text_of(index), f"{named(index)} omits {place}"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_a_page_is_plain_markdown_with_one_title(page: Path) -> None:
    text = prose(page)
    assert text.startswith("# ") and len(re.findall(r"^# ", text, re.M)) == 1
    assert not re.search(r"</?(?!picture\b|img\b|source\b)[a-z]+[ >]", re.sub(r"`[^`]*`", "", text))
    assert not (wrong := re.findall(NOT_PLAIN, text, re.I)), f"not plain English: {wrong}"


def test_pictures_are_small_described_and_used() -> None:
    pictures = {path.name: path for path in PICTURES.iterdir()}
    assert sum(path.stat().st_size for path in pictures.values()) < PICTURES_LIMIT
    used = set()
    for page in PAGES:
        for mark, alt, target in LINK.findall(prose(page)):
            if mark:
                used.add(Path(target).name)
                assert len(alt.split()) >= 3, f"{named(page)}: {target} needs a description"
    assert used == set(pictures)
    for path in pictures.values():  # on a grey card with transparent corners: for light and dark pages
        with Image.open(path) as picture:
            assert picture.mode == "RGBA" and picture.getpixel((0, 0)) == (0, 0, 0, 0), path.name
            assert picture.getpixel((4, picture.height // 2)) == (*CARD, 255), path.name


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module docs/pictures.py, which writes into `tmp_path`."""
    spec = importlib.util.spec_from_file_location("pictures", DOCS / "pictures.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "PICTURES", tmp_path)
    return module


@pytest.mark.parametrize("name", [name for name in own("models") if name.startswith("dcgan")])
def test_pictures_are_those_that_the_script_makes(name: str, script: Any, tmp_path: Path) -> None:
    script.release(name)
    drawn = sorted(path.name for path in tmp_path.iterdir())
    assert drawn == [f"samples-{name}.png", f"thumbnail-{name}.png"]
    for file in drawn:  # another processor rounds differently, so not to the byte
        ours, kept = (np.asarray(Image.open(folder / file)).astype(int) for folder in (tmp_path, PICTURES))
        assert ours.shape == kept.shape and np.abs(ours - kept).mean() < 2, "python docs/pictures.py"


def test_the_demos_picture_is_made_of_a_run(script: Any, photos: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"channels": 1, "steps": 1, "batch": 4, "metrics": "none", "quiet": True}
    gan = gz.transfer("dcgan-mnist", data=photos, compare_scratch=True, out=tmp_path / "runs", **settings)
    assert gan.folder is not None
    script.demo(gan.folder.parent)
    with Image.open(tmp_path / "demo.png") as picture:
        assert picture.size == (4 * 252, 252 + script.HEAD)
        panels = [np.asarray(picture)[:, i * 252 : (i + 1) * 252] for i in range(4)]
    assert all((a != b).any() for a, b in pairwise(panels))


def test_tables_of_names_are_complete() -> None:
    readme, models = text_of(ROOT / "README.md"), section("models", "The released models")
    for name in own("models"):
        assert f"[`{name}`](model_cards/{name}.md)" in readme and f"| `{name}` |" in models, name
        assert (PICTURES / f"thumbnail-{name}.png").is_file(), "python docs/pictures.py makes it"
    for name in own("strategies"):
        assert f"| `{name}` |" in section("strategies", "The strategies"), name
    for name in own("presets") if "presets" in REGISTRIES else []:
        assert name in own("models") or f"| `{name}` |" in section("training", "Presets"), name
    for name in own("regularizers"):
        assert f"| `{name}` |" in section("training", "Loss, augmentation, regularization"), name
    for name in own("formats"):
        assert f"| `{name}` |" in section("import", "Formats"), name
    for name in gz.datasets.names():
        assert f"| `{name}` |" in section("data", "Data names"), name


def test_the_guide_of_strategies_has_the_lines_of_the_code() -> None:
    text = section("strategies", "Which one?")
    for line in auto.GUIDE:
        settings = "".join(f" {key}={value}" for key, value in line.settings.items())
        assert f"`{line.strategy}{settings}`" in text, line
        assert math.isinf(line.most) or f"| to {line.most} |" in text, line
        assert math.isinf(line.farthest) or f"(to {line.farthest})" in text, line


def test_metrics_page_says_which_metrics_auto_leaves_out() -> None:
    text = section("metrics", "The metrics")
    tables = text.split("\n### ")[0].split("\n| on request |")
    cells = [re.findall(r"^\| (`[^|]*) \|", table, re.M) for table in tables]
    shown, requested = ({name for cell in table for name in re.findall(r"`(\w+)`", cell)} for table in cells)
    assert shown == set(BY_DEFAULT) and requested == {*gz.metrics.names()} - shown


def test_the_command_lines_page_lists_every_verb() -> None:
    command = typer.main.get_command(app)
    context = command.make_context("gantl-zoo", [], resilient_parsing=True)
    verbs: list[str] = []
    for verb in command.list_commands(context):  # type: ignore[attr-defined]
        inner = command.get_command(context, verb)  # type: ignore[attr-defined]
        deeper = inner.list_commands(context) if hasattr(inner, "list_commands") else []
        verbs += [f"{verb} {name}" for name in deeper] or [verb]
    assert verbs
    for verb in verbs:
        assert f"`{verb}`" in section("command-line", "Verbs"), verb


def commands(page: Path) -> list[str]:
    """Every command in a page: lines of its shell blocks, and code within its sentences."""
    lines = "\n".join(blocks(page, "sh")).replace('"$(command -v gantl-zoo)"', "gantl-zoo").splitlines()
    typed = [found[0] for line in lines if (found := re.search(r"gantl-zoo .*", line))]
    quoted = re.findall(r"`(gantl-zoo [^`]*)`", prose(page).replace("\n", " "))
    return [c.split("|")[0] for c in [*typed, *quoted] if "VERB" not in c]


def parse(command: str) -> None:
    """Parse a command as the command line does, and call nothing. Raises what typer raises."""
    part: Any = typer.main.get_command(app)
    _, *words = shlex.split(command, comments=True)
    context = part.make_context("gantl-zoo", [], resilient_parsing=True)
    while words and hasattr(part, "get_command") and not words[0].startswith("-"):
        verb, *words = words
        part = part.get_command(context, verb)
        assert part is not None, f"{verb} is not a verb"
    for option in part.params:  # nothing acts: --install-completion would write into the home folder
        option.callback = None
    part.make_context("gantl-zoo", words)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_commands_have_only_verbs_and_options_that_exist(page: Path) -> None:
    wrong = []
    for command in commands(page):
        try:
            parse(command)
        except typer.Exit:  # a page of help, or the version
            continue
        except Exception as error:
            wrong.append(f"{command}: {getattr(error, 'message', error)}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("command", ["lisst", "list --colour", "transfer x --steps many", "sample"])
def test_a_wrong_command_is_found(command: str) -> None:
    with pytest.raises((AssertionError, ClickError, gz.UsageError)):
        parse(f"gantl-zoo {command}")


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=named)
def test_make_has_every_target_that_is_named(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", text_of(ROOT / "Makefile"), re.M))
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", text_of(page), re.M)) <= targets


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_python_code_has_only_public_names(page: Path) -> None:
    for code in blocks(page, "python"):
        ast.parse(code, named(page))
    unknown = set(re.findall(r"\bgz\.(\w+)", text_of(page))) - {*gz.__all__, "__version__"}
    assert not unknown, f"not in gantl_zoo.__all__: {sorted(unknown)}"


def brief(verb: Callable[..., Any]) -> Callable[..., Any]:
    """The verb with two steps and few samples, whatever it is called with."""

    def call(*arguments: Any, **settings: Any) -> Any:
        for name in ("preset", "minutes"):
            settings.pop(name, None)
        return verb(*arguments, **settings | {"steps": 2, "batch": 4, "metrics": "none", "quiet": True})

    return call


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python") and p.parent != AUTHORS], ids=named)
def test_python_code_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photos: Path) -> None:
    """All blocks of a page in one folder, but for those that need a downloaded data set or an earlier run."""
    photos.rename(tmp_path / "my-photos")
    (tmp_path / "photos").symlink_to(tmp_path / "my-photos")
    monkeypatch.chdir(tmp_path)
    for registry in REGISTRIES.values():  # what a page registers is gone afterwards
        monkeypatch.setattr(registry, "_own", dict(registry._own))
    evaluate = gz.evaluate
    monkeypatch.setattr(gz, "transfer", brief(gz.transfer))
    monkeypatch.setattr(gz, "evaluate", lambda model, **rest: evaluate(model, **rest | {"samples": 50}))
    for code in blocks(page, "python"):
        if not re.search(r'data="mnist"|gz\.resume\(', code):
            exec(compile(code, named(page), "exec"), {"__name__": "guide"})
