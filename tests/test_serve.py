"""`gantl-zoo serve`: real connections on loopback."""

from __future__ import annotations

import base64
import http.client
import io
import json
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from helpers import SMALL, run
from PIL import Image

import gantl_zoo as gz
from gantl_zoo.pixels import to_uint8
from gantl_zoo.serve import server
from gantl_zoo.serve.app import application

GONE_WITHIN = 10  # seconds


class Address:
    """Where a service listens, and requests to it."""

    def __init__(self, port: int) -> None:
        self.port = port

    def get(self, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def raw(self, content: bytes) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        connection.sendall(content)
        return connection

    def metric(self, name: str) -> float:
        text = self.get("/metrics")[2].decode()
        found = re.search(rf"^gantl_zoo_{name} (.*)$", text, re.M)
        assert found, text
        return float(found[1])

    def wait(self, name: str, value: float) -> None:
        """Wait until a metric has a value."""
        end = time.monotonic() + GONE_WITHIN
        while (found := self.metric(name)) != value:
            assert time.monotonic() < end, f"{name} is {found}, not {value}"
            time.sleep(0.02)


@contextmanager
def served(source: Any, **settings: Any) -> Iterator[Address]:
    """A service in a thread of this process."""
    ready = threading.Event()
    with server.listen("127.0.0.1", 0) as listening:
        one = server.server(application(source, **settings), ready.set)
        thread = threading.Thread(target=one.run, args=([listening],))
        thread.start()
        assert ready.wait(30)
        try:
            yield Address(listening.getsockname()[1])
        finally:
            one.should_exit = True
            thread.join(30)
            assert not thread.is_alive()


@pytest.fixture(scope="module")
def gan() -> gz.GAN:
    return gz.build_gan("dcgan", generator_config=SMALL | {"num_classes": 3}, name="three")


@pytest.fixture(scope="module")
def service(gan: gz.GAN) -> Iterator[Address]:
    with served(gan) as address:
        yield address


def pixels(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as picture:
        return np.array(picture)


def expected(gan: gz.GAN, seeds: list[int], label: int | None = None, psi: float = 1.0) -> np.ndarray:
    """The images (N, H, W), uint8, that `generate` gives."""
    return to_uint8(gan.generate(seeds=seeds, labels=label, truncation=psi))[:, 0].numpy()


def test_a_png_holds_the_images_row_by_row(service: Address, gan: gz.GAN) -> None:
    status, headers, content = service.get("/generate?seeds=0-3,9&class=2&truncation=0.5")
    assert status == 200 and headers["content-type"] == "image/png" and headers["vary"] == "Accept"
    picture, images = pixels(content), expected(gan, [0, 1, 2, 3, 9], 2, 0.5)
    assert picture.shape == (56, 84)
    assert (picture[:28] == np.hstack(images[:3])).all() and (
        picture[28:, :56] == np.hstack(images[3:])
    ).all()
    assert (pixels(service.get("/generate")[2]) == expected(gan, [0])[0]).all()
    assert (pixels(service.get("/generate?seeds=0&class=")[2]) == expected(gan, [0])[0]).all()


def test_zip_and_json_hold_each_image(service: Address, gan: gz.GAN) -> None:
    images = expected(gan, [4, 7])
    _, headers, content = service.get("/generate?seeds=4,7&format=zip")
    assert headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist() == ["seed0004.png", "seed0007.png"]
        assert (pixels(archive.read("seed0007.png")) == images[1]).all()
    answer = json.loads(service.get("/generate?seeds=4,7&format=json")[2])
    assert answer["model"] == "three" and answer["truncation"] == 1
    for row, seed, image in zip(answer["images"], (4, 7), images, strict=True):
        assert row["seed"] == seed and 0 <= row["class"] < 3
        assert (pixels(base64.b64decode(row["png"])) == image).all()


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "image/png"),
        ("application/json", "application/json"),
        ("text/html, application/zip;q=0.9", "application/zip"),
        ("image/png;q=0, application/*", "application/zip"),
        ("application/json;q=0.1, image/*;q=0.5", "image/png"),
    ],
)
def test_the_accept_header_chooses_the_format(service: Address, accept: str, kind: str) -> None:
    status, headers, _ = service.get("/generate", Accept=accept)
    assert status == 200 and headers["content-type"] == kind


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/generate?sed=1", 400, "unknown parameter 'sed'; did you mean seed"),
        ("/generate?seeds=1&seeds=2", 400, "seeds is given twice"),
        ("/generate?seeds=", 400, "is not a valid seed"),
        ("/generate?seeds=-1", 400, "is not a valid seed"),
        ("/generate?seeds=9-1", 400, "runs backwards"),
        ("/generate?seeds=0-256", 400, "at most 256"),
        ("/generate?seeds=0-99999999999999999999", 400, "at most 256"),
        ("/generate?seeds=4294967296", 400, "below 2³²"),
        (f"/generate?seeds={'1,' * 3000}1", 400, "seeds has more than 4,096 characters"),
        ("/generate?class=3", 400, "there is no class 3"),
        ("/generate?class=-1", 400, "class must be a whole number"),
        (f"/generate?class={quote('٣')}", 400, "class must be a whole number"),
        ("/generate?truncation=nan", 400, "truncation must be a finite number"),
        ("/generate?truncation=x", 400, "truncation must be a number"),
        ("/generate?truncation=0", 400, "truncation must be a finite number > 0"),
        ("/generate?format=gif", 400, "unknown format 'gif'"),
        ("/nothing", 404, "unknown path"),
        (f"/generate?{'x' * 70_000}", 400, ""),
    ],
)
def test_wrong_requests_are_explained(service: Address, path: str, status: int, text: str) -> None:
    found, headers, content = service.get(path)
    assert found == status
    if text:
        assert headers["content-type"] == "application/json" and text in json.loads(content)["error"]


def test_other_methods_and_formats_are_refused(service: Address) -> None:
    status, headers, _ = service.get("/generate", "POST")
    assert status == 405 and "GET" in headers["allow"]
    assert service.get("/generate", Accept="text/html")[0] == 406
    assert service.get("/generate", "HEAD")[::2] == (200, b"")


def test_concurrent_clients_get_their_images(service: Address, gan: gz.GAN) -> None:
    chance = random.Random(0)
    asked = [
        (
            chance.sample(range(200), chance.randint(1, 9)),
            chance.choice([None, 0, 2]),
            chance.choice([1, 0.5]),
        )
        for _ in range(60)
    ]

    def ask(request: tuple[list[int], int | None, float]) -> list[np.ndarray]:
        seeds, label, psi = request
        path = f"/generate?seeds={','.join(map(str, seeds))}&truncation={psi}&format=json"
        status, _, content = service.get(path + ("" if label is None else f"&class={label}"))
        assert status == 200
        return [pixels(base64.b64decode(row["png"])) for row in json.loads(content)["images"]]

    with ThreadPoolExecutor(16) as clients:
        for request, images in zip(asked, clients.map(ask, asked), strict=True):
            assert (np.stack(images) == expected(gan, *request)).all(), request
    assert service.metric("images_waiting") == 0


class Slow:
    """A GAN whose images wait until `go` is set."""

    def __init__(self, gan: gz.GAN) -> None:
        self.gan, self.go, self.batches = gan, threading.Event(), list[list[int]]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.gan, name)

    def generate(self, **settings: Any) -> Any:
        self.batches.append(settings["seeds"])
        assert self.go.wait(60)
        if 666 in settings["seeds"]:
            raise RuntimeError("secret")
        return self.gan.generate(**settings)


@pytest.fixture
def slow(gan: gz.GAN) -> Iterator[tuple[Slow, Address]]:
    source = Slow(gan)
    with served(source, most=20, limit=20) as address:
        try:
            yield source, address
        finally:
            source.go.set()


def later(call: Callable[[], Any]) -> Any:
    """A call in a thread of its own; `result()` waits for it."""
    pool = ThreadPoolExecutor(1)
    future = pool.submit(call)
    pool.shutdown(wait=False)
    return future


def test_too_many_waiting_images_are_refused(slow: tuple[Slow, Address]) -> None:
    source, service = slow
    first = later(lambda: service.get("/generate?seeds=0-15"))
    while not source.batches:
        time.sleep(0.01)
    second = later(lambda: service.get("/generate?seeds=16-35"))  # the queue is full
    service.wait("images_waiting", 20)
    status, headers, content = service.get("/generate?seeds=36")
    assert status == 429 and 1 <= int(headers["retry-after"]) <= 60
    assert "too many images are waiting" in json.loads(content)["error"]
    source.go.set()
    assert first.result()[0] == second.result()[0] == 200
    assert service.get("/generate?seeds=36")[0] == 200
    assert 'requests_total{status="429"} 1' in service.get("/metrics")[2].decode()


def test_images_of_several_requests_share_a_batch(slow: tuple[Slow, Address]) -> None:
    source, service = slow
    waiting = [later(lambda: service.get("/generate?seeds=99"))]
    while not source.batches:
        time.sleep(0.01)
    for i in range(5):
        waiting.append(later(lambda i=i: service.get(f"/generate?seeds={i}")))
        service.wait("images_waiting", i + 1)
    waiting.append(later(lambda: service.get("/generate?seeds=50&truncation=0.5")))
    service.wait("images_waiting", 6)
    source.go.set()
    assert all(one.result()[0] == 200 for one in waiting)
    assert source.batches == [[99], [0, 1, 2, 3, 4], [50]]


def test_two_workers_compute_full_batches_at_once(gan: gz.GAN) -> None:
    """A second batch starts beside a running one only if it is full, and both share the processor."""
    source, shares = Slow(gan), list[int]()
    with served(source, workers=2, divide=shares.append) as service:
        waiting = [later(lambda: service.get("/generate?seeds=0-3"))]
        while not source.batches:
            time.sleep(0.01)
        waiting.append(later(lambda: service.get("/generate?seeds=4-18")))
        service.wait("images_waiting", 15)
        assert len(source.batches) == 1
        waiting.append(later(lambda: service.get("/generate?seeds=19-22")))
        service.wait("images_waiting", 3)
        deadline = time.monotonic() + 30
        while len(source.batches) < 2:
            assert time.monotonic() < deadline, "no second batch"
            time.sleep(0.01)
        source.go.set()
        assert all(one.result()[0] == 200 for one in waiting)
        assert source.batches == [[0, 1, 2, 3], list(range(4, 20)), [20, 21, 22]]
        assert shares == [1, 2, 1]
        picture = pixels(waiting[2].result()[2])
        assert (picture[28:, 28:] == expected(gan, [22])[0]).all()


def test_a_client_that_hangs_up_frees_its_place(slow: tuple[Slow, Address]) -> None:
    source, service = slow
    first = later(lambda: service.get("/generate?seeds=0"))
    while not source.batches:
        time.sleep(0.01)
    connection = service.raw(b"GET /generate?seeds=1-15 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    service.wait("images_waiting", 15)
    connection.close()
    service.wait("clients_gone_total", 1)
    source.go.set()
    assert first.result()[0] == 200
    assert service.get("/generate?seeds=40")[0] == 200
    assert source.batches == [[0], [40]]


def test_a_model_that_fails_is_an_error_of_the_server(slow: tuple[Slow, Address]) -> None:
    source, service = slow
    source.go.set()
    status, _, content = service.get("/generate?seeds=666")
    assert status == 500 and "secret" not in content.decode() and "RuntimeError" in content.decode()
    assert service.get("/generate?seeds=1")[0] == 200


def test_slow_readers_do_not_hold_up_others(service: Address, gan: gz.GAN) -> None:
    slow = [
        service.raw(b"GET /generate?seeds=0-99&format=json HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for _ in range(4)
    ]
    assert (pixels(service.get("/generate?seeds=5")[2]) == expected(gan, [5])[0]).all()
    for connection in slow:  # read a little, then leave
        assert connection.recv(10)
        connection.close()
    assert service.get("/health")[0] == 200


def test_malformed_requests_do_no_harm(service: Address, gan: gz.GAN) -> None:
    chance = random.Random(1)
    good = b"GET /generate?seeds=0-3&class=1 HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n"
    contents = [
        b"",
        b"\0" * 100,
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET /" + b"a" * 200_000,
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
        b"GET /generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"POST /generate HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"GET /generate?seeds=%00%ff HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ]
    for _ in range(60):
        damaged = bytearray(good)
        for _ in range(chance.randint(1, 6)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        contents.append(bytes(damaged[: chance.randint(1, len(damaged))]) + b"\r\n\r\n")
    for content in contents:
        try:
            with service.raw(content) as connection:
                connection.shutdown(socket.SHUT_WR)
                connection.settimeout(30)
                answer = connection.recv(1 << 16)
        except TimeoutError:
            raise
        except OSError:  # the server has closed it early; `shutdown` says that in a way of its own
            continue
        assert not answer.startswith(b"HTTP/1.1 5"), (content[:200], answer[:200])
    assert (pixels(service.get("/generate?seeds=5")[2]) == expected(gan, [5])[0]).all()


def test_a_client_that_sends_nothing_is_closed(gan: gz.GAN, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEADERS_WITHIN", 0.2)
    with served(gan) as address, address.raw(b"GET / HT") as connection:
        assert connection.recv(10) == b""


def test_other_host_names_are_refused(gan: gz.GAN) -> None:
    with served(gan, hosts=["127.0.0.1", "localhost"]) as address:
        assert address.get("/health", Host="evil.example")[0] == 400
        assert address.get("/health")[0] == address.get("/health", Host="localhost:1")[0] == 200


def test_the_pages_describe_the_service(service: Address) -> None:
    facts = json.loads(service.get("/health")[2])
    assert facts["status"] == "ok" and facts["model"] == "three" and facts["classes"] == ["0", "1", "2"]
    api = json.loads(service.get("/openapi.json")[2])
    names = [one["name"] for one in api["paths"]["/generate"]["get"]["parameters"]]
    assert names == ["seeds", "class", "truncation", "format"]
    assert set(api["paths"]) == {"/generate", "/health", "/metrics"}
    status, headers, content = service.get("/")
    page = content.decode()
    assert status == 200 and "default-src 'none'" in headers["content-security-policy"]
    assert "://" not in page and "<script" not in page
    for target in re.findall(r'(?:href|src|action)="([^"]+)"', page):
        assert service.get(target.replace("0-15", "0"))[0] == 200
    assert all(f"<code>{name}</code>" in page for name in names)


def test_metrics_are_those_of_prometheus(service: Address) -> None:
    service.get("/generate?seeds=0-19")
    lines = service.get("/metrics")[2].decode().splitlines()
    for line in lines:
        assert re.fullmatch(r'# TYPE \w+ (counter|gauge|histogram)|\w+(\{\w+="[^"]+"\})? [\d.e+-]+', line)
    buckets = [int(line.split()[-1]) for line in lines if "_bucket{" in line]
    assert buckets == sorted(buckets) and buckets[-1] == service.metric("generate_seconds_count") > 0
    assert service.metric("images_total") >= 20 and service.metric("batches_total") >= 2


def test_the_verb_stops_gracefully(tmp_path: Path, gan: gz.GAN) -> None:
    folder = gan.save(tmp_path / "model")
    command = [sys.executable, "-m", "gantl_zoo", "serve", str(folder), "--port", "0"]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert started.stdout is not None
        address = started.stdout.readline().strip()
        service = Address(int(address.rpartition(":")[2]))
        assert address.startswith("http://127.0.0.1:")
        request = later(lambda: service.get("/generate?seeds=0-99&format=zip"))
        service.wait("batches_total", service.metric("batches_total"))
        while service.metric("batches_total") == 0:
            time.sleep(0.01)
        started.send_signal(signal.SIGTERM)
        assert request.result()[0] == 200  # it was running
        out, err = started.communicate(timeout=30)
        assert started.returncode == 0 and not out and err == "stopped\n"
    finally:
        started.kill()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["nothing-here"], "nothing-here"),
        (["cnn-mnist"], "not a GAN"),
        (["dcgan-mnist", "--port", "99999"], "choose another --port"),
        (["dcgan-mnist", "--most", "0"], "--most must be at least 1"),
        (["dcgan-mnist", "--queue", "8"], "--queue at least --most"),
    ],
)
def test_what_cant_be_served_is_explained(
    words: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "serve", *words)
    assert code == 2 and not out and text in err and err.count("\n") == 1


def test_a_port_that_is_taken_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, out, err = run(capsys, "serve", "dcgan-mnist", "--port", taken.getsockname()[1])
    assert code == 2 and not out and "can't listen on 127.0.0.1" in err
