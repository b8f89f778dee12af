"""What a step of `projected` costs: `python benchmarks/projected_step.py FOLDER_OR_ZIP [--resize 96]`.

Plain and projected steps of the generator of dcgan-faces (64×64) alternate in one process, so their ratio
holds on a busy machine, too. Then each part of a projected step is timed alone, also in turns.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch

import gantl_zoo as gz
from gantl_zoo.data import ImageData, load, to_float
from gantl_zoo.strategy.combine import build_strategy
from gantl_zoo.training import engine
from gantl_zoo.training.recipe import Recipe
from gantl_zoo.training.setup import set_up
from gantl_zoo.training.trainer import Trainer

BATCH, TURNS = 32, 8
PLAIN: dict[str, Any] = {"loss": "relativistic", "r1": 1.0, "lr": 4e-4}
PROJECTED: dict[str, Any] = {"loss": "hinge", "lr": 2e-4}


def trainer(images: ImageData, strategy: str, settings: dict[str, Any], **recipe: Any) -> Trainer:
    """A trainer of dcgan-faces on the images."""
    gan = gz.load_model("dcgan-faces")
    assert isinstance(gan, gz.GAN)
    setup = set_up(gan, build_strategy(strategy, settings), images, seed=0)
    machine = engine.choose("cpu", options.precision)
    return Trainer(setup, images, Recipe(steps=1000, batch=BATCH, aug="diffaugment", **recipe), machine)


def in_turns(parts: dict[str, Callable[[], object]]) -> dict[str, float]:
    """The shortest time of each part in seconds; the parts take turns."""
    best = dict.fromkeys(parts, float("inf"))
    for part in parts.values():
        part()
    for _ in range(TURNS):
        for name, part in parts.items():
            start = time.perf_counter()
            part()
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def stepping(one: Trainer, count: int) -> Callable[[], object]:
    """A function that makes sixteen steps: every sixteenth of a plain run has the penalty R1."""
    steps = iter(range(1 << 20))

    def run() -> None:
        for _ in range(16):
            one.step(next(steps), torch.randint(count, (BATCH,)))

    return run


def parts_of(one: Trainer, images: ImageData) -> dict[str, Callable[[], object]]:
    """The parts of a projected step."""
    network: Any = one.networks["discriminator"]
    generator, augment, autocast = one.gan.generator, one.game.augment, one.engine.autocast
    real, noise = to_float(images.images[:BATCH]), torch.randn(BATCH, 100)
    with autocast(), torch.no_grad():
        features = network.extract(augment(real))
    trained, leaves = list(network.heads.parameters()), [one.clone().requires_grad_() for one in features]

    def generate() -> None:
        with autocast():
            fake = generator(noise).float()
        torch.autograd.grad(fake.mean(), list(generator.parameters()))

    def forward() -> None:
        with autocast(), torch.no_grad():
            network.extract(real)

    def backward() -> None:
        shown = real.clone().requires_grad_()
        with autocast():
            maps = network.extract(shown)
        torch.autograd.grad(sum(one.float().mean() for one in maps), shown)

    def heads(maps: list[torch.Tensor], inputs: list[Any]) -> None:
        with autocast():
            logits = network.logits(maps)
        torch.autograd.grad(logits.float().mean(), inputs)

    return {
        "generator, forward and backward": generate,
        "augmentation of one batch (two a step)": lambda: augment(real),
        "features of real images, forward": forward,
        "features of fake images, forward and backward": backward,
        "heads, their update on one batch (two a step)": lambda: heads(features, trained),
        "heads, backward to the features": lambda: heads(leaves, leaves),
    }


def main() -> None:
    images = load(options.data, split="train", image_size=64).few(BATCH)
    lite0 = {"backbone": "efficientnet-lite0-imagenet", "width": options.width, "resize": options.resize}
    plain = trainer(images, "full", {}, **PLAIN)
    projected = trainer(images, "projected", lite0, **PROJECTED)
    with projected.engine.applied():
        steps = {"plain": stepping(plain, len(images)), "projected": stepping(projected, len(images))}
        times = in_turns(steps)
        parts = in_turns(parts_of(projected, images))
    print(f"{projected.engine}, batch {BATCH}, width {options.width}, images resized to {options.resize}")
    for name, seconds in times.items():
        print(f"{name:50} {seconds / 16 * 1e3:7.1f} ms a step  {16 * BATCH / seconds:6.0f} images/s")
    print(f"{'ratio':50} {times['projected'] / times['plain']:7.2f}")
    for name, seconds in parts.items():
        print(f"{name:50} {seconds * 1e3:7.1f} ms")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--resize", type=int, default=96)
    parser.add_argument("--precision", default="bf16")
    options = parser.parse_args()
    main()
