"""This package's training step for `throughput.py`: `Trainer.step`, which has all work of a step.

python benchmarks/ours.py WORKLOAD BATCH PRECISION
"""

from __future__ import annotations

import sys

import torch
import workloads
from serve import serve
from torch.utils.flop_counter import FlopCounterMode

import gantl_zoo as gz
from gantl_zoo.data import ImageData
from gantl_zoo.seeding import order, seeded
from gantl_zoo.training import engine
from gantl_zoo.training.recipe import Recipe
from gantl_zoo.training.setup import set_up
from gantl_zoo.training.trainer import Trainer


def main(workload: str, batch: int, precision: str) -> None:
    data = ImageData(workloads.images(workload))
    machine = engine.choose("auto", precision)
    recipe = Recipe(steps=1_000_000, batch=batch)
    setup = set_up(workloads.build(workload), gz.TransferStrategy(), data, recipe.seed)
    trainer = Trainer(setup, data, recipe, machine)
    steps = enumerate(order(len(data), batch=batch, seed=recipe.seed, start=0, steps=recipe.steps))

    def run(count: int) -> None:
        with seeded(0):
            for _ in range(count):
                trainer.step(*next(steps))
            if machine.device.type == "cuda":
                torch.cuda.synchronize()

    with machine.applied():
        with FlopCounterMode(display=False) as counter:
            run(1)
        serve(run, {"flop": counter.get_total_flops(), "engine": str(machine), "torch": torch.__version__})


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
