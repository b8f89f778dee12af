"""Training alone and beside another busy process, for several ways in which OpenMP's threads wait.

    python benchmarks/waiting.py [--settings NAME=VALUE,NAME=VALUE …] [--neighbours default same] [--rounds 5]
                                 [--seconds 2]

Each setting of environment variables has a process, and blocks of steps take turns. A neighbour is a second
process that trains with as many threads, with the settings "default" or the same ones; it runs in the blocks
beside it alone. Shares are of the first setting alone: medians over rounds of ratios within a round. "load"
is what a run does: it measures how many cores the other programs leave free. Its blocks begin with all
threads.
"""

from __future__ import annotations

import argparse
import atexit
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

from throughput import BLOCK, HERE, Contestant

WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")  # not taken from this process
SETTINGS = ("default", "load", "OMP_WAIT_POLICY=passive", "GOMP_SPINCOUNT=1000", "GOMP_SPINCOUNT=10000",
            "GOMP_SPINCOUNT=30000", "OMP_NUM_THREADS=1")  # fmt: skip
ENDLESS = 1_000_000  # steps


def started(setting: str) -> Contestant:
    """A training process with environment variables NAME=VALUE,NAME=VALUE, or with "default" or "load"."""
    pairs = [] if setting in ("default", "load") else [one.split("=", 1) for one in setting.split(",")]
    environment = {name: value for name, value in os.environ.items() if name not in WAITING}
    command = [sys.executable, f"{HERE}/ours.py", options.workload, str(options.batch), options.precision]
    command += ["load"] if setting == "load" else []
    one = Contestant(setting, command, options.batch, environment=environment | dict(map(tuple, pairs)))
    one.start()
    atexit.register(one.process.kill)
    return one


def neighbour(setting: str) -> Contestant:
    """A process that trains without end, but is stopped."""
    one = started(setting)
    assert one.process.stdin
    one.process.stdin.write(f"{ENDLESS}\n")
    one.process.stdin.flush()
    one.process.send_signal(signal.SIGSTOP)
    return one


@contextmanager
def running(one: Contestant | None) -> Iterator[None]:
    """Let a neighbour run inside."""
    if one is None:
        yield
        return
    one.process.send_signal(signal.SIGCONT)
    time.sleep(0.2)
    yield
    one.process.send_signal(signal.SIGSTOP)


def rates_of(contestants: list[Contestant], beside: list[Contestant | None]) -> list[list[float]]:
    """The images a second of each contestant in each round, beside the neighbour of its place in the list."""
    rates: list[list[float]] = [[] for _ in contestants]
    for _ in range(options.rounds):
        for own, one, other in zip(rates, contestants, beside, strict=True):
            with running(other):
                own.append(one.ask(max(2, round(one.count * options.seconds / BLOCK)))["rate"])
            time.sleep(0.2)
    return rates


def main() -> None:
    contestants = [started(setting) for setting in options.settings]
    results = {"alone": rates_of(contestants, [None] * len(contestants))}
    for kind in options.neighbours:
        usual = neighbour("default") if kind == "default" else None
        beside: list[Contestant | None] = [usual or neighbour(one.name) for one in contestants]
        results[f"beside {kind}"] = rates_of(contestants, beside)
        for one in {id(one): one for one in beside if one}.values():
            one.process.kill()
    print("| setting | " + " | ".join(f"{kind}, images/s | share" for kind in results) + " |")
    print("|---" * (1 + 2 * len(results)) + "|")
    for number, one in enumerate(contestants):
        cells = [one.name]
        for rates in results.values():
            ratios = [a / b for a, b in zip(rates[number], results["alone"][0], strict=True)]
            cells += [f"{median(rates[number]):,.0f}", f"{median(ratios):.2f}"]
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--settings", nargs="+", default=SETTINGS)
    parser.add_argument("--neighbours", nargs="*", choices=("default", "same"), default=["default"])
    parser.add_argument("--workload", default="dcgan-28")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=BLOCK, help="of a block of steps alone")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no stopped process stays
    main()
