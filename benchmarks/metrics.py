"""Time and memory of our metrics and those of torchmetrics and torch-fidelity, on the same features.

    python benchmarks/metrics.py [--count 10000] [--features 128] [--rounds 5] [--only kd pr]

Each round measures every implementation once, in a separate process, on normal features drawn from the same
seed. Prints the median over rounds of ratios within a round. Seconds are those of the computation only; MiB
are the increase of the process's peak memory.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from torch import Tensor

Contest = dict[str, dict[str, Callable[[Tensor, Tensor], float]]]


def torchmetrics_of(name: str, **settings: Any) -> Callable[[Tensor, Tensor], float]:
    """A metric of torchmetrics that gets features, in blocks, in place of images."""

    def measure(real: Tensor, fake: Tensor) -> float:
        from torchmetrics.image import fid, kid, mifid

        from gantl_zoo.metrics.distance import _Identity

        kinds = {
            "fd": fid.FrechetInceptionDistance,
            "kd": kid.KernelInceptionDistance,
            "mifid": mifid.MemorizationInformedFrechetInceptionDistance,
        }
        metric = kinds[name](feature=_Identity(real.shape[1]), **settings)
        for part in torch.split(real, 1000):
            metric.update(part, real=True)
        for part in torch.split(fake, 1000):
            metric.update(part, real=False)
        value = metric.compute()
        return float(value[0] if isinstance(value, tuple) else value)

    return measure


def fidelity_fd(real: Tensor, fake: Tensor) -> float:
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    values = fid_statistics_to_metric(*map(fid_features_to_statistics, (fake, real)), verbose=False)
    return float(values["frechet_inception_distance"])


def fidelity_kd(real: Tensor, fake: Tensor) -> float:
    from torch_fidelity.metric_kid import kid_features_to_metric

    return float(kid_features_to_metric(fake, real, verbose=False)["kernel_inception_distance_mean"])


def fidelity_pr(real: Tensor, fake: Tensor) -> float:
    from torch_fidelity.metric_prc import prc_features_to_metric

    return float(prc_features_to_metric(fake, real, verbose=False)["precision"])


def fidelity_pr_sparing(real: Tensor, fake: Tensor) -> float:
    from torch_fidelity.metric_prc import prc_features_to_metric

    return float(prc_features_to_metric(fake, real, verbose=False, save_cpu_ram=True)["precision"])


def contests() -> Contest:
    from gantl_zoo.metrics.distance import frechet, kernel
    from gantl_zoo.metrics.memorisation import informed
    from gantl_zoo.metrics.neighbours import manifolds

    return {
        "fd": {"ours": frechet, "torchmetrics": torchmetrics_of("fd"), "torch-fidelity": fidelity_fd},
        "kd": {
            "ours": lambda real, fake: kernel(real, fake).value,
            "torchmetrics": torchmetrics_of("kd", subset_size=1000),
            "torch-fidelity": fidelity_kd,
        },
        "mifid": {
            "ours": lambda real, fake: informed(frechet(real, fake), fake, real),
            "torchmetrics": torchmetrics_of("mifid"),
        },
        "pr": {  # ours also computes density and coverage
            "ours": lambda real, fake: manifolds(real, fake)["precision"],
            "torch-fidelity": fidelity_pr,
            "torch-fidelity, sparing": fidelity_pr_sparing,
        },
    }


def child(metric: str, who: str, count: int, features: int) -> None:
    """Measure one implementation once, and print its time and memory as JSON."""
    warnings.simplefilter("ignore")
    real, fake = (
        torch.randn(count, features, generator=torch.Generator().manual_seed(seed)) + 0.1 * seed
        for seed in (0, 1)
    )
    measure = contests()[metric][who]
    measure(real[: 2 * features + 1000], fake[: 2 * features + 1000])  # imports and first calls
    before, clock = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    value = measure(real, fake)
    seconds = time.perf_counter() - clock
    added = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(json.dumps({"value": value, "seconds": seconds, "mib": added}))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--features", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=["fd", "kd", "mifid", "pr"])
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return child(*options.child, options.count, options.features)
    size = ["--count", str(options.count), "--features", str(options.features)]
    count, features, rounds = options.count, options.features, options.rounds
    print(f"{count:,} features of {features} a side, {rounds} rounds, torch {torch.__version__}")
    print("| metric | who | seconds | of ours | MiB | value |\n|---|---|---|---|---|---|")
    for metric in options.only:
        seen: list[dict[str, dict[str, float]]] = []
        for _ in range(rounds):
            values = {}
            for who in contests()[metric]:
                words = [sys.executable, __file__, *size, "--child", metric, who]
                values[who] = json.loads(subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout)
            seen.append(values)
        for who in seen[0]:
            seconds, mib = (median(r[who][key] for r in seen) for key in ("seconds", "mib"))
            ratio = median(r[who]["seconds"] / r["ours"]["seconds"] for r in seen)
            value = seen[0][who]["value"]
            print(f"| {metric} | {who} | {seconds:.2f} | {ratio:.2f} | {mib:.0f} | {value:.5g} |", flush=True)


if __name__ == "__main__":
    main()
