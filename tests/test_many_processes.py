"""Two and four processes make the run of one: families, losses, regularizers, streams, resuming.

Three groups of processes are started for all tests of this file. They write what the tests compare.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import children
import numpy as np
import pytest
import torch
from filelock import FileLock
from helpers import new_trainer, order_of, sized
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

import gantl_zoo as gz
from gantl_zoo.data import ImageData, Stream, load
from gantl_zoo.networks.fast import Noise
from gantl_zoo.seeding import order, seeded
from gantl_zoo.strategy.combine import build_strategy
from gantl_zoo.training import checkpoint, engine
from gantl_zoo.training.batches import Batches
from gantl_zoo.training.observer import Observer
from gantl_zoo.training.recipe import Recipe
from gantl_zoo.training.trainer import Trainer

BATCH, STEPS, CLASSES = 32, 3, 3
HUB = find_spec("datasets") is not None


@dataclass(frozen=True)
class Case:
    """Networks, a strategy and a recipe to train a few steps with."""

    family: str
    generator: dict[str, Any] = field(default_factory=dict)
    discriminator: dict[str, Any] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)
    strategy: str = "full"
    size: int = 32
    engine: dict[str, Any] = field(default_factory=dict)
    rounding: float = 1e-4  # largest difference of the trained weights


PENALTIES = {"regularizer": "r1+r2", "regularizer_config": {"r1.every": 1, "r2.every": 2}}
CLASSED = {"generator": {"num_classes": CLASSES}, "discriminator": {"num_classes": CLASSES}}
STYLES = {"noise": "const", "num_classes": CLASSES}
ROUNDED = 5e-3  # with BatchNorm behind convolutions Adam enlarges gradients that are rounding alone
# without random numbers but the noise: the run of one process, up to rounding
EQUAL = {
    "r3": Case("r3", recipe={"loss": "relativistic"} | PENALTIES),
    "stylegan2": Case("stylegan2", STYLES, {"num_classes": CLASSES}, {"accumulate": 2} | PENALTIES),
    "fast": Case("fast", discriminator={"reconstruction": "none"}, recipe={"loss": "hinge"} | PENALTIES,
                 rounding=ROUNDED),
    "projected": Case("dcgan", recipe={"loss": "hinge"}, strategy="projected", size=28, rounding=ROUNDED),
    "conditional": Case("dcgan", **CLASSED, recipe={"regularizer": "lecam", "accumulate": 2}, size=28),
}  # fmt: skip
# with further random numbers, which each process draws for itself: the same weights in all processes
RANDOM = {
    "stylegan2": Case("stylegan2", recipe={"aug": "ada", "r1": 1.0, "regularizer": "path-length+style-mixing",
                      "regularizer_config": {"path-length.every": 1}}, size=16),
    "fast": Case("fast", recipe={"loss": "hinge", "loss_config": {"margin": 0.8}, "aug": "diffaugment"}),
    "dcgan": Case("dcgan", recipe={"regularizer": "apa+top-k+lecam", "aug": "ada"}, size=28,
                  engine={"batchnorm": "own"}),
}  # fmt: skip


def pixels(case: Case) -> ImageData:
    with seeded(1):
        images = torch.randint(0, 255, (96, 1, case.size, case.size), dtype=torch.uint8)
    return ImageData(images, torch.arange(96) % CLASSES, tuple("abc"), "noise")


def prepared(case: Case, data: ImageData, **settings: Any) -> Trainer:
    shape = {"image_size": case.size, "channels": 1}
    with seeded(2):
        gan = gz.build_gan(
            case.family,
            generator_config=sized("generators", case.family, **shape) | case.generator,
            discriminator_config=sized("discriminators", case.family) | case.discriminator,
        )
    common = {"steps": STEPS, "batch": BATCH, "lr": 1e-3, "precision": "fp32"}
    machine = engine.choose("cpu", "fp32", case.engine)
    return new_trainer(gan, build_strategy(case.strategy, {}), data, Recipe(**common | settings), machine)


def weights(case: Case, steps: int = STEPS) -> dict[str, Tensor]:
    """All tensors of a run after so many steps."""
    trainer = prepared(case, pixels(case), **case.recipe)
    with seeded(0):
        for step, index in zip(range(steps), order_of(96, trainer.recipe, 0), strict=False):
            trainer.step(step, index)
    return checkpoint.gather(trainer.contents)


def without_noise(patch: Callable[..., None]) -> None:
    """FastGAN adds random maps in training, which each process draws for itself."""
    patch(Noise, "forward", lambda self, features: features)


def write_families(folder: Path) -> None:
    rank, count = os.environ["RANK"], os.environ["WORLD_SIZE"]
    for name, case in RANDOM.items() if count == "2" else ():
        save_file(weights(case), folder / f"random {name} {rank}")
    without_noise(setattr)
    for name, case in EQUAL.items():
        save_file(weights(case), folder / f"equal {name} {rank}")


class Until(Observer):
    """Ends a run after a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def stops(self, step: int) -> bool:
        return step == self.step


def train_until(step: int, folder: Path, run: Path, resume: bool = True) -> dict[str, Tensor]:
    """Train on streamed tar shards until after `step`, from the newest checkpoint of `run` if `resume`."""
    images = load(str(folder / "part-{0..3}.tar"), image_size=28, channels=1)
    assert isinstance(images.images, Stream)
    trainer = prepared(Case("dcgan", size=28), images, steps=6, batch=8, checkpoint_every=2)
    trainer.run(Until(step), run, resume)
    return checkpoint.gather(trainer.contents)


def sources(folder: Path) -> dict[str, tuple[str, str]]:
    """Streamed data: its address, and the cache of decoded images."""
    tar, cache = str(folder / "part-{0..3}.tar"), str(folder / "cache")
    streams = {
        "decoded": (str(folder / "photos"), cache), "folder": (str(folder / "photos"), "off"),
        "tar": (tar, "off"), "decoded tar": (tar, cache),
    }  # fmt: skip
    return streams | ({"hub": (f"hf:{folder}/pets", cache)} if HUB else {})


def batches(data: ImageData) -> Batches:
    """Batches of 6 images, until all have been read twice."""
    shuffle = {"batch": 6, "seed": 3, "steps": 2 * len(data) // 6 + 1}
    return Batches(data, data.labels, lambda start: order(len(data), start=start, **shuffle),
                   engine.choose("cpu", "fp32", {"workers": 0}))  # fmt: skip


def hashes(data: ImageData, start: int) -> list[str]:
    """A hash of each image that this process gets from step `start` on."""
    read = [image for images, _ in batches(data).since(start) for image in images]
    return [hashlib.sha256(image.numpy().tobytes()).hexdigest() for image in read]


def keep_tables_in(folder: Path, patch: Callable[..., None]) -> None:
    """Let the library `datasets`, if it is installed, use this folder as its cache."""
    if HUB:
        import datasets

        datasets.utils.disable_progress_bars()
        patch(datasets.config, "HF_DATASETS_CACHE", folder)


def write_streams(folder: Path) -> None:
    keep_tables_in(folder / "hf", setattr)
    images = {}
    for name, (address, cache) in sources(folder).items():
        os.environ["GANTL_ZOO_CACHE"] = cache
        data = load(address, image_size=16)
        assert isinstance(data.images, Stream)
        assert (data.images.rows is not None) == (cache != "off")
        images[name] = [hashes(data, start) for start in (0, 3)]
    (folder / f"streams-{os.environ['RANK']}").write_text(json.dumps(images))


def work(folder: Path) -> None:
    """What each of four or two processes does."""
    count, rank = os.environ["WORLD_SIZE"], os.environ["RANK"]
    os.environ |= {"GANTL_ZOO_MEMORY": "1000", "GANTL_ZOO_CACHE": str(folder / "cache")}
    run = folder / "run"
    trained = train_until(2, folder, run, resume=False) if count == "4" else train_until(4, folder, run)
    save_file(trained, folder / f"run-{count}-{rank}")
    if count == "2":
        write_streams(folder)
    (folder / count).mkdir(exist_ok=True)
    write_families(folder / count)


def make_sources(folder: Path) -> None:
    """Thirty photos, four tar shards and a parquet file."""
    random = np.random.RandomState(0)
    pictures = []
    for _ in range(40):
        file = io.BytesIO()
        Image.fromarray(random.randint(0, 255, (16, 16, 3), dtype=np.uint8)).save(file, "PNG")
        pictures.append(file.getvalue())
    (folder / "photos").mkdir()
    (folder / "pets").mkdir()
    for i, content in enumerate(pictures[:30]):
        (folder / "photos" / f"{i}.png").write_bytes(content)
    for shard in range(4):
        with tarfile.open(folder / f"part-{shard}.tar", "w") as tar:
            for i, content in enumerate(pictures[10 * shard : 10 * shard + 10]):
                info = tarfile.TarInfo(f"{i:04}.png")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    if not HUB:
        return
    import datasets

    rows = {"image": [{"bytes": content, "path": None} for content in pictures]}
    table = datasets.Dataset.from_dict(rows, features=datasets.Features({"image": datasets.Image()}))
    table.to_parquet(folder / "pets" / "train.parquet")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What four processes wrote, then two that continued their run; of the two the second came late.

    The workers of pytest-xdist share it.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "processes"
    with FileLock(f"{folder}.lock"):
        if not (folder / "done").exists():
            folder.mkdir()  # fails if another worker's processes have failed
            make_sources(folder)
            assert children.finish(children.launch(4, work, folder)) == [0] * 4
            assert children.finish(children.launch(2, work, folder, late=1.0)) == [0] * 2
            (folder / "done").touch()
    return folder


def difference(one: dict[str, Tensor], other: dict[str, Tensor], start: dict[str, Tensor]) -> float:
    """The distance of two runs' trained weights, as a part of how far one of them has come."""
    trained = [name for name in start if name.startswith(("generator", "discriminator"))]
    apart = torch.stack([(one[name] - other[name]).float().norm() for name in trained]).norm()
    return float(apart / torch.stack([(one[name] - start[name]).float().norm() for name in trained]).norm())


@pytest.mark.parametrize("name", EQUAL)
def test_a_family_is_trained_as_in_one_process(
    name: str, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_noise(monkeypatch.setattr)
    start, alone = weights(EQUAL[name], 0), weights(EQUAL[name])
    for count in (2, 4):
        ranks = [load_file(written / str(count) / f"equal {name} {rank}") for rank in range(count)]
        assert all(torch.equal(ranks[0][key], rank[key]) for rank in ranks for key in ranks[0])
        assert difference(alone, ranks[0], start) < EQUAL[name].rounding, count


@pytest.mark.parametrize("name", RANDOM)
def test_processes_that_draw_numbers_keep_the_same_weights(name: str, written: Path) -> None:
    first, second = (load_file(written / "2" / f"random {name} {rank}") for rank in (0, 1))
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("name", sources(Path()))
def test_two_processes_read_each_streamed_image_once_an_epoch(
    name: str, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, cache = sources(written)[name]
    monkeypatch.setenv("GANTL_ZOO_CACHE", cache)
    keep_tables_in(written / "hf", monkeypatch.setattr)
    data = load(address, image_size=16)
    ranks = [json.loads((written / f"streams-{rank}").read_text())[name] for rank in (0, 1)]
    for start, *shares in zip((0, 3), *ranks, strict=True):
        together = [image for pair in zip(*shares, strict=True) for image in pair]
        assert together == hashes(data, start)
    assert len({*hashes(data, 0)[: len(data)]}) == len(data)


def test_a_run_goes_from_four_processes_to_two_to_one(
    written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GANTL_ZOO_MEMORY", "1000")
    start, alone = (train_until(step, written, tmp_path / "alone", resume=step > 0) for step in (0, 6))
    run = shutil.copytree(written / "run", tmp_path / "run")
    assert [path.name for path in checkpoint.saved(run)][-2:] == ["00000002", "00000004"]
    for count in (4, 2):
        ranks = [load_file(written / f"run-{count}-{rank}") for rank in range(count)]
        assert all(torch.equal(ranks[0][key], rank[key]) for rank in ranks for key in ranks[0])
    assert difference(alone, train_until(6, written, run), start) < 1e-2
