"""`gantl-zoo serve` under load: `python benchmarks/serving.py dcgan-faces [--clients 64] [--seconds 60]`.

The service is a process of its own on loopback. Every client keeps one connection, and asks again as soon as
it has its answer, each time for --images seeds. An answer is right if it has exactly the bytes of the answer
that this script has computed with `generate`; the images in these are decoded and compared with the pixels of
`generate` first. The table has the median and the 99th percentile of the time of an answer, the images per
second beside those of `generate` at batch 16 in one process (measured before and after, without load), and
the milliseconds of one core that an image takes in `generate`, in the service and in the clients.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import random
import re
import selectors
import signal
import socket
import statistics
import subprocess
import sys
import time
import zipfile
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import psutil
from PIL import Image

import gantl_zoo as gz
from gantl_zoo.pixels import Array, to_uint8_array
from gantl_zoo.serve.answers import encode
from gantl_zoo.serve.query import parse
from gantl_zoo.viz.sheet import sheet

CHUNK = 16
REQUESTS = 256  # different ones


@dataclass
class Answers:
    """What the clients got."""

    times: list[float] = field(default_factory=list)
    wrong: int = 0
    busy: int = 0  # with the status 429
    errors: list[str] = field(default_factory=list)


class Client:
    """One connection, and the answer that it waits for."""

    def __init__(self, port: int, known: dict[bytes, bytes], number: int) -> None:
        self.known, self.chance = known, random.Random(number)
        self.requests = list(known)
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = memoryview(bytearray(8192 + max(map(len, known.values()))))

    def ask(self) -> None:
        """Send one of the requests."""
        self.request, self.filled, self.end = self.chance.choice(self.requests), 0, 0
        self.start = time.perf_counter()
        self.socket.sendall(self.request)

    def read(self, answers: Answers) -> bool:
        """Read what has come. Returns whether the answer is complete. Raises `OSError` if it ends early."""
        count = self.socket.recv_into(self.buffer[self.filled :])
        if not count:
            raise ConnectionError("the service closed a connection")
        self.filled += count
        if not self.end:
            head, gap, _ = bytes(self.buffer[: min(self.filled, 4096)]).partition(b"\r\n\r\n")
            if not gap:
                return False
            self.body = len(head) + len(gap)
            self.status = int(head.split(None, 2)[1])
            self.end = self.body + int(re.findall(rb"(?i)content-length: (\d+)", head)[0])
        if self.filled < self.end:
            return False
        self.count(answers)
        return True

    def count(self, answers: Answers) -> None:
        """Compare the answer, and count it."""
        content = self.buffer[self.body : self.end]
        if self.status == 429:
            answers.busy += 1
        elif self.status != 200:
            answers.errors.append(f"{self.status} {bytes(content[:200])!r}")
        else:
            answers.times.append(time.perf_counter() - self.start)
            answers.wrong += content != self.known[self.request]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", help="a name, a folder, or an exported .onnx file")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--images", type=int, default=4, help="of one request")
    parser.add_argument("--seeds", type=int, default=512, help="different seeds, whose images are known")
    parser.add_argument("--format", choices=["json", "png", "zip"], default="json")
    options = parser.parse_args()
    source: Any = loaded(options.model)
    known = known_answers(source, options)
    before = plain_rate(source)
    answers, seconds, used = load(options, known)
    after = plain_rate(source)
    plain, plain_used = (statistics.mean(pair) for pair in zip(before, after, strict=True))
    p50, p99 = np.percentile(answers.times, (50, 99)) if answers.times else (0.0, 0.0)
    images = len(answers.times) * options.images
    service, clients = (1000 * one / max(images, 1) for one in used)
    print("| answers | errors | wrong answers | 429 | p50 | p99 | images/s | `generate` | ratio | ", end="")
    print("ms of a core: `generate` | service | clients |\n|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
    print(
        f"| {len(answers.times):,} | {len(answers.errors)} | {answers.wrong} | {answers.busy} | "
        f"{1000 * p50:.0f} ms | {1000 * p99:.0f} ms | {images / seconds:,.0f} | {plain:,.0f} | "
        f"{images / seconds / plain:.2f} | {1000 * plain_used:.2f} | {service:.2f} | {clients:.2f} |"
    )
    for error in answers.errors[:5]:
        print(error, file=sys.stderr)


def loaded(name: str) -> Any:
    """The GAN of a name, or of an exported file."""
    return gz.runtime(name) if name.endswith(".onnx") else gz.load_model(name, discriminator=False)


def known_answers(source: Any, options: argparse.Namespace) -> dict[bytes, bytes]:
    """Requests, each with the answer that is right."""
    pixels = to_uint8_array(np.asarray(source.generate(options.seeds)))
    chance, answers = random.Random(0), {}
    for _ in range(REQUESTS):
        seeds = chance.sample(range(options.seeds), options.images)
        query = {"seeds": ",".join(map(str, seeds)), "format": options.format}
        content = encode(pixels[seeds], parse(list(query.items()), "", source, options.images), source.name)
        check(content, options.format, pixels[seeds])
        target = "&".join(f"{key}={value}" for key, value in query.items())
        answers[f"GET /generate?{target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()] = content
    return answers


def check(content: bytes, kind: str, images: Array) -> None:
    """Raise unless the pictures of an answer are these images (N, C, H, W), uint8."""
    if kind == "json":
        files = [base64.b64decode(row["png"]) for row in json.loads(content)["images"]]
    elif kind == "zip":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            files = [archive.read(name) for name in archive.namelist()]
    else:
        files = [content]
    parts = [images] if kind == "png" else [image[None] for image in images]
    for file, part in zip(files, parts, strict=True):
        with Image.open(io.BytesIO(file)) as picture:
            if not np.array_equal(np.asarray(picture), np.asarray(sheet(part, scale=1))):
                raise SystemExit("an answer does not have the pixels of generate")


def plain_rate(source: Any, least: float = 3.0) -> tuple[float, float]:
    """Images per second of `generate` at batch 16, and the seconds of a core that an image takes."""
    source.generate(CHUNK)
    count, start, used = 0, time.perf_counter(), time.process_time()
    while (seconds := time.perf_counter() - start) < least:
        source.generate(CHUNK)
        count += CHUNK
    return count / seconds, (time.process_time() - used) / count


def load(
    options: argparse.Namespace, known: dict[bytes, bytes]
) -> tuple[Answers, float, tuple[float, float]]:
    """Start the service, let all clients ask, and stop it.

    Returns what they got, the seconds, and the seconds of a core of the service and of the clients.
    """
    command = [sys.executable, "-m", "gantl_zoo", "serve", options.model, "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline().strip().rpartition(":")[2])
        seconds, used = time.perf_counter(), cores(process.pid)
        answers = ask_until(seconds + options.seconds, options.clients, port, known)
        seconds, after = time.perf_counter() - seconds, cores(process.pid)
        process.send_signal(signal.SIGTERM)
        if process.wait(30):
            answers.errors.append(f"the service ended with the code {process.returncode}")
        return answers, seconds, (after[0] - used[0], after[1] - used[1])
    finally:
        process.kill()


def cores(pid: int) -> tuple[float, float]:
    """The seconds of a core that the service and this process have used."""
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system, time.process_time()


def ask_until(end: float, count: int, port: int, known: dict[bytes, bytes]) -> Answers:
    """Let `count` clients ask until the end, and wait for their last answers."""
    answers, waiting = Answers(), selectors.DefaultSelector()
    for number in range(count):
        client = Client(port, known, number)
        waiting.register(client.socket, selectors.EVENT_READ, client)
        client.ask()
    while waiting.get_map() and time.perf_counter() < end + 60:
        for key, _ in waiting.select(1):
            client = key.data
            try:
                if client.read(answers):
                    if time.perf_counter() >= end:
                        raise EOFError
                    client.ask()
            except (OSError, EOFError) as error:
                if isinstance(error, OSError):
                    answers.errors.append(repr(error))
                waiting.unregister(client.socket)
                client.socket.close()
    answers.errors += ["no answer within 60 s"] * len(waiting.get_map())
    return answers


if __name__ == "__main__":
    main()
