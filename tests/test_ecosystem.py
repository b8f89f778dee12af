"""The files for those who cite, report, contribute and release; and what the pages for maintainers state."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from helpers import SMALL

import gantl_zoo as gz
from gantl_zoo.cli.app import app
from gantl_zoo.storage.card.facts import usage
from gantl_zoo.storage.card.metadata import LIBRARY, metadata
from gantl_zoo.studio.settings import HOST

ROOT = Path(__file__).parent.parent
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("[!c]*.yml"))
PROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")  # tomllib needs Python 3.11
PAGE = (ROOT / "docs" / "hub-library.md").read_text(encoding="utf-8")
ON_THE_HUB = {"base_model": "me/base", "base_revision": "0" * 40}


def stated(key: str) -> str:
    """A text of `[project]` in pyproject.toml."""
    found = re.search(rf'^{key} = "(.*)"$', PROJECT, re.M)
    assert found, key
    return found[1]


def test_the_citation_is_valid_and_about_this_version() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(cited)  # what the format requires
    assert cited["cff-version"] == "1.2.0" and cited["type"] == "software"
    assert all(author.get("name") or author.get("family-names") for author in cited["authors"])
    stating = {"title": "name", "version": "version", "abstract": "description", "license": "license"}
    assert {key: str(cited[key]) for key in stating} == {key: stated(name) for key, name in stating.items()}


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_a_form_is_one_that_the_host_shows(path: Path) -> None:
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert set(form) <= {"name", "description", "title", "labels", "assignees", "body"}
    assert form["name"] and form["description"]
    inputs = [part for part in form["body"] if part["type"] != "markdown"]
    assert inputs and {part["type"] for part in inputs} <= {"textarea", "input", "dropdown", "checkboxes"}
    labels = [part["attributes"]["label"] for part in inputs]
    names = [part["id"] for part in inputs]
    assert len(set(labels)) == len(labels) and len(set(names)) == len(names)
    assert all(re.fullmatch(r"[\w-]+", name) for name in names)
    for part in inputs:
        assert part["type"] != "dropdown" or len(set(part["attributes"]["options"])) > 1


def test_forms_and_policies_name_commands_and_calls_that_exist() -> None:
    import typer

    verbs = set(typer.main.get_command(app).list_commands(None))  # type: ignore[attr-defined,arg-type]
    texts = [path.read_text(encoding="utf-8") for path in (*FORMS, ROOT / "SECURITY.md")]
    named = {verb for text in texts for verb in re.findall(r"`gantl-zoo (?:--debug )?([a-z]+)", text)}
    assert {"env", "doctor", "info", "push", "plugins"} <= named <= verbs
    for call in {call for text in texts for call in re.findall(r"`gz\.([\w.]+)\(", text)}:
        found: Any = gz
        for part in call.split("."):
            found = getattr(found, part)
        assert callable(found)


class Unsafe(ast.NodeVisitor):
    """The lines of a module that could run what a file holds."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def visit_Import(self, node: ast.Import) -> None:
        self.found += [ast.unparse(node) for name in node.names if unpickles(name.name)]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if unpickles(node.module or ""):
            self.found.append(ast.unparse(node))

    def visit_Call(self, node: ast.Call) -> None:
        self.generic_visit(node)
        called, settings = ast.unparse(node.func), {word.arg: word.value for word in node.keywords}
        only = settings.get("weights_only")
        if called == "torch.load" and not (isinstance(only, ast.Constant) and only.value is True):
            self.found.append(ast.unparse(node))
        if called in ("eval", "exec", "torch.jit.load", "torch.hub.load", "load_state_dict_from_url"):
            self.found.append(ast.unparse(node))
        for risky in ("allow_pickle", "trust_remote_code"):
            value = settings.get(risky)
            if value is not None and not (isinstance(value, ast.Constant) and value.value is False):
                self.found.append(ast.unparse(node))


def unpickles(module: str) -> bool:
    return module.partition(".")[0] in ("pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve")


def unsafe(code: str) -> list[str]:
    visitor = Unsafe()
    visitor.visit(ast.parse(code))
    return visitor.found


@pytest.mark.parametrize(
    "code",
    ["import pickle", "from pickle import load", "torch.load('x')", "torch.load('x', weights_only=False)",
     "exec(text)", "np.load('x', allow_pickle=True)"],
)  # fmt: skip
def test_a_line_that_could_run_a_file_is_found(code: str) -> None:
    assert unsafe(code)


def test_nothing_in_the_package_unpickles_a_file() -> None:
    package = Path(gz.__file__).parent
    for path in package.rglob("*.py"):
        assert not (lines := unsafe(path.read_text(encoding="utf-8"))), f"{path}: {lines}"


def test_studio_and_service_listen_on_this_machine_by_default() -> None:
    import inspect

    from gantl_zoo.cli.serve import serve

    assert HOST == "127.0.0.1" == inspect.signature(serve).parameters["host"].default


def small(**config: Any) -> dict[str, Any]:
    gan = gz.build_gan("dcgan", generator_config=SMALL | config, discriminator_config={"width": 4} | config)
    return gan.config()


def columns() -> dict[str, dict[str, Any]]:
    """By the heads of the page's table: the head of the card of such a model whose base is on the Hub."""
    base = {"model": "me/base", "revision": "0" * 40, "digest": "d"}
    backbone = {"kind": "backbone", "backbone": {"name": "cnn"}, "name": "x"}
    configs = {
        "GAN": small(),
        "class-conditional GAN": small(num_classes=3),
        "classifier": backbone,
        "adapter": small() | {"kind": "adapter", "base": base},
    }
    return {kind: metadata(config | {"lineage": ON_THE_HUB}) for kind, config in configs.items()}


def test_the_page_of_the_hub_states_what_cards_state() -> None:
    rows = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("| ")]
    kinds = next(row for row in rows if row[0] == "key")[1:]
    table = {row[0].strip("`"): dict(zip(kinds, row[1:], strict=True)) for row in rows if len(row) == 5}
    for kind, head in columns().items():
        for key in ("library_name", "pipeline_tag", "base_model_relation"):
            assert table[key][kind].strip("`") == head.get(key, "none"), (key, kind)
        assert set(re.findall(r"`(.*?)`", table["tags"][kind])) <= set(head["tags"]), kind
    tags = {kind: set(head["tags"]) for kind, head in columns().items()}
    assert tags["GAN"] == {"gan", "pytorch", "dcgan", "transfer-learning"}
    assert tags["class-conditional GAN"] - tags["GAN"] == {"image-generation"}
    assert tags["adapter"] - tags["GAN"] == {"adapter"}
    assert tags["classifier"] == {"pytorch", "cnn", "transfer-learning"}


def test_the_entry_for_the_hub_has_the_cards_key() -> None:
    entry = re.search(r'^"(.*)": \{$', PAGE, re.M)
    assert entry and entry[1] == LIBRARY and re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", LIBRARY)


def snippets() -> dict[str, str]:
    """The three pieces of code on the page, by the kind of model."""
    adapter, backbone, gan = re.findall(r"`# pip install gantl_zoo\n(.*?)`,$", PAGE, re.M | re.S)
    return {"adapter": adapter, "backbone": backbone, "gan": gan}


@pytest.mark.parametrize("kind", ["gan", "backbone"])
def test_the_snippet_is_the_code_of_the_card(kind: str) -> None:
    config = small() if kind == "gan" else {"kind": kind, "backbone": {"name": "cnn"}}
    lines = usage("me/my-model", config).splitlines()
    assert snippets()[kind].replace("${model.id}", "me/my-model").splitlines() == [
        line for line in lines if not line.startswith(("```", "images ="))
    ]


@pytest.mark.parametrize("kind", ["gan", "backbone", "adapter"])
def test_the_snippet_runs(kind: str, gan: gz.GAN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    scope: dict[str, Any] = {"images": torch.zeros(2, 1, 28, 28)}
    name = "cnn-mnist" if kind == "backbone" else str(gan.save("base"))
    if kind == "adapter":
        tuned = gz.load_model(name)
        with torch.no_grad():
            next(tuned.generator.parameters()).add_(0.1)
        tuned.about |= {"lineage": {"base_model": name}}
        name = str(tuned.adapter().save("adapter"))
    exec(snippets()[kind].replace("${model.id}", name), scope)
    if kind == "backbone":
        assert scope["logits"].shape == (2, 10)
    else:
        assert (tmp_path / "grid.png").stat().st_size > 0
