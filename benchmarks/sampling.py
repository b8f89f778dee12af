"""Images per second of every way to sample a GAN: `python benchmarks/sampling.py [--models …] [--rounds 5]`.

onnxruntime (`gz.runtime`), torch in float32 and in bfloat16 (one call of the network for the batch), and
`generate` with exact seeds (padded batches of 16) and without (`batch_size`). All take turns in one process,
so that their ratios hold on a busy machine, too. Latents are drawn before the clock starts, except in the
rows of `generate` and of the runtime's `generate`, which draw their own. `share` is the rate of
floating-point operations, of the rate of one large convolution in the same run. To use one thread:
OMP_NUM_THREADS=1, and --threads 1 for onnxruntime.

A model is a name, a folder, or stylegan2:SIDE for a StyleGAN2 with random weights.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

import gantl_zoo as gz
from gantl_zoo.model.sampling import drawn_classes, latents

MODELS = ("dcgan-mnist", "dcgan-faces", "stylegan2:64", "stylegan2:256")
BATCHES = (1, 16, 256)
BASE = "torch fp32"  # the way that ratios are relative to
Run = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--batches", nargs="+", type=int, default=BATCHES)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="least time of a measurement")
    parser.add_argument("--threads", type=int, help="of onnxruntime")
    options = parser.parse_args()
    print(f"convolution: {convolution_rate() / 1e9:,.0f} GFLOP/s\n", flush=True)
    for name in options.models:
        gan = model(name)
        with tempfile.TemporaryDirectory() as folder:
            export = gan.export(folder)
            exported = gz.runtime(export.file, threads=options.threads)
        print(
            f"### {name}\n\n{export}\n\n| batch | way | images/s | of {BASE} | share |\n|--:|---|--:|--:|--:|"
        )
        for batch in options.batches:
            table(gan, exported, batch, options)
        print(flush=True)


def model(name: str) -> Any:
    """The GAN of that name, or a StyleGAN2 with random weights."""
    family, _, side = name.partition(":")
    if family != "stylegan2":
        return gz.load_model(name, discriminator=False)
    torch.manual_seed(0)
    return gz.build_gan("stylegan2", generator_config={"image_size": int(side)}, name=name.replace(":", "-"))


def table(gan: Any, exported: Any, batch: int, options: argparse.Namespace) -> None:
    """Measure all ways at one batch size, in turns, and print a line for each."""
    runs = ways(gan, exported, batch)
    times: dict[str, list[float]] = {way: [] for way in runs}
    for run in runs.values():
        run()  # warm up
    for _ in range(options.rounds):
        for way, run in runs.items():
            times[way].append(measured(run, options.seconds))
    operations, rate = flops(gan, batch), convolution_rate()
    for way, seconds in times.items():
        middle = statistics.median(seconds)
        ratio = statistics.median(base / own for base, own in zip(times[BASE], seconds, strict=True))
        share = operations / middle / rate
        print(f"| {batch} | {way} | {batch / middle:,.1f} | {ratio:.2f} | {share:.0%} |", flush=True)


def ways(gan: Any, exported: Any, batch: int) -> dict[str, Run]:
    """Every way to compute a batch."""
    noise = latents(range(batch), gan.latent_dim)
    labels = drawn_classes(range(batch), gan.num_classes) if gan.num_classes else None
    inputs = (noise,) if labels is None else (noise, labels)
    half = copy.deepcopy(gan.generator).bfloat16()
    halves = (noise.bfloat16(), *inputs[1:])
    arrays = noise.numpy(), None if labels is None else labels.tolist()
    return {
        BASE: no_grad(lambda: gan.generator(*inputs)),
        "torch bf16": no_grad(lambda: half(*halves)),
        "onnxruntime": lambda: exported.decode(*arrays, batch_size=batch),
        "onnxruntime, exact seeds": lambda: exported.generate(batch),
        "generate, exact seeds": lambda: gan.generate(batch),
        "generate, batch_size": lambda: gan.generate(batch, batch_size=batch),
    }


def no_grad(run: Run) -> Run:
    """The same without gradients."""

    def call() -> object:
        with torch.no_grad():
            return run()

    return call


def measured(run: Run, least: float) -> float:
    """Seconds of a call: the mean over calls that together take at least `least` seconds."""
    count, start = 0, time.perf_counter()
    while (seconds := time.perf_counter() - start) < least or not count:
        run()
        count += 1
    return seconds / count


def flops(gan: Any, batch: int) -> int:
    """The floating-point operations of a batch: those of convolutions and linear layers."""
    noise = latents(range(1), gan.latent_dim)
    inputs = (noise, drawn_classes(range(1), gan.num_classes)) if gan.num_classes else (noise,)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        gan.generator(*inputs)
    return batch * counter.get_total_flops()


def convolution_rate() -> float:
    """The floating-point operations a second of one large convolution."""
    maps, weight = torch.randn(16, 128, 64, 64), torch.randn(128, 128, 3, 3)
    operations = 2 * 16 * 64 * 64 * 128 * 128 * 9
    run = no_grad(lambda: torch.nn.functional.conv2d(maps, weight, padding=1))
    run()
    return operations / min(measured(run, 0.2) for _ in range(3))


if __name__ == "__main__":
    main()
