"""The speed of one large convolution, as a limit of what the processor can do.

    python benchmarks/rate.py PRECISION

5×5, 256 to 128 channels at 7×7, as in the 28×28 DCGAN, at batch 128; channels-last, without returning freed
memory to the system.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch
from serve import serve

from gantl_zoo.training import engine

BATCH, INPUTS, OUTPUTS, KERNEL, SIDE = 128, 256, 128, 5, 7


def convolution(precision: str) -> tuple[Callable[[int], None], int]:
    """A function that computes the convolution a number of times, and the operations of one."""
    machine = engine.choose("auto", precision)
    dtype = torch.float32 if machine.precision == "fp32" else torch.bfloat16
    images = torch.randn(BATCH, INPUTS, SIDE, SIDE, device=machine.device, dtype=dtype)
    weight = torch.randn(OUTPUTS, INPUTS, KERNEL, KERNEL, device=machine.device, dtype=dtype)
    images, weight = (t.contiguous(memory_format=torch.channels_last) for t in (images, weight))

    def run(count: int) -> None:
        with torch.no_grad():
            for _ in range(count):
                torch.nn.functional.conv2d(images, weight, padding=KERNEL // 2)
            if machine.device.type == "cuda":
                torch.cuda.synchronize()

    return run, 2 * BATCH * SIDE**2 * OUTPUTS * INPUTS * KERNEL**2


def main(precision: str) -> None:
    run, flop = convolution(precision)
    with engine.choose("auto", precision).applied():
        run(3)
        serve(run, {"flop": flop})


if __name__ == "__main__":
    main(sys.argv[1])
