"""Stacked MNIST: data, channelwise classifier, modes, and a benchmark that goes on where it stopped."""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import json
import math
import re
from pathlib import Path

import pytest
import torch

import gantl_zoo as gz
from gantl_zoo import data
from gantl_zoo.bench import stacked_mnist as bench
from gantl_zoo.bench.cells import write_text
from gantl_zoo.cli.app import main
from gantl_zoo.data import ImageData, builtin, to_uint8
from gantl_zoo.metrics.classification import modes
from gantl_zoo.runs.extractor import choose_extractor

TINY = {"generator_config": {"width": 4, "latent_dim": 8}, "discriminator_config": {"width": 4}}


@pytest.fixture
def digits(monkeypatch: pytest.MonkeyPatch) -> ImageData:
    """A stand-in for MNIST: digits of dcgan-mnist, labelled by cnn-mnist."""
    images = to_uint8(gz.load_model("dcgan-mnist").generate(40))
    _, logits = choose_extractor("cnn-mnist", ImageData(images))(images)
    assert logits is not None
    found = ImageData(images, logits.argmax(1), tuple("0123456789"), "mnist")
    monkeypatch.setattr(builtin, "torchvision_set", lambda name, split, root: found)
    monkeypatch.setattr(builtin, "STACKS", {"train": 300, "test": 120})
    return found


def test_stacks_are_three_digits_and_their_class_is_all_of_them(digits: ImageData) -> None:
    stacks = data.load("stacked-mnist")
    assert stacks.shape == (3, 28, 28) and len(stacks) == 300 and len(stacks.classes) == 1000
    assert stacks.labels is not None and digits.labels is not None
    for stack, label in zip(stacks.images[:5], stacks.labels[:5], strict=True):
        each = [(digits.images[:, 0] == channel).all(dim=(1, 2)).nonzero()[0, 0] for channel in stack]
        assert stacks.classes[label] == "".join(str(int(digits.labels[i])) for i in each)
    assert stacks.fingerprint == data.load("stacked-mnist").fingerprint
    assert stacks.fingerprint != data.load("stacked-mnist", split="test").fingerprint


def test_the_channelwise_classifier_reads_each_digit(digits: ImageData) -> None:
    stacks = data.load("stacked-mnist")
    extractor = choose_extractor("channelwise:cnn-mnist", stacks)
    features, logits = extractor(stacks.images[:50])
    assert features.shape == (50, 3 * 128) and logits is not None and logits.shape == (50, 1000)
    assert torch.equal(logits.argmax(1), stacks.labels[:50])
    torch.testing.assert_close(logits.exp().sum(1), torch.ones(50))  # probabilities of all stacks
    assert extractor.trained_on == "stacked-mnist"


def test_a_channelwise_extractor_wants_a_classifier_of_grey_images(images: ImageData, tmp_path: Path) -> None:
    backbone = gz.build_classifier("cnn", config={"channels": 3})
    backbone.save(tmp_path / "rgb")
    with pytest.raises(gz.UsageError, match="takes 3 channels at once"):
        choose_extractor(f"channelwise:{tmp_path / 'rgb'}", images)
    with pytest.raises(gz.UsageError, match="is a GAN"):
        choose_extractor("channelwise:dcgan-mnist", images)
    with pytest.raises(gz.UnknownNameError, match=r"^unknown extractor 'pixel'; did you mean pixels\?"):
        choose_extractor("pixel", images)
    with pytest.raises(gz.UsageError, match="timm:resnet10t is an architecture without a trained classifier"):
        choose_extractor("channelwise:timm:resnet10t", images)


def test_modes_and_their_divergence_in_closed_form() -> None:
    logits = torch.eye(1000)
    assert modes(logits) == {"modes": 1000, "mode_kl": pytest.approx(0, abs=1e-9)}
    half = modes(logits[:500])
    assert half["modes"] == 500 and half["mode_kl"] == pytest.approx(math.log(2))
    uneven = modes(torch.cat([logits[:1].expand(3, -1), logits[1:2]]))
    wanted = 0.75 * math.log(750) + 0.25 * math.log(250)
    assert uneven["modes"] == 2 and uneven["mode_kl"] == pytest.approx(wanted)


def test_modes_need_a_classifier_that_fits(gan: gz.GAN, images: ImageData) -> None:
    with pytest.raises(gz.UsageError, match="the metric modes needs a classifier of halves"):
        gz.evaluate(gan, data=images, metrics=["modes"], samples=20)


def test_the_benchmark_goes_on_where_it_stopped_and_repeats_nothing(
    digits: ImageData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "SAMPLES", 200)
    settings = TINY | {"batch": 8, "checkpoint_every": 2, "precision": "fp32"}
    monkeypatch.setattr(bench, "RECIPES", {"a": settings, "b": settings | {"loss": "relativistic"}})
    straight = bench.stacked_mnist(steps=4, out=tmp_path / "straight")

    out = tmp_path / "interrupted"
    with monkeypatch.context() as context:
        context.setattr(bench, "evaluate", lambda *a, **k: pytest.fail("stopped"))
        with pytest.raises(pytest.fail.Exception):
            bench.stacked_mnist(steps=4, out=out)
    (run,) = out.glob("*/0*")
    assert not (out / "cells.jsonl").exists()
    for newest in (run / "checkpoints").glob("*4*"):  # as if it had stopped before the last checkpoint
        newest.rename(out / newest.name)
    again = bench.stacked_mnist(steps=4, out=out)
    assert again.read_text() == straight.read_text()
    assert len(list(out.glob("*/0*"))) == 2, "the interrupted run went on in its own folder"

    with monkeypatch.context() as context:
        context.setattr(bench, "train", lambda *a, **k: pytest.fail("trained again"))
        assert bench.stacked_mnist(steps=4, out=out).read_text() == straight.read_text()
        monkeypatch.setitem(bench.RECIPES, "a", settings | {"lr": 0.1})  # another recipe is another cell
        with pytest.raises(pytest.fail.Exception, match="trained again"):
            bench.stacked_mnist(steps=4, out=out)
    text = straight.read_text()
    assert "| `a` | 4 | 1 |" in text and "78.9 ± 6.5" in text and "A shorter run:" in text
    kept, _ = map(json.loads, (out / "cells.jsonl").read_text().splitlines())
    assert 1 <= kept["modes"] <= 1000 and kept["results"][0]["samples"] == 200


def test_a_report_that_can_t_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    report = tmp_path / "report.md"
    for wrong in ("half \ud800", "new"):
        write_text(report, "old")
        twin = tmp_path / f"twin of {len(wrong)}"
        twin.hardlink_to(report)
        with contextlib.suppress(UnicodeEncodeError):
            write_text(report, wrong)
        assert twin.read_text() == "old"  # a file beside it has taken its place
    assert report.read_text() == "new" and len(list(tmp_path.iterdir())) == 3
    (tmp_path / "file").touch()
    with pytest.raises(gz.TrainingError, match="can't write"):
        write_text(tmp_path / "file" / "report.md", "text")


def test_every_file_of_a_benchmark_is_replaced_as_a_whole() -> None:
    for path in Path(bench.__file__).parent.glob("*.py"):
        calls = re.findall(r"(\w+)\.(?:write_text|savefig)\(", path.read_text())
        assert set(calls) <= {"beside", "figure"} and "figure.savefig(path" not in path.read_text()


def test_several_trials_are_a_mean_and_a_deviation() -> None:
    results = [
        {"metric": "modes", "floor": 1000.0, "extractor": "x", "extractor_sha256": "y"},
        {"metric": "mode_kl", "floor": 0.02},
    ]
    rows = [{"recipe": "a", "modes": m, "mode_kl": m / 10, "results": results} for m in (1.0, 3.0)]
    assert "| `a` | 100,000 | 2 | 2.0 ± 1.4 | 0.20 ± 0.14 |" in bench.report(rows, bench.STEPS)
    assert "shorter run" not in bench.report(rows, bench.STEPS)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--recipe", "best"), "unknown recipe best; there are: dcgan, relativistic"),
        (("--trials", "0"), "trials and steps must be at least 1"),
    ],
)
def test_wrong_input_is_told(capsys: pytest.CaptureFixture[str], words: tuple[str, ...], text: str) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["bench", "stacked-mnist", *words])
    assert stop.value.code == 2 and text in capsys.readouterr().err


SCRIPTS = sorted((Path(__file__).parent.parent / "benchmarks").rglob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_scripts_import_only_what_exists(script: Path) -> None:
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gantl_zoo"):
            module = importlib.import_module(str(node.module))
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                assert hasattr(module, alias.name) or importlib.util.find_spec(name), name
