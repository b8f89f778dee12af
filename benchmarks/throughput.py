"""Images per second of our training loop and of usual ones, measured in turn: A B C, A B C, …

    python benchmarks/throughput.py [--workload NAME …] [--batch N …] [--rounds 9] [--keras PYTHON]

Each contestant is a process that stays alive and runs a block of steps in its turn. Prints the median over
rounds of ratios within a round. A round in which a contestant had less processor time than usual was
disturbed by another program: it is discarded and counted. MB are the peak of a process above its memory with
the networks and images loaded; they need Linux. `--keras` is the Python of an environment with
tensorflow-cpu, for the article's loop (28×28 only).
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).parent
DEFAULT = ("dcgan-28", "dcgan-64", "resnet-32", "projected-64")
BLOCK = 2.0  # seconds
PATIENCE = 3  # stop after this many times the requested rounds
DISTURBED = 0.9  # a round is disturbed below this fraction of the usual processor time


@dataclass
class Contestant:
    """A process that runs steps on request."""

    name: str
    command: list[str]
    batch: int
    blocks: list[dict[str, float]] = field(default_factory=list)
    environment: dict[str, str] | None = None  # None: that of this process

    def start(self) -> None:
        self.process = self._process()
        self.about: dict[str, Any] = json.loads(self._answer())
        first = self.ask(2)["seconds"] / 2
        self.count = max(2, round(BLOCK / first))
        self.ask(self.count)  # warm-up

    def _process(self) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        return subprocess.Popen(
            self.command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True, env=self.environment
        )

    def ask(self, count: int) -> dict[str, float]:
        assert self.process.stdin
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        answer: dict[str, float] = json.loads(self._answer())
        return answer | {"rate": count * self.batch / answer["seconds"], "steps": count}

    def _answer(self) -> str:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} has ended: run {' '.join(self.command)} to see why")
        return line

    def share(self, block: dict[str, float]) -> float:
        """Processor time per second of a block, in cores."""
        return (block["user"] + block["system"]) / block["seconds"]

    def undisturbed(self) -> set[int]:
        """The rounds with the usual processor time."""
        usual = median(self.share(block) for block in self.blocks)
        return {i for i, block in enumerate(self.blocks) if self.share(block) >= DISTURBED * usual}


def contest(contestants: list[Contestant], rounds: int) -> list[int]:
    """Run until `rounds` rounds are undisturbed; returns their numbers."""
    for contestant in contestants:
        contestant.start()
    good: set[int] = set()
    for number in range(rounds * PATIENCE):
        for contestant in contestants:
            contestant.blocks.append(contestant.ask(contestant.count))
            time.sleep(0.2)  # its idle threads keep spinning for a moment
        good = set.intersection(*(contestant.undisturbed() for contestant in contestants))
        if len(good) >= rounds and number + 1 >= rounds:
            break
    for contestant in contestants:
        contestant.process.stdin.close()  # type: ignore[union-attr]
        contestant.process.wait()
    return sorted(good)


def contestants(workload: str, batch: int, keras: str | None) -> list[Contestant]:
    """Our loop and a large convolution, each in both precisions, and the opponents."""
    words = [workload, str(batch)]
    plain = "projected_plain.py" if workload.startswith("projected") else "plain.py"
    every = [
        Contestant("ours", [sys.executable, f"{HERE}/ours.py", *words, "auto"], batch),
        Contestant("ours fp32", [sys.executable, f"{HERE}/ours.py", *words, "fp32"], batch),
        Contestant("plain", [sys.executable, f"{HERE}/opponents/{plain}", *words], batch),
        Contestant("rate", [sys.executable, f"{HERE}/rate.py", "auto"], 1),
        Contestant("rate fp32", [sys.executable, f"{HERE}/rate.py", "fp32"], 1),
    ]
    if keras and workload == "dcgan-28":
        every.append(Contestant("keras", [keras, f"{HERE}/opponents/article.py", str(batch)], batch))
    return every


def report(workload: str, batch: int, runners: list[Contestant], good: list[int]) -> None:
    """Print a row of the table in README.md, and the page faults to standard error."""
    by_name = {runner.name: runner for runner in runners}

    def ratio(one: str, other: str) -> float:
        return median(by_name[one].blocks[i]["rate"] / by_name[other].blocks[i]["rate"] for i in good)

    def of_rate(one: str, other: str) -> float:
        ours, limit = by_name[one], by_name[other]
        work = ours.about["flop"] / batch / limit.about["flop"]  # large convolutions per image
        return median(work * ours.blocks[i]["rate"] / limit.blocks[i]["rate"] for i in good)

    cells = [workload, str(batch)]
    cells += [
        f"{median(by_name[n].blocks[i]['rate'] for i in good):,.0f}" for n in ("ours", "ours fp32", "plain")
    ]
    cells += [f"{ratio('ours', 'plain'):.2f}", f"{ratio('ours fp32', 'plain'):.2f}"]
    cells += [f"{ratio('ours', 'keras'):.2f}" if "keras" in by_name else "–"]
    cells += [f"{of_rate('ours', 'rate'):.2f}", f"{of_rate('ours fp32', 'rate fp32'):.2f}"]
    peaks = [max(block["peak"] for block in by_name[n].blocks) for n in ("ours", "ours fp32", "plain")]
    cells += [f"{peak:,.0f}" for peak in peaks] + [f"{peaks[0] / peaks[2]:.2f}, {peaks[1] / peaks[2]:.2f}"]
    cells += [f"{len(good)} of {len(runners[0].blocks)}"]
    print("| " + " | ".join(cells) + " |", flush=True)
    faults = {n: median(b["faults"] / b["steps"] for b in r.blocks) for n, r in by_name.items()}
    print(f"  page faults a step: {', '.join(f'{n} {v:.0f}' for n, v in faults.items())}", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--workload", nargs="+", default=["dcgan-28", "dcgan-64", "resnet-32", "projected-64"]
    )
    parser.add_argument("--batch", nargs="+", type=int, default=[128, 64])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--keras")
    options = parser.parse_args()
    print(
        f"{platform.processor() or platform.machine()}, Python {platform.python_version()}", file=sys.stderr
    )
    print("| workload | batch | ours, images/s | ours fp32 | plain | ours / plain | fp32 / plain "
          "| ours / article | of the rate | fp32 of the rate "
          "| ours, MB | ours fp32, MB | plain, MB | MB / plain | rounds |")  # fmt: skip
    print("|---" * 15 + "|")
    for workload in options.workload:
        for batch in options.batch:
            runners = contestants(workload, batch, options.keras)
            good = contest(runners, options.rounds)
            print(
                f"  {workload}: {runners[0].about['engine']}, torch {runners[0].about['torch']}",
                file=sys.stderr,
            )
            report(workload, batch, runners, good)


if __name__ == "__main__":
    main()
