"""This package's training step for `throughput.py`: `Trainer.step`, which has all work of a step.

python benchmarks/ours.py WORKLOAD BATCH PRECISION [load]

With "load" the number of threads follows the load, as in a run.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import torch
import workloads
from serve import memory, serve
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

import gantl_zoo as gz
from gantl_zoo.data import ImageData
from gantl_zoo.seeding import order, seeded
from gantl_zoo.training import engine
from gantl_zoo.training.recipe import Recipe
from gantl_zoo.training.setup import set_up
from gantl_zoo.training.threads import Threads
from gantl_zoo.training.trainer import Trainer


def trainer(workload: str, batch: int, precision: str, **settings: Any) -> Trainer:
    """The trainer of a workload, with further settings of `Recipe`."""
    data = ImageData(workloads.images(workload))
    settings = workloads.RECIPES.get(workload, {}) | settings
    recipe = Recipe(steps=1_000_000, batch=batch, **settings)
    setup = set_up(workloads.build(workload), gz.TransferStrategy(), data, recipe.seed)
    return Trainer(setup, data, recipe, engine.choose("auto", precision))


def stepping(one: Trainer, threads: Threads | None = None) -> Callable[[int], None]:
    """A function that makes a number of steps, and adapts the threads between them."""
    recipe = one.recipe
    count = {"batch": recipe.batch, "seed": recipe.seed, "start": 0, "steps": recipe.steps}
    steps = enumerate(order(workloads.IMAGES, **count))

    def run(count: int) -> None:
        if threads:  # meanwhile other contestants had their turns
            threads.begin()
        with seeded(0):
            for _ in range(count):
                one.step(*next(steps))
                if threads:
                    threads.adapt()
            if one.engine.device.type == "cuda":
                torch.cuda.synchronize()

    return run


def flop_of(run: Callable[[int], None]) -> int:
    """The floating-point operations of a step, those of convolutions and matrix products."""
    limited = getattr(torch.ops.mkldnn, "_convolution_pointwise", None)  # with the ReLU behind it
    more: dict[Any, Any] = {} if limited is None else {limited: of_limited}
    with FlopCounterMode(display=False, custom_mapping=more) as counter:
        run(1)
    return int(counter.get_total_flops())


def of_limited(features: list[int], weight: list[int], *others: Any, out_shape: list[int], **_: Any) -> int:
    """The operations of a convolution of these shapes. Zeros that fill up a kernel count, too."""
    return int(conv_flop_count(features, weight, out_shape))


def main(workload: str, batch: int, precision: str, by_load: bool) -> None:
    counting = [sys.executable, __file__, workload, str(batch), precision, "flop"]
    flop = int(subprocess.check_output(counting))  # elsewhere, since counting takes memory
    one = trainer(workload, batch, precision)
    run, loaded = stepping(one, Threads(one.engine) if by_load else None), memory("VmRSS")
    with one.engine.applied():
        about = {"flop": flop, "engine": str(one.engine), "torch": torch.__version__}
        serve(run, about, loaded)


def count(workload: str, batch: int, precision: str) -> None:
    """Print the floating-point operations of a step."""
    one = trainer(workload, batch, precision)
    with one.engine.applied():
        print(flop_of(stepping(one)))


if __name__ == "__main__":
    workload, batch, precision, *more = sys.argv[1:]
    if more == ["flop"]:
        count(workload, int(batch), precision)
    else:
        main(workload, int(batch), precision, by_load=more == ["load"])
