"""Training on a GPU: `pytest -m gpu`. Without a CUDA device these tests are skipped.

What does not need a GPU is tested in `test_parts.py`, with a stand-in for CUDA graphs.
"""

from __future__ import annotations

import copy
import gc
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import EARLY, SMALL, sized
from replayed import assert_same, run_steps
from torch import Tensor

import gantl_zoo as gz
from gantl_zoo import registry
from gantl_zoo.data import ImageData
from gantl_zoo.seeding import seeded
from gantl_zoo.strategy.base import Batch
from gantl_zoo.strategy.combine import build_strategy
from gantl_zoo.training import checkpoint, engine
from gantl_zoo.training.batches import uploaded
from gantl_zoo.training.modes import training_modes
from gantl_zoo.training.parts import Graphs
from gantl_zoo.training.recipe import Recipe
from gantl_zoo.training.setup import set_up
from gantl_zoo.training.step import train_step
from gantl_zoo.training.trainer import Trainer

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS starts; for exact repetition
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
    pytest.mark.filterwarnings("ignore:.*deterministic", "ignore:Synchronization debug mode"),
]
LAZY: dict[str, Any] = {"r1": 1.0, "regularizer_config": {"r1.every": 2}}


@pytest.fixture(autouse=True)
def exact() -> Iterator[None]:
    """Deterministic algorithms, and float32 in full precision."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32
    cudnn.allow_tf32 = matmul.allow_tf32 = False
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(False)
    cudnn.allow_tf32, matmul.allow_tf32 = before


def trainer_of(
    gan: gz.GAN,
    images: ImageData,
    strategy: gz.TransferStrategy | None = None,
    device: str = "cuda",
    graphs: bool = False,
    **settings: Any,
) -> Trainer:
    recipe = Recipe(**{"steps": 16, "batch": 4, "lr": 1e-3, "precision": "fp32"} | settings)
    machine = engine.choose(device, recipe.precision, {"graphs": graphs})
    setup = set_up(copy.deepcopy(gan), strategy or gz.TransferStrategy(), images, recipe.seed)
    return Trainer(setup, images, recipe, machine)


def captured(trainer: Trainer) -> bool:
    """Whether the last steps of a trainer were replayed."""
    assert isinstance(trainer.parts, Graphs)
    return any(kind.complete for kind in trainer.parts.kinds.values())


@pytest.mark.parametrize("name", ["dcgan", "resnet", "r3", "stylegan2"])
def test_a_step_on_the_gpu_is_the_step_on_the_cpu(name: str, images: ImageData) -> None:
    """Losses and all gradients of one step in float32, with R1, for the same noise."""
    config = sized("generators", name, image_size=32, channels=1, latent_dim=8)
    gan, images = gz.build_gan(name, generator_config=config), images.fit(32, 1)
    real, noise, results = torch.randn(4, 1, 32, 32), torch.randn(4, 8), []
    for device in ("cpu", "cuda"):
        trainer = trainer_of(gan, images, device=device, **LAZY)
        for module in trainer.gan.generator.modules():  # random maps of noise differ between devices
            if getattr(module, "noise", "") == "random":
                module.noise = "const"
        players, gradients = {one.role: one for one in trainer.contents.players}, list[Tensor]()

        def keep(phase: str, players: Any = players, gradients: list[Tensor] = gradients) -> None:
            gradients += [p.grad.cpu() for p in players[phase].parameters if p.grad is not None]

        trainer.strategy.on_gradients = keep  # type: ignore[method-assign]
        with training_modes(), seeded(0), trainer.engine.applied():
            trainer.begin(0)
            losses = train_step(trainer.game, real.to(device), noise.to(device), 0)
        results.append(({name: float(loss) for name, loss in losses.items()}, gradients))
    (cpu_losses, cpu), (gpu_losses, gpu) = results
    assert gpu_losses == pytest.approx(cpu_losses, rel=1e-3)
    assert cpu
    for one, other in zip(cpu, gpu, strict=True):
        assert torch.allclose(one, other, rtol=1e-2, atol=1e-4 * max(1.0, float(one.abs().max())))


@pytest.mark.parametrize(
    "settings",
    [
        LAZY,
        {"aug": "diffaugment", "loss": "relativistic"},
        LAZY | {"regularizer": "r2", "final": {"lr": 1e-4, "beta2": 0.5, "r1": 0.1}},
        {"precision": "bf16"},
        {"precision": "fp16"},
        {"accumulate": 2},
    ],
    ids=str,
)
def test_replayed_steps_are_the_eager_ones(settings: dict[str, Any], gan: gz.GAN, images: ImageData) -> None:
    eager, replayed = (trainer_of(gan, images, graphs=graphs, **settings) for graphs in (False, True))
    with eager.engine.applied():
        assert run_steps(eager, stop=16) == run_steps(replayed, stop=16)
    assert captured(replayed)
    assert_same(eager, replayed)


@pytest.mark.parametrize("name", registry.strategies.names())
def test_every_strategy_is_replayed(name: str, gan: gz.GAN, images: ImageData) -> None:
    config = EARLY.get(name, {})
    eager, replayed = (
        trainer_of(gan, images, build_strategy(name, config), graphs=graphs) for graphs in (False, True)
    )
    with eager.engine.applied():
        rows = run_steps(eager, stop=12)
        for row, other in zip(rows, run_steps(replayed, stop=12), strict=True):
            # the gradient of bilinear resizing, in pretrained backbones, is not deterministic
            assert other == pytest.approx(row, rel=0.05, abs=0.05)
    assert captured(replayed)


def test_replayed_steps_with_adaptive_augmentation_are_nearly_the_eager_ones(
    gan: gz.GAN, images: ImageData
) -> None:
    """The gradient of its resampling is added up in any order."""
    settings = {"aug": "ada", "aug_config": {"target": 0.1}}
    eager, replayed = (trainer_of(gan, images, graphs=graphs, **settings) for graphs in (False, True))
    for row, other in zip(run_steps(eager), run_steps(replayed), strict=True):
        assert other == pytest.approx(row, rel=0.01, abs=0.01)
    assert captured(replayed) and torch.equal(eager.game.augment.p, replayed.game.augment.p)


def test_a_resumed_run_is_the_unbroken_one(gan: gz.GAN, images: ImageData, tmp_path: Path) -> None:
    settings = LAZY | {"aug": "diffaugment"}
    whole, first, second = (trainer_of(gan, images, graphs=True, **settings) for _ in range(3))
    with whole.engine.applied():
        run_steps(whole, stop=16)
        run_steps(first, stop=9)
        checkpoint.save(tmp_path, first.contents, {"step": 9})
        run_steps(second, stop=10)  # graphs of other weights, as before a roll-back
        checkpoint.restore(tmp_path, second.contents)
        second.restore({})
        run_steps(second, start=9, stop=16)
    assert captured(second)
    assert_same(whole, second)


class Broken(gz.TransferStrategy):
    """Full fine-tuning whose latents are infinite in some steps."""

    def __init__(self) -> None:
        self.factor = torch.ones((), device="cuda")

    def on_step(self, step: int, plan: Any) -> None:
        self.factor.fill_(float("inf") if step in (1, 6) else 1.0)

    def latents(self, noise: Tensor, step: int) -> Tensor:
        return noise * self.factor


def test_a_step_that_is_not_finite_is_skipped_in_a_replay(gan: gz.GAN, images: ImageData) -> None:
    eager, replayed = (trainer_of(gan, images, Broken(), graphs=graphs) for graphs in (False, True))
    with eager.engine.applied():
        run_steps(eager), run_steps(replayed)
    assert captured(replayed) and int(replayed.guard.skipped) == 2
    assert_same(eager, replayed)


class Waits(gz.TransferStrategy):
    """Full fine-tuning that looks at a loss."""

    def generator_loss(self, adversarial: Tensor, batch: Batch) -> dict[str, Tensor]:
        return {"generator": adversarial * (2.0 if float(adversarial.detach()) > 1e9 else 1.0)}


def test_a_strategy_that_waits_is_not_captured(gan: gz.GAN, images: ImageData) -> None:
    trainer = trainer_of(gan, images, Waits(), graphs=True)
    run_steps(trainer)
    assert trainer.notice() == "no CUDA graphs: the part generator waits for the device"


@pytest.mark.parametrize("graphs", [False, True])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_host_does_not_wait(graphs: bool, precision: str, gan: gz.GAN, images: ImageData) -> None:
    trainer = trainer_of(gan, images, graphs=graphs, precision=precision, aug="ada", **LAZY)
    steps = enumerate(trainer.batches.since(0))
    with training_modes(), seeded(0):
        for step, (pixels, labels) in itertools.islice(steps, 12):  # captures all kinds of steps
            trainer.learn(step, pixels, labels)
        torch.cuda.set_sync_debug_mode("error")
        try:
            for step, (pixels, labels) in steps:
                trainer.learn(step, pixels, labels)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert not graphs or captured(trainer)


def test_memory_is_given_back(gan: gz.GAN, images: ImageData) -> None:
    def train() -> None:
        run_steps(trainer_of(gan, images, graphs=True, **LAZY), stop=12)

    def held() -> int:
        gc.collect()
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        return torch.cuda.memory_reserved()

    train()  # what is loaded and allocated once
    before = held()
    train()
    assert held() <= before


def test_streamed_images_arrive_as_they_are() -> None:
    batches = [torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8) for _ in range(5)]
    copied = list(uploaded(iter(batches), engine.choose("cuda", "fp32")))
    assert all(one.is_cuda for one in copied)
    assert all(torch.equal(one.cpu(), batch) for one, batch in zip(copied, batches, strict=True))


def test_a_whole_run_with_graphs_is_the_one_without(images: ImageData, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"steps": 12, "batch": 8, "precision": "fp32", "metrics": ()} | LAZY
    settings |= {"generator_config": SMALL, "discriminator_config": {"width": 4}, "device": "cuda"}
    plain = gz.train("dcgan", data=images, out=tmp_path, **settings)
    replayed = gz.train("dcgan", data=images, out=tmp_path, engine_config={"graphs": True}, **settings)
    assert torch.equal(plain.generate(4).cpu(), replayed.generate(4).cpu())
    assert replayed.folder is not None
    assert "no CUDA graphs" not in (replayed.folder.parent / "log.txt").read_text(encoding="utf-8")
