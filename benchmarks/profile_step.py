"""Where the time of a training step goes, by operator: `python benchmarks/profile_step.py`.

    python benchmarks/profile_step.py [--workload NAME …] [--precision fp32 bf16] [--batch 32] [--steps 2]

For each workload and precision: milliseconds of a step, the step's convolutions and matrix products at the
rate of one large convolution in the same precision (`share`), and the operators with the largest shares of
the processor's time. `--shapes` tells convolutions of different shapes apart.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import ours
import rate
import torch
from torch.profiler import ProfilerActivity, profile

from gantl_zoo.training import engine

WORKLOADS = ("dcgan-28", "dcgan-64", "resnet-32", "fast-64", "projected-64")
# What the table calls the operators that take long; others have torch's names.
NAMES = {
    "mkldnn_convolution": "convolution",
    "mkldnn::_convolution_pointwise": "convolution with ReLU",
    "_convolution": "transposed convolution",
    "convolution_backward": "convolution, backward",
    "native_batch_norm": "BatchNorm",
    "native_batch_norm_backward": "BatchNorm, backward",
    "copy_": "conversions, copies",
    "leaky_relu_": "LeakyReLU",
    "leaky_relu_backward": "LeakyReLU, backward",
    "threshold_backward": "ReLU, backward",
    "clamp_min_": "ReLU",
    "upsample_nearest2d": "upsampling",
    "upsample_nearest2d_backward": "upsampling, backward",
    "_fused_adam_": "Adam",
}


def seconds(run: Callable[[int], None], steps: int) -> float:
    """The shortest time of a step."""
    best = float("inf")
    for _ in range(steps):
        start = time.perf_counter()
        run(1)
        best = min(best, time.perf_counter() - start)
    return best


def shares(run: Callable[[int], None], shapes: bool) -> list[tuple[float, str]]:
    """The share of each operator in the profiled time of a step, the largest first."""
    with profile(activities=[ProfilerActivity.CPU], record_shapes=shapes) as profiler:
        run(1)
    totals: dict[str, float] = {}
    for event in profiler.key_averages(group_by_input_shape=shapes):
        name = event.key.removeprefix("aten::")
        name = NAMES.get(name, name) + (f" {sizes(event.input_shapes)}" if shapes else "")
        totals[name] = totals.get(name, 0.0) + event.self_cpu_time_total
    whole = sum(totals.values())
    return sorted(((value / whole, name) for name, value in totals.items()), reverse=True)


def sizes(shapes: list[Any]) -> str:
    """The shapes of the first tensors of an operator, such as 64x3x5x5."""
    return " ".join("x".join(map(str, shape)) for shape in shapes[:3] if shape)


def limit(precision: str) -> float:
    """The floating-point operations a second of one large convolution."""
    run, flop = rate.convolution(precision)
    with engine.choose("auto", precision).applied():
        return 5 * flop / seconds(lambda count: run(5 * count), 4)


def row(workload: str, precision: str, most: float) -> str:
    """A line of the table."""
    one = ours.trainer(workload, options.batch, precision)
    run = ours.stepping(one)
    with one.engine.applied():
        flop = ours.flop_of(run)
        run(1)
        time_of_step = seconds(run, options.steps)
        operators = shares(run, options.shapes)[: options.top]
    text = ", ".join(f"{name} {share:.0%}" for share, name in operators)
    cells = [workload, precision, f"{time_of_step * 1e3:,.0f}", f"{options.batch / time_of_step:,.0f}"]
    return "| " + " | ".join([*cells, f"{flop / time_of_step / most:.2f}", text]) + " |"


def main() -> None:
    print(f"{torch.get_num_threads()} threads, batch {options.batch}, torch {torch.__version__}\n")
    print("| workload | precision | ms a step | images/s | share | operators |\n" + "|---" * 6 + "|")
    for precision in options.precision:
        most = limit(precision)
        for workload in options.workload:
            print(row(workload, precision, most), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workload", nargs="+", default=WORKLOADS)
    parser.add_argument("--precision", nargs="+", choices=("fp32", "bf16"), default=["fp32", "bf16"])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--top", type=int, default=6)
    parser.add_argument("--shapes", action="store_true")
    options = parser.parse_args()
    main()
