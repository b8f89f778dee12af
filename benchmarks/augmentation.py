"""What augmentation costs of a training step: `python benchmarks/augmentation.py`.

    python benchmarks/augmentation.py [--workload NAME …] [--batch 32] [--precision auto] [--rounds 9]

Steps without augmentation, with DiffAugment and with adaptive augmentation alternate in one process. Prints
medians of the ratios within a round, and the milliseconds of a step's augmentations alone: of real images, of
fakes for the discriminator, and of fakes with their gradient. Run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median

import ours
import torch
from torch import Tensor

from gantl_zoo.training.trainer import Trainer

NAMES: dict[str, dict[str, float]] = {"none": {}, "diffaugment": {}, "ada": {"p": 0.5}}


def seconds(run: Callable[[], object]) -> float:
    """Seconds of a call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def alone(one: Trainer, images: Tensor) -> Callable[[], object]:
    """A function that augments images as a step does, which needs one gradient of three."""
    images = images.contiguous(memory_format=one.engine.layout)
    fake = images.clone().requires_grad_()
    slope = torch.randn_like(images)
    augment = one.game.augment

    def run() -> None:
        augment(images), augment(images)
        torch.autograd.grad(augment(fake), fake, slope)

    return run


def row(workload: str) -> str:
    """A line of the table."""
    trainers = {
        name: ours.trainer(workload, options.batch, options.precision, aug=name, aug_config=config)
        for name, config in NAMES.items()
    }
    runs = {name: ours.stepping(one) for name, one in trainers.items()}
    images = torch.rand(options.batch, *trainers["none"].gan.image_shape) * 2 - 1
    parts = {name: alone(trainers[name], images) for name in NAMES if name != "none"}
    times: dict[str, list[float]] = {name: [] for name in NAMES}
    own: dict[str, list[float]] = {name: [] for name in parts}
    with trainers["none"].engine.applied():
        for number in range(options.rounds + 1):
            for name, run in runs.items():
                times[name].append(seconds(lambda run=run: run(options.steps)) / options.steps)  # type: ignore[misc]
            for name, part in parts.items():
                own[name].append(seconds(part))
            if not number:  # the first round warms up
                times, own = {name: [] for name in NAMES}, {name: [] for name in parts}
    cells = [workload, f"{median(times['none']) * 1e3:,.0f}"]
    for name in parts:
        more = median(a / b - 1 for a, b in zip(times[name], times["none"], strict=True))
        share = median(a / b for a, b in zip(own[name], times["none"], strict=True))
        cells += [f"{more:.1%}", f"{median(own[name]) * 1e3:.1f}", f"{share:.1%}"]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    print(f"{torch.get_num_threads()} threads, batch {options.batch}, precision {options.precision}\n")
    print(
        "| workload | step, ms | DiffAugment adds | alone, ms | of a step "
        "| ADA adds | alone, ms | of a step |\n" + "|---" * 8 + "|"
    )
    for workload in options.workload:
        print(row(workload), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workload", nargs="+", default=("dcgan-64", "dcgan-64-narrow"))
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=2)
    options = parser.parse_args()
    main()
