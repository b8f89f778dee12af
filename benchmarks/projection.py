"""What a training step computes and sends, counted, and a projection to 8, 64 and 512 GPUs.

    python benchmarks/projection.py [--images 4]

Each kind of step, with and without lazy regularizers, runs on tensors without data (the device "meta"), as in
one of two processes whose messages are counted and not sent. Prints the two tables of `docs/scaling.md`.
"""

from __future__ import annotations

import argparse
import contextlib
import math
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

import gantl_zoo as gz
from gantl_zoo.data import ImageData
from gantl_zoo.seeding import seeded
from gantl_zoo.training import engine
from gantl_zoo.training.presets import load_preset
from gantl_zoo.training.processes import Processes
from gantl_zoo.training.recipe import Recipe
from gantl_zoo.training.setup import set_up
from gantl_zoo.training.trainer import Trainer

# assumptions about GPUs and their network; none is measured
GPU_FLOP = 0.3 * 400e12  # per second in bf16: 30 % of the specification of a 2024 card
MACHINE = 8  # GPUs in one machine
WITHIN, BETWEEN = 200e9, 25e9  # bytes per second that a GPU sends: NVLink; 200 Gb/s between machines
LATENCY, HOP = 40e-6, 50e-6  # seconds of a short message in a machine; and for each doubling of the machines
GPUS = (8, 64, 512)


@dataclass(frozen=True)
class Network:
    """A pair of networks, the preset whose recipe it is trained with, and the images of a GPU per step."""

    family: str
    size: int
    preset: str | None
    per_gpu: int
    config: dict[str, Any] = field(default_factory=dict)


NETWORKS = {
    "dcgan, 64 pixels": Network("dcgan", 64, None, 64),
    "r3, 64 pixels": Network("r3", 64, "r3", 32),
    "stylegan2, 256 pixels": Network("stylegan2", 256, "stylegan2", 8),
}


@dataclass(frozen=True)
class Counted(Processes):
    """One of two processes. Its messages are counted, and not sent."""

    sizes: list[int] = field(default_factory=list)  # bytes

    def average(self, tensors: Any) -> None:
        if tensors:
            self.sizes.append(4 * sum(tensor.numel() for tensor in tensors))

    def total(self, tensor: Tensor) -> Tensor:
        self.sizes.append(4 * tensor.numel())
        return tensor * self.count


@dataclass(frozen=True)
class Step:
    """FLOPs for each image of a step, its messages and their bytes, trained parameters."""

    flop: float
    messages: float
    sent: float
    parameters: int


class Whole(contextlib.nullcontext[None]):
    """Attributes all FLOPs to no module: torch's own tracker fails at the gradient of a gradient penalty."""

    parents = ("Global",)


def trainer_of(network: Network, images: int) -> Trainer:
    settings = load_preset(network.preset).for_verb("train") if network.preset else {}
    config = {**settings.get("generator_config", {}), "image_size": network.size, "channels": 3}
    gan = gz.build_gan(network.family, generator_config=config)
    for part in gan.networks().values():
        assert part is not None
        part.to("meta")  # before the plan lists its parameters, which this replaces
    pixels = torch.randint(0, 256, (2 * images, 3, network.size, network.size), dtype=torch.uint8)
    known = {key: value for key, value in settings.items() if key in Recipe.__dataclass_fields__}
    known |= {"steps": 1_000, "batch": 2 * images, "aug": "none", "aug_config": {}, "final": {}}
    recipe = Recipe(**known)  # augmentations have next to no FLOPs
    data = ImageData(pixels)
    machine = engine.choose("cpu", "fp32")
    machine = replace(machine, device=torch.device("meta"), processes=Counted(count=2))
    trainer = Trainer(set_up(gan, gz.TransferStrategy(), data, 0), data, recipe, machine)
    for player in trainer.contents.players:
        assert player.optimizer is not None
        player.optimizer.step = lambda: None  # type: ignore[method-assign,assignment]  # no Adam on "meta"
    return trainer


def measure(network: Network, images: int) -> Step:
    """Count the steps with and without lazy regularizers, and average over their cycle."""
    trainer = trainer_of(network, images)
    processes, every = trainer.engine.processes, trainer.game.regularizer.every
    assert isinstance(processes, Counted)
    counts = {}
    cycle = {step: trainer.game.regularizer.due(step) for step in range(every)}
    for step in {due: step for step, due in cycle.items()}.values():  # one of each kind
        processes.sizes.clear()
        counter = FlopCounterMode(display=False)
        counter.mod_tracker = Whole()  # type: ignore[assignment]
        with seeded(0), counter:
            trainer.step(step, torch.arange(2 * images))
        counts[cycle[step]] = counter.get_total_flops() / images, len(processes.sizes), sum(processes.sizes)
    flop, messages, sent = (sum(counts[due][i] for due in cycle.values()) / every for i in range(3))
    parameters = sum(p.numel() for role in trainer.networks for p in trainer.plan.parameters(role))
    return Step(flop, messages, sent, parameters)


def exchange(step: Step, count: int) -> float:
    """Seconds in which `count` GPUs exchange the messages of a step: a ring, whose slowest link counts."""
    machines = max(1, count // MACHINE)
    rate = WITHIN if machines == 1 else BETWEEN
    latency = LATENCY + HOP * math.log2(machines)
    return 2 * (count - 1) / count * step.sent / rate + step.messages * latency


def efficiency(step: Step, images: float, count: int) -> float:
    """Computing as a share of the step, with so many images on each GPU."""
    compute = step.flop * images / GPU_FLOP
    return compute / (compute + exchange(step, count))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=4, help="of each process, for counting")
    options = parser.parse_args()
    # autocast, which changes no count, has no "meta"
    torch.autocast = lambda *_, **__: contextlib.nullcontext()  # type: ignore[assignment,misc]
    torch.is_autocast_enabled = lambda *_: False  # type: ignore[assignment]
    steps = {name: measure(network, options.images) for name, network in NETWORKS.items()}
    print("| network | trained parameters | GFLOP for an image | messages | MB sent |")
    print("|---" * 5 + "|")
    for name, step in steps.items():
        cells = [name, f"{step.parameters / 1e6:.1f} million", f"{step.flop / 1e9:,.1f}"]
        cells += [f"{step.messages:.1f}", f"{step.sent / 1e6:,.1f}"]
        print("| " + " | ".join(cells) + " |")
    print(f"\n| network | images of a GPU | {' | '.join(f'{count} GPUs' for count in GPUS)} |")
    print("|---" * (2 + len(GPUS)) + "|")
    for name, network in NETWORKS.items():
        for images in (network.per_gpu, 4 * network.per_gpu):
            shares = [f"{efficiency(steps[name], images, count):.0%}" for count in GPUS]
            print(f"| {name} | {images} | {' | '.join(shares)} |")


if __name__ == "__main__":
    main()
