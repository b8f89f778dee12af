"""Two hosts, which are network namespaces joined by a virtual cable, train together under torchrun."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ADDRESSES = ("10.213.77.1", "10.213.77.2")
CARD = "cable"  # the network interface of each host


def ip(*words: str) -> None:
    """Run a command of iproute2. Raises `OSError` or `CalledProcessError` if that is not possible."""
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


def kill_all(name: str) -> None:
    """Kill all processes of a host: the launcher starts its worker in a session of its own."""
    listed = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=False)
    for number in listed.stdout.split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(number), signal.SIGKILL)


@pytest.fixture
def hosts() -> Iterator[list[str]]:
    """The names of two network namespaces."""
    names = [f"gantl-zoo-{os.getpid()}-{i}" for i in range(2)]
    try:
        for name in names:
            ip("netns", "add", name)
        first, second = names
        ip("-n", first, "link", "add", CARD, "type", "veth", "peer", "name", CARD, "netns", second)
        for name, address in zip(names, ADDRESSES, strict=True):
            ip("-n", name, "address", "add", f"{address}/24", "dev", CARD)
            for card in ("lo", CARD):
                ip("-n", name, "link", "set", card, "up")
        yield names
    except OSError:
        pytest.skip("network namespaces need ip, of the package iproute2")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"network namespaces can't be made: {error.stderr.strip()}")
    finally:
        for name in names:
            kill_all(name)
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


def start(names: list[str], number: int, log: Path, *words: object) -> subprocess.Popen[bytes]:
    """Start the command line with one process on this host; its output goes to `log`.

    The first host gives torchrun options, as a script of Slurm does; the second sets its variables, as the
    operator of Kubernetes does.
    """
    options = {"nnodes": 2, "node-rank": number, "nproc-per-node": 1, "master-addr": ADDRESSES[0]}
    options |= {"master-port": 29_500}
    given = [str(word) for key, value in options.items() for word in (f"--{key}", value)]
    variables = {f"PET_{key.replace('-', '_').upper()}": str(value) for key, value in options.items()}
    environment = os.environ | {"GLOO_SOCKET_IFNAME": CARD, "OMP_NUM_THREADS": "1"}
    command = ["ip", "netns", "exec", names[number], sys.executable, "-m", "torch.distributed.run"]
    command += [*([] if number else given), "-m", "gantl_zoo", *map(str, words)]
    with open(log, "wb") as file:
        return subprocess.Popen(
            command, stdout=file, stderr=file, env=environment | (variables if number else {})
        )


def test_a_host_may_come_late_and_its_end_is_noticed(hosts: list[str], photos: Path, tmp_path: Path) -> None:
    words = ["train", "dcgan", "--data", photos, "--image-size", 28, "--batch", 8, "--metrics", "none"]
    words += ["--generator-arg", "width=4", "--steps", 100_000, "--log-every", 1, "--out", tmp_path / "runs"]
    logs = [tmp_path / "log-0", tmp_path / "log-1"]
    running = [start(hosts, 0, logs[0], *words)]
    time.sleep(1)
    running.append(start(hosts, 1, logs[1], *words))
    while not list(tmp_path.glob("runs/*/stats.jsonl")):
        assert all(process.poll() is None for process in running), [log.read_text() for log in logs]
        time.sleep(0.05)
    kill_all(hosts[1])
    assert [process.wait(120) for process in running] == [1, -signal.SIGKILL]
    text = logs[0].read_text()
    assert "2 processes" in text and "process 0 of 2 lost the others" in text and "--resume" in text
    assert "runs" not in logs[1].read_text(), "only the main process writes"
