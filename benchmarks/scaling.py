"""Images per second with one process and with two, interleaved, and a projection to more.

    python benchmarks/scaling.py [--workload NAME …] [--batch 128] [--rounds 9] [--precision auto]

Two processes with one thread each share the batch and average their gradients with gloo on loopback; the
single process has all threads. Prints the bytes that a step exchanges, its compute, and a projection to 8
GPUs and to 64 GPUs on 8 machines, with the assumptions below.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import throughput
import workloads

HERE = Path(__file__).parent
# assumptions of the projection about GPUs and their network; none is measured
GPU_FLOP = 0.3 * 400e12  # per second in bf16: 30 % of the specification of a 2024 card
MESSAGES = 3  # per step: one per network, one for running statistics


@dataclass(frozen=True)
class Wire:
    """A network: bytes per second that a GPU sends, and seconds for an all-reduce of a short message."""

    rate: float
    latency: float


WITHIN, BETWEEN = Wire(200e9, 40e-6), Wire(25e9, 150e-6)  # NVLink; 200 Gb/s between machines


class Pair(throughput.Contestant):
    """Two processes that share each step."""

    def start(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        shared = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
        shared |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        self.environment = os.environ | shared | {"RANK": "1", "LOCAL_RANK": "1"}
        self.second = self._process()
        self.environment = self.environment | {"RANK": "0", "LOCAL_RANK": "0"}
        super().start()

    def ask(self, count: int) -> dict[str, float]:
        assert self.second.stdin and self.second.stdout
        self.second.stdin.write(f"{count}\n")
        self.second.stdin.flush()
        return super().ask(count)


def bytes_a_step(workload: str) -> int:
    """The bytes that each process sends: float32 gradients of both networks, and running statistics."""
    gan = workloads.build(workload)
    networks = (gan.generator, gan.discriminator)
    floats = sum(p.numel() for n in networks for p in n.parameters())
    floats += sum(b.numel() for n in networks for b in n.buffers() if b.is_floating_point())
    return 4 * floats


def project(flop: float, sent: int, count: int, wire: Wire) -> float:
    """The fraction of perfect scaling at the same batch per GPU.

    Compute time, divided by compute time plus that of a ring all-reduce; the two don't overlap here.
    """
    compute = flop / GPU_FLOP
    exchange = 2 * (count - 1) / count * sent / wire.rate + MESSAGES * wire.latency
    return compute / (compute + exchange)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workload", nargs="+", default=["dcgan-28", "dcgan-64", "resnet-32"])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--precision", default="auto")
    options = parser.parse_args()
    print(
        "| workload | one process | two | two / one | MB a step | GFLOP a step | 8 GPUs | 64 on 8 | rounds |"
    )
    print("|---" * 9 + "|")
    for workload in options.workload:
        command = [sys.executable, f"{HERE}/ours.py", workload, str(options.batch), options.precision]
        one, two = throughput.Contestant("one", command, options.batch), Pair("two", command, options.batch)
        good = throughput.contest([one, two], options.rounds)
        rates = [median(runner.blocks[i]["rate"] for i in good) for runner in (one, two)]
        ratio = median(two.blocks[i]["rate"] / one.blocks[i]["rate"] for i in good)
        flop, sent = float(one.about["flop"]), bytes_a_step(workload)
        cells = [workload, f"{rates[0]:,.0f}", f"{rates[1]:,.0f}", f"{ratio:.2f}"]
        cells += [f"{sent / 1e6:.1f}", f"{flop / 1e9:,.0f}"]
        cells += [f"{project(flop, sent, 8, WITHIN):.0%}", f"{project(flop, sent, 64, BETWEEN):.0%}"]
        print("| " + " | ".join([*cells, f"{len(good)} of {len(one.blocks)}"]) + " |", flush=True)


if __name__ == "__main__":
    main()
