"""Several processes make the run that one process makes. Each is started by the test, on loopback."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import children
import pytest
import torch
from helpers import SMALL, new_trainer, order_of
from safetensors.torch import load_file, save_file
from torch import nn

import gantl_zoo as gz
from gantl_zoo import registry
from gantl_zoo.data import ImageData
from gantl_zoo.seeding import seeded
from gantl_zoo.training import checkpoint, engine
from gantl_zoo.training.processes import Processes
from gantl_zoo.training.recipe import Recipe
from gantl_zoo.training.trainer import Trainer

# strategies, micro-batches and augmentations
PLANS = [*product(("full", "freeze"), (1, 2), ("none",)), ("full", 2, "ada")]


def without_statistics(module: nn.Module) -> nn.Module:
    """Adam enlarges gradients that are rounding alone, such as those of convolutions before BatchNorm."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, nn.GroupNorm(1, child.num_features))
        else:
            without_statistics(child)
    return module


def steps(strategy: str, rounds: int, aug: str = "none") -> Trainer:
    """Six steps at batch 64 with R1, in as many processes as there are."""
    with seeded(1):
        data = ImageData(torch.randint(0, 255, (96, 1, 28, 28), dtype=torch.uint8))
        gan = gz.build_gan("dcgan", generator_config=SMALL, discriminator_config={"width": 4})
    without_statistics(gan.generator)
    recipe = Recipe(steps=6, batch=64, accumulate=rounds, aug=aug, r1=1.0, lr=1e-3, precision="fp32", seed=5)
    cpu = engine.choose("cpu", "fp32")
    trainer = new_trainer(gan, registry.strategies.build(strategy), data, recipe, cpu)
    trainer.game.regularizer.parts["r1"].every = 2
    with seeded(0):
        for step, index in enumerate(order_of(96, recipe, 0)):
            trainer.step(step, index)
    return trainer


def write_steps(folder: Path) -> None:
    rank = os.environ.get("RANK", "0")
    for plan in PLANS:
        trainer = steps(*plan)
        save_file(checkpoint.gather(trainer.contents), folder / f"{plan}-{rank}")


def test_two_processes_of_32_are_one_of_64(tmp_path: Path) -> None:
    assert children.finish(children.launch(2, write_steps, tmp_path)) == [0, 0]
    alone = tmp_path / "alone"
    alone.mkdir()
    assert children.finish([children.start(write_steps, alone)]) == [0]
    for plan in PLANS:
        one = load_file(alone / f"{plan}-0")
        first, second = (load_file(tmp_path / f"{plan}-{rank}") for rank in (0, 1))
        for name in one:
            assert torch.equal(first[name], second[name]), name
            if plan[2] == "none" or name.startswith("augment"):  # each process augments by chance of its own
                assert torch.allclose(first[name], one[name], rtol=1e-3, atol=2e-5), (plan, name)
    assert one["augment.p"] > 1e-4, "of the last plan"
    start = steps("full", 1)
    assert not torch.equal(load_file(alone / f"{PLANS[0]}-0")["average.blocks.0.linear.weight"],
                           next(start.gan.generator.parameters()))  # fmt: skip


COMMAND = {
    "image_size": 28, "batch": 8, "precision": "fp32", "metrics": "none", "checkpoint_every": 3,
    "generator_arg": "width=4",
}  # fmt: skip


def train_in(folder: Path, verb: str, name: str, settings: dict[str, Any]) -> None:
    """`gantl-zoo VERB NAME` in one of the processes; what it says goes into a log of its own."""
    rank = os.environ["RANK"]
    words = [word for key, value in settings.items() for word in (f"--{key.replace('_', '-')}", str(value))]
    named = [name] if name else []
    children.command(folder / f"log-{rank}", verb, *named, *(word.replace("RANK", rank) for word in words))


def test_resume_with_two_processes_and_with_one(gan: gz.GAN, photos: Path, tmp_path: Path) -> None:
    """`partial` trains the last blocks, which have no BatchNorm: one process must then do what two did."""
    settings = {k: v for k, v in COMMAND.items() if k not in ("image_size", "generator_arg")}
    settings |= {"data": photos, "channels": 1, "strategy": "partial", "strategy_arg": "last=1", "lr": 1e-3}
    settings |= {"aug": "none", "r1": 0}  # which amplify what is rounded in another order
    settings |= {"out": tmp_path / "runs", "steps": 6}
    source = str(gan.save(tmp_path / "source"))
    assert children.finish(children.launch(2, train_in, tmp_path, "transfer", source, settings)) == [0, 0]
    (run,) = (tmp_path / "runs").iterdir()
    log = (tmp_path / "log-0").read_text()
    assert "2 processes" in log and log.strip().endswith(str(run))
    assert (tmp_path / "log-1").read_text() == ""
    newest = run / "checkpoints" / "00000006"
    half, whole = (load_file(p / "state.safetensors") for p in (run / "checkpoints" / "00000003", newest))
    learned = [name for name in whole if (whole[name] - half[name]).abs().max() > 1e-4]
    assert {"generator.blocks.3.conv.weight", "average.blocks.3.conv.weight"} <= set(learned)
    for count in (2, 1):
        newest.rename(tmp_path / f"away-{count}")
        resume = {"resume": run}
        assert (
            children.finish(children.launch(count, train_in, tmp_path, "transfer", "", resume)) == [0] * count
        )
        again = load_file(newest / "state.safetensors")
        for name in whole:
            close = torch.allclose(whole[name], again[name], rtol=1e-3, atol=2e-5)
            assert torch.equal(whole[name], again[name]) if count == 2 else close, (count, name)


def test_the_death_of_one_process_ends_the_other_with_a_word(photos: Path, tmp_path: Path) -> None:
    settings = COMMAND | {"data": photos, "out": tmp_path / "runs", "steps": 100_000, "log_every": 1}
    processes = children.launch(2, train_in, tmp_path, "train", "dcgan", settings)
    while not list(tmp_path.glob("runs/*/stats.jsonl")):
        assert all(process.is_alive() for process in processes), (tmp_path / "log-0").read_text()
        time.sleep(0.02)
    processes[1].kill()
    clock = time.monotonic()
    processes[0].join(60)
    assert processes[0].exitcode == 1 and time.monotonic() - clock < 60
    log = (tmp_path / "log-0").read_text()
    assert "error in process 0: process 0 of 2 lost the others" in log and "--resume" in log


def test_other_images_in_one_process_are_refused(photos: Path, tmp_path: Path) -> None:
    shutil.copytree(photos, tmp_path / "images-0")
    photos.rename(tmp_path / "images-1")
    next((tmp_path / "images-1").rglob("*.png")).unlink()
    settings = COMMAND | {"data": tmp_path / "images-RANK", "out": tmp_path / "runs", "steps": 3}
    assert children.finish(children.launch(2, train_in, tmp_path, "train", "dcgan", settings)) == [1, 1]
    assert "process 1 has other images than the main process" in (tmp_path / "log-1").read_text()


def test_a_batch_that_cant_be_shared_is_refused(gan: gz.GAN, images: ImageData) -> None:
    with pytest.raises(gz.UsageError, match="batch 9 can't be split into 2 equal rounds"):
        Recipe(batch=9, accumulate=2)
    two = replace(engine.choose("cpu", "fp32"), processes=Processes(rank=0, count=2))
    with pytest.raises(gz.UsageError, match="batch 9 can't be shared equally by 2 processes in 1 round"):
        new_trainer(gan, gz.TransferStrategy(), images, Recipe(batch=9), two)


def test_a_classifier_is_trained_in_one_process(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(gz.UsageError, match=r"trained in one process: .* or unset WORLD_SIZE=2"):
        gz.classify_train("cnn", data=photos, image_size=16)


def write_report(folder: Path) -> None:
    """Measure one model; as many images as don't fill the last batch of either process."""
    data = ImageData(
        torch.arange(700, dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 28, 28), name="grey"
    )
    gan = gz.load_model("dcgan-mnist")
    metrics = ("fd", "kd", "pr", "is", "memory")
    report = gz.evaluate(gan, data=data, samples=1203, metrics=metrics, shots=650)
    (folder / f"report-{os.environ.get('RANK', '0')}").write_text(json.dumps(report.results))


def test_two_processes_measure_what_one_does_to_the_bit(tmp_path: Path) -> None:
    assert children.finish(children.launch(2, write_report, tmp_path)) == [0, 0]
    alone = tmp_path / "alone"
    alone.mkdir()
    assert children.finish([children.start(write_report, alone)]) == [0]
    one = (alone / "report-0").read_text()
    assert (tmp_path / "report-0").read_text() == (tmp_path / "report-1").read_text() == one
