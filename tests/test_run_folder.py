"""Run folders: numbers, names, damaged rows, and texts that a config can't hold."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from helpers import TINY
from PIL import Image

import gantl_zoo as gz
from gantl_zoo.cli.app import main
from gantl_zoo.runs.folder import RunFolder, begun_in, runs_in
from gantl_zoo.storage import schema
from gantl_zoo.storage.untrusted import escaped, parse, storable, to_json, walk
from gantl_zoo.training import checkpoint

LATIN_1 = os.fsdecode(b"caf\xe9")


def names(folder: Path) -> list[str]:
    return [path.name for path in runs_in(folder)]


def test_numbers_go_on_after_99999(tmp_path: Path) -> None:
    (tmp_path / "99998-old").mkdir()
    (tmp_path / "20250131-photos").mkdir()  # a date
    made = [RunFolder.create(tmp_path, "new", {}).path.name for _ in range(4)]
    assert made == ["99999-new", "100000-new", "100001-new", "100002-new"]
    assert names(tmp_path) == ["99998-old", *made]
    for run in ("99999-new", "100001-new"):
        (tmp_path / run / "checkpoints" / "00000003").mkdir(parents=True)
    assert begun_in(tmp_path) == tmp_path / "100001-new"


def test_checkpoints_are_in_the_order_of_their_steps(tmp_path: Path) -> None:
    for name in ("99999999", "100000000", "00000003", "00000003 (copy)"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
        (tmp_path / "checkpoints" / name / "state.json").write_text("{}")
    assert [path.name for path in checkpoint.saved(tmp_path)] == ["00000003", "99999999", "100000000"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dcgan-my photos", "00000-dcgan-my-photos"),
        ("dcgan-" + LATIN_1, "00000-dcgan-caf-"),
        ("a\x1b[31m..b", "00000-a-31m.b"),
        ("../../etc", "00000-.-.-etc"),
        ("日本", "00000-日本"),
        ("日" * 200, "00000-" + "日" * 60),
    ],
)
def test_a_runs_name_can_be_a_models(tmp_path: Path, name: str, expected: str) -> None:
    run = RunFolder.create(tmp_path, name, {})
    assert run.path.name == expected and not schema.title(run.path.name)


def test_damaged_rows_are_skipped(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.append("stats.jsonl", {"step": 1})
    with open(tmp_path / "stats.jsonl", "ab") as file:
        file.write(b"\0" * 40 + b"\n" + b'{"step": 2, "lo\n[1, 2]\nnull\n7\n"step"\n{}\n\xff\xfe\n\n')
        file.write(b'{"step": "2"}\n' + b"[" * 100_000 + b"\n" + b"\0" * 8)
    folder.append("stats.jsonl", {"step": 3})
    with open(tmp_path / "stats.jsonl", "ab") as file:
        file.write(b'{"step": 4')
    assert folder.rows("stats.jsonl") == [{"step": 1}, {"step": 3}]
    folder.forget_after(2)
    assert (tmp_path / "stats.jsonl").read_text() == '{"step": 1}\n'
    assert folder.rows("metrics.jsonl") == []


def test_a_run_with_damaged_rows_goes_on(photos: Path, tmp_path: Path) -> None:
    gz.train("dcgan", data=photos, image_size=28, out=tmp_path, **TINY)
    run = tmp_path / "00000-dcgan-photos"
    for name in ("stats.jsonl", "metrics.jsonl"):
        with open(run / name, "ab") as file:
            file.write(b"\0" * 512 + b"\n[]\n" + b'{"half')
    gz.train(resume=run)
    assert all(json.loads(line)["step"] >= 0 for line in (run / "stats.jsonl").read_text().splitlines())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (LATIN_1, "caf\\xe9"),
        ("a\x1bb", "a\\x1bb"),
        ("\ud800", "\\ud800"),
        ("日本 é", "日本 é"),
        ("\x7f", "\\x7f"),
    ],
)
def test_texts_are_escaped_and_only_what_is_printable_is_stored(text: str, shown: str) -> None:
    assert escaped(text) == shown
    if text == shown:
        assert storable(text, "it") == text
        return
    with pytest.raises(gz.DataError) as error:
        storable(text, "the data", gz.DataError)
    assert f"the data '{shown}' can't be stored" in str(error.value) and str(error.value).isprintable()


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"data": {"source": LATIN_1}}, r"data.source 'caf\\xe9'"),
        ({"list": ["a", {"b\0": 1}]}, r"a key of list 'b\\x00'"),
        ({"names": ("a", "b\x1b")}, r"names 'b\\x1b'"),
        ({"lr": float("nan")}, "NaN"),
        ({"lr": float("inf")}, "Infinity"),
        ({"seed": 10**30}, "more than 20 digits"),
        ({"strategy_config": {"to": object()}}, "not JSON serializable"),
        ({"long": "x" * 70_000}, "at most 65,536"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_run_folder_always_has_a_config_that_can_be_read(
    tmp_path: Path, config: dict[str, Any], said: str
) -> None:
    with pytest.raises(gz.UsageError, match=f"the run's config.* {said}|the run's config: {said}"):
        RunFolder.create(tmp_path / "runs", "x", config)
    assert not (tmp_path / "runs").exists()


def test_what_is_stored_is_what_is_read() -> None:
    config = {"a": ["é", "日本\n"], "b": None, "c": 1.5}
    text = to_json(config, "it")
    walk(parse(text.encode()))
    assert json.loads(text) == config


def pictures(folder: Path, *classes: str) -> Path:
    for number in range(24):
        place = folder / classes[number % len(classes)] if classes else folder
        place.mkdir(parents=True, exist_ok=True)
        Image.new("L", (28, 28), number * 9).save(place / f"{number}.png")
    return folder


@pytest.mark.parametrize("name", [LATIN_1, "a\x1bb"])
@pytest.mark.parametrize("verb", ["train dcgan", "train dcgan --conditional", "transfer dcgan-mnist",
                                  "classify train cnn"])  # fmt: skip
def test_a_name_that_cant_be_stored_is_refused_before_the_first_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, verb: str
) -> None:
    words = [*verb.split(), "--out", str(tmp_path / "runs"), "--quiet"]
    for_classes = "--conditional" in words or words[0] == "classify"
    data = pictures(tmp_path / "data", name, "blue") if for_classes else pictures(tmp_path / name)
    words += ["--epochs", "1"] if words[0] == "classify" else ["--steps", "2", "--metrics", "none"]
    with pytest.raises(SystemExit) as stop:
        main([*words, "--data", str(data)])
    error = capsys.readouterr().err
    assert stop.value.code in (1, 2) and escaped(name) in error and "can't be stored" in error
    assert error.count("\n") == 1 and not (tmp_path / "runs").exists()


def test_a_run_folder_may_lie_anywhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, out = pictures(tmp_path / "data"), tmp_path / LATIN_1
    gz.train("dcgan", data=data, out=out, **TINY)
    (run,) = out.iterdir()
    gz.train(resume=run)
    for words in (["info", str(run)], ["sample", str(run), "--out", str(out / "grid.png")]):
        with pytest.raises(SystemExit) as stop:
            main(words)
        assert not stop.value.code, capsys.readouterr().err
    assert (out / "grid.png").is_file()
