"""`gantl-zoo serve` under load: `python benchmarks/serving.py dcgan-faces [--clients 64] [--seconds 60]`.

The service is a process of its own on loopback. Every client asks again as soon as it has its answer, for
--images seeds of its own as JSON, and compares each image with `generate`. The table has the answers, the
errors and wrong images, the median and the 99th percentile of the time of an answer, and the images per
second beside those of `generate` at batch 16 in one process, measured before and after, without load.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import random
import signal
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import gantl_zoo as gz
from gantl_zoo.pixels import to_uint8_array
from gantl_zoo.serve.answers import png

CHUNK = 16


@dataclass
class Seen:
    """What the clients have seen."""

    times: list[float] = field(default_factory=list)
    images: int = 0
    wrong: int = 0
    errors: list[str] = field(default_factory=list)
    busy: int = 0  # answers with the status 429


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", help="a name, a folder, or an exported .onnx file")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--images", type=int, default=4, help="of one request")
    parser.add_argument("--seeds", type=int, default=512, help="different seeds, whose images are known")
    options = parser.parse_args()
    source: Any = loaded(options.model)
    images = to_uint8_array(np.asarray(source.generate(options.seeds)))
    known = [base64.b64encode(png(images[i : i + 1])).decode() for i in range(options.seeds)]
    before = plain_rate(source)
    seen, seconds = load(options, known)
    rate, plain = seen.images / seconds, statistics.mean((before, plain_rate(source)))
    p50, p99 = np.percentile(seen.times, (50, 99)) if seen.times else (0.0, 0.0)
    print("| answers | errors | wrong images | 429 | p50 | p99 | images/s | generate | ratio |")
    print("|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
    print(
        f"| {len(seen.times):,} | {len(seen.errors)} | {seen.wrong} | {seen.busy} | {1000 * p50:.0f} ms | "
        f"{1000 * p99:.0f} ms | {rate:,.0f} | {plain:,.0f} | {rate / plain:.2f} |"
    )
    for error in seen.errors[:5]:
        print(error, file=sys.stderr)


def loaded(name: str) -> Any:
    """The GAN of a name, or of an exported file."""
    return gz.runtime(name) if name.endswith(".onnx") else gz.load_model(name, discriminator=False)


def plain_rate(source: Any, least: float = 3.0) -> float:
    """Images per second of `generate` at batch 16."""
    source.generate(CHUNK)
    count, start = 0, time.perf_counter()
    while (seconds := time.perf_counter() - start) < least:
        source.generate(CHUNK)
        count += CHUNK
    return count / seconds


def load(options: argparse.Namespace, known: list[str]) -> tuple[Seen, float]:
    """Start the service, let all clients ask, and stop it. Returns what they saw, and the seconds."""
    command = [sys.executable, "-m", "gantl_zoo", "serve", options.model, "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline().strip().rpartition(":")[2])
        seen, lock, start = Seen(), threading.Lock(), time.perf_counter()
        end = start + options.seconds
        clients = [
            threading.Thread(target=client, args=(port, number, end, options.images, known, seen, lock))
            for number in range(options.clients)
        ]
        for one in clients:
            one.start()
        for one in clients:
            one.join()
        seconds = time.perf_counter() - start
        process.send_signal(signal.SIGTERM)
        if process.wait(30):
            seen.errors.append(f"the service ended with the code {process.returncode}")
        return seen, seconds
    finally:
        process.kill()


def client(
    port: int, number: int, end: float, count: int, known: list[str], seen: Seen, lock: threading.Lock
) -> None:
    """Ask until the end, over one connection."""
    chance, connection = random.Random(number), http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    while time.perf_counter() < end:
        seeds = chance.sample(range(len(known)), count)
        start = time.perf_counter()
        try:
            connection.request("GET", f"/generate?format=json&seeds={','.join(map(str, seeds))}")
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            with lock:
                seen.errors.append(repr(error))
            connection.close()
            continue
        record(answer, content, seeds, known, seen, lock, time.perf_counter() - start)
    connection.close()


def record(
    answer: http.client.HTTPResponse,
    content: bytes,
    seeds: list[int],
    known: list[str],
    seen: Seen,
    lock: threading.Lock,
    seconds: float,
) -> None:
    """Compare the images of an answer with the known ones, and write down what was seen."""
    if answer.status == 429:
        with lock:
            seen.busy += 1
        time.sleep(float(answer.headers["Retry-After"]))
        return
    if answer.status != 200:
        with lock:
            seen.errors.append(f"{answer.status} {content[:200]!r}")
        return
    rows = json.loads(content)["images"]
    right = [row["seed"] == seed and row["png"] == known[seed] for row, seed in zip(rows, seeds, strict=True)]
    with lock:
        seen.times.append(seconds)
        seen.images += len(rows)
        seen.wrong += right.count(False)


if __name__ == "__main__":
    main()
