"""`~` means the home folder in every option that is a path."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import typer

import gantl_zoo as gz
from gantl_zoo.cli.app import VERBS, main
from gantl_zoo.cli.command import load
from gantl_zoo.cli.options import expand
from gantl_zoo.runs.folder import RunFolder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "home"


def verbs(app: typer.Typer) -> Iterator[Any]:
    for group in app.registered_groups:
        assert group.typer_instance is not None
        yield from verbs(group.typer_instance)
    yield from (command.callback for command in app.registered_commands)


def test_every_path_on_the_command_line_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/users/me")
    count = 0
    for verb in {verb for module in set(VERBS.values()) for verb in verbs(load(module))}:
        for option in inspect.signature(verb, eval_str=True).parameters.values():
            kind, *rest = get_args(option.annotation) or (option.annotation,)
            if Path in (kind, *get_args(kind)) or option.name in ("data", "gan", "source"):
                assert rest[0].callback is expand, f"{verb.__name__} {option.name}"
                count += 1
    assert count > 20
    assert expand(Path("~/x")) == Path("/users/me/x") and expand("~") == "/users/me"
    assert expand(None) is None and expand("dcgan-mnist") == "dcgan-mnist"


def run(*words: str) -> None:
    with pytest.raises(SystemExit) as stop:
        main(list(words))
    assert not stop.value.code


def test_no_folder_is_called_tilde(home: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos.rename(home / "photos")
    run("sample", "dcgan-mnist", "--seeds", "0", "--out=~/grid.png", "--separate", "~/each")
    assert (home / "grid.png").is_file() and (home / "each" / "seed0000.png").is_file()
    run("train", "dcgan", "--data=~/photos", "--image-size", "28", "--channels", "1", "--batch", "4",
        "--steps", "2", "--metrics", "none", "--generator-arg", "width=4", "--out=~/runs")  # fmt: skip
    assert (home / "runs" / "00000-dcgan-photos" / "model").is_dir()
    run("train", "--resume=~/runs/00000-dcgan-photos")
    run("info", "~/runs/00000-dcgan-photos")
    run("evaluate", "~/runs/00000-dcgan-photos", "--data=~/photos", "--channels", "1", "--samples", "8",
        "--metrics", "kd", "--extractor", "pixels", "--json", "~/scores.json")  # fmt: skip
    assert json.loads((home / "scores.json").read_text())
    assert not list(Path().iterdir()), "the working directory is empty"


def test_python_callers_are_expanded_too(home: Path) -> None:
    folder = RunFolder.create("~/runs", "x", {"recipe": {}})
    assert folder.path == home / "runs" / "00000-x"
    assert RunFolder.open("~/runs/00000-x")[0].path == folder.path
    with pytest.raises(gz.TrainingError, match="is not a run folder"):
        RunFolder.open(Path("~") / "runs" / "00001-y")
    assert not list(Path().iterdir())
