"""StyleGAN2 beside the usual implementation (`opponents/stylegan2_plain.py`), on the same weights.

    python benchmarks/stylegan2_speed.py --sides 64 256 --batches 1 16 --precisions fp32 bf16

Both take turns in one process, so that their ratio holds on a busy machine, too. A training step is a step of
the discriminator with R1, and a step of the generator. Its peak memory is measured in a process of its own,
above that of the loaded networks. `share` is our rate of floating-point operations, of the rate of one large
convolution in the same run.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import conv2d, softplus
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).parent / "opponents"))
import stylegan2_plain as plain

import gantl_zoo as gz

Run = Callable[[], object]
IMPLEMENTATIONS = ("plain", "ours")
STEP_SIDE = 64  # training steps of larger images take minutes


class Pair:
    """The two networks, called in one of two ways."""

    def __init__(self, side: int, base: int) -> None:
        config = {"image_size": side, "channel_base": base}
        self.side = side
        self.generator = gz.generators.build("stylegan2", **config, noise="const")
        self.discriminator = gz.discriminators.build("stylegan2", **config)
        self.parameters = [*self.generator.parameters(), *self.discriminator.parameters()]

    def generate(self, who: str, noise: Tensor) -> Tensor:
        """Images, by "plain" or "ours"."""
        if who == "plain":
            return plain.generate(self.generator.state_dict(keep_vars=True), noise, self.side)
        images: Tensor = self.generator(noise)
        return images

    def judge(self, who: str, images: Tensor) -> Tensor:
        """Logits, by "plain" or "ours"."""
        if who == "plain":
            return plain.discriminate(self.discriminator.state_dict(keep_vars=True), images)
        logits: Tensor = self.discriminator(images)
        return logits

    def step(self, who: str, noise: Tensor, real: Tensor, autocast: torch.autocast) -> None:
        """The gradients of a training step."""
        real = real.clone().requires_grad_()
        with autocast:
            with torch.no_grad():
                fake = self.generate(who, noise)
            logits, fakes = self.judge(who, real), self.judge(who, fake)
        (slope,) = torch.autograd.grad(logits.float().sum(), real, create_graph=True)
        loss = softplus(fakes.float()).mean() + softplus(-logits.float()).mean()
        loss = loss + 0.5 * slope.square().sum((1, 2, 3)).mean()
        loss.backward(inputs=list(self.discriminator.parameters()))  # type: ignore[no-untyped-call]
        with autocast:
            loss = softplus(-self.judge(who, self.generate(who, noise)).float()).mean()
        loss.backward(inputs=list(self.generator.parameters()))  # type: ignore[no-untyped-call]
        for parameter in self.parameters:
            parameter.grad = None


def in_turns(parts: dict[str, Run], turns: int) -> dict[str, float]:
    """The shortest time of each part in seconds; the parts take turns."""
    best = dict.fromkeys(parts, float("inf"))
    for _ in range(turns + 1):  # the first one warms up, and can't be the shortest for long
        for name, part in parts.items():
            start = time.perf_counter()
            part()
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def rate(dtype: torch.dtype, turns: int) -> float:
    """The floating-point operations a second of one large convolution."""
    images = torch.randn(16, 256, 32, 32, dtype=dtype).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(256, 256, 3, 3, dtype=dtype).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        seconds = in_turns({"conv": lambda: conv2d(images, weight, padding=1)}, turns)["conv"]
    return 2 * images.numel() * weight[:, 0].numel() / seconds


def flop(run: Run) -> int:
    """The floating-point operations of a call, those of the convolutions and linear layers."""
    counter: Any = FlopCounterMode(display=False)
    with counter:
        run()
    count: int = counter.get_total_flops()
    return count


def row(what: str, times: dict[str, float], operations: int, most: float) -> str:
    """One line of the table; the share is left out for 0 operations."""
    ratio, share = times["plain"] / times["ours"], operations / times["ours"] / most
    milliseconds = " | ".join(f"{times[who] * 1e3:,.0f}" for who in IMPLEMENTATIONS)
    return f"| {what} | {milliseconds} | {ratio:.2f} | {share:.0%} |".replace("| 0% |", "| |")


def compare(side: int, batch: int, precision: str, turns: int, most: float) -> None:
    """Print a line for the generator, and for small images one for a training step."""
    pair = Pair(side, options.base)
    noise, real = torch.randn(batch, 512), torch.rand(batch, 3, side, side) * 2 - 1
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16")

    def forward(who: str) -> Tensor:
        with torch.no_grad(), autocast:
            return pair.generate(who, noise)

    images = [forward(who) for who in IMPLEMENTATIONS]
    error = float((images[0] - images[1]).abs().max() / images[0].std())
    assert error < (1e-3 if precision == "fp32" else 0.5), f"the implementations differ by {error}"
    pair.generator.eval()
    runs: dict[str, Run] = {who: lambda who=who: forward(who) for who in IMPLEMENTATIONS}  # type: ignore[misc]
    name = f"{side} px, batch {batch}, {precision}"
    print(row(f"forward, {name}", in_turns(runs, turns), flop(runs["ours"]), most), flush=True)
    if side <= STEP_SIDE:
        pair.generator.train()
        runs = {
            who: lambda who=who: pair.step(who, noise, real, autocast)  # type: ignore[misc]
            for who in IMPLEMENTATIONS
        }
        print(row(f"step, {name}", in_turns(runs, turns), 0, most), flush=True)
        peaks = {who: peak_of(who, side, batch, precision) for who in IMPLEMENTATIONS}
        ratio, megabytes = (
            peaks["ours"] / peaks["plain"],
            [f"{peaks[who]:,.0f} MB" for who in IMPLEMENTATIONS],
        )
        print(f"| memory of a step, {name} | {' | '.join(megabytes)} | {ratio:.2f} | |", flush=True)


def peak_of(who: str, side: int, batch: int, precision: str) -> float:
    """The peak memory in MB of a training step in a process of its own."""
    words = ["--peak", who, "--sides", side, "--batches", batch, "--precisions", precision]
    words += ["--base", options.base]
    command = [sys.executable, __file__, *map(str, words)]
    return float(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def highest() -> float:
    """The peak of this process's memory in MB."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)
    return int(line.split()[1]) / 1024


def peak(who: str) -> float:
    """The growth in MB of this process's peak memory by two training steps."""
    side, batch = options.sides[0], options.batches[0]
    pair = Pair(side, options.base)
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=options.precisions[0] == "bf16")
    start = highest()
    for _ in range(2):
        pair.step(who, torch.randn(batch, 512), torch.rand(batch, 3, side, side), autocast)
    return highest() - start


def main() -> None:
    torch.manual_seed(0)
    if options.peak:
        print(json.dumps(peak(options.peak)))
        return
    print(f"{torch.get_num_threads()} threads, channel base {options.base}, torch {torch.__version__}\n")
    print("| what | plain, ms | ours, ms | ratio | share |\n|---|---|---|---|---|")
    for precision in options.precisions:
        most = rate(torch.float32 if precision == "fp32" else torch.bfloat16, options.turns)
        for side in options.sides:
            for batch in options.batches:
                compare(side, batch, precision, options.turns, most)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--precisions", nargs="+", choices=("fp32", "bf16"), default=["fp32", "bf16"])
    parser.add_argument("--base", type=int, default=16384)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--peak", choices=IMPLEMENTATIONS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    main()
