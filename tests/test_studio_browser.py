"""The studio in a browser: explore, drop images, train, and find a run again after the server was killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from studio_fixtures import lively, png, wait_for

import gantl_zoo as gz
from gantl_zoo.studio.job import read_json

api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
pytest.importorskip("starlette", reason="the extra studio is not installed")
CHROMIUM = shutil.which("chromium")
if CHROMIUM is None:
    pytest.skip("Chromium is not installed", allow_module_level=True)

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run",
]  # fmt: skip
LONG = 240_000.0  # milliseconds; for a busy machine
DROP = """([place, files]) => {
  const data = new DataTransfer();
  for (const [name, bytes] of files) {
    data.items.add(new File([new Uint8Array(bytes)], name, { type: "image/png" }));
  }
  document.querySelector(place).dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true }));
}"""


class Server:
    """A studio in a process of its own, at one port for its whole life and the next one's."""

    def __init__(self, root: Path) -> None:
        self.root, self.port, self.process = root, 0, None
        self.start()

    def start(self) -> None:
        """Start the process, and wait until it answers."""
        words = [
            sys.executable,
            "-m",
            "gantl_zoo",
            "studio",
            "--root",
            str(self.root),
            "--port",
            str(self.port),
        ]
        settings: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
        self.process: Any = subprocess.Popen([*words, "--no-browser", "--model", "./small"], **settings)
        timer = threading.Timer(60, self.process.kill)
        timer.start()
        self.address = self.process.stdout.readline().strip().rstrip("/")
        timer.cancel()
        assert self.address.startswith("http://127.0.0.1:"), "it did not start"
        self.port = urlsplit(self.address).port or 0
        wait_for(lambda: answers(f"{self.address}/health"))

    def kill(self) -> None:
        """End it without warning."""
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def answers(address: str) -> bool:
    """Whether a server answers."""
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.fixture
def server(gan: gz.GAN, tmp_path: Path) -> Iterator[Server]:
    lively(gan).save(tmp_path / "small")
    studio = Server(tmp_path)
    yield studio
    studio.kill()
    for state in (tmp_path / "runs" / ".studio").glob("*/state.json"):
        (state.parent / "stop").touch()


class Visit:
    """A page, with all that went wrong in it."""

    def __init__(self, browser: Any, **settings: Any) -> None:
        self.context = browser.new_context(**settings)
        self.page = self.context.new_page()
        self.wrong: list[str] = []
        self.down = False  # whether the server is, so that requests may fail
        self.page.on("console", self.on_console)
        self.page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        self.context.route("**", self.on_request)

    def on_console(self, message: Any) -> None:
        if message.type in ("error", "warning") and not self.down:
            self.wrong.append(f"console: {message.text}")

    def on_request(self, route: Any) -> None:
        if urlsplit(route.request.url).hostname not in ("127.0.0.1", None):
            self.wrong.append(f"request: {route.request.url}")
            route.abort()
        else:
            route.continue_()


@pytest.fixture
def browser() -> Iterator[Any]:
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


def pixels(page: Any, canvas: str) -> str:
    """The content of a canvas."""
    return str(page.locator(canvas).evaluate("one => one.toDataURL()"))


def changed(page: Any, canvas: str, before: str) -> str:
    """The content of a canvas, when it differs from an earlier one."""
    for _ in range(300):
        if (now := pixels(page, canvas)) != before:
            return now
        page.wait_for_timeout(50)
    raise AssertionError(f"{canvas} does not change")


def explore(page: Any, address: str) -> None:
    """Choose, vary, mix and move pictures, with the mouse and with the keyboard."""
    page.goto(f"{address}/explore")
    page.locator("[data-move]").first.wait_for(timeout=LONG)
    assert page.locator("#wall button").count() == 24
    first = changed(page, "#chosen", "")
    page.locator("#wall button").nth(3).click()
    assert page.locator("#chosen-name").inner_text() == "Seed 3"
    third = changed(page, "#chosen", first)
    page.keyboard.press("ArrowRight")
    assert page.locator("#wall button[aria-pressed=true]").get_attribute("aria-label") == "Seed 4"
    page.click("#use-a")
    page.locator("#wall button").nth(9).click()
    page.click("#use-b")
    end = pixels(page, "#chosen")
    page.fill("#between", "50")
    assert page.locator("#chosen-name").inner_text() == "50 % from seed 4 to seed 9"
    middle = changed(page, "#chosen", end)
    page.locator("[data-move='0']").fill("3")
    moved = changed(page, "#chosen", middle)
    page.fill("#truncation", "0.5")
    changed(page, "#chosen", moved)
    drag(page)
    page.locator("#wall button").nth(3).click()
    page.click("#like")
    assert page.locator("#wall button").nth(5).get_attribute("aria-label") == "Seed 3, variation 5"
    with page.expect_download() as download:
        page.click("[data-save=zip]")
    assert download.value.suggested_filename == "pictures.zip"
    page.click("#back")
    assert page.locator("#wall button").nth(5).get_attribute("aria-label") == "Seed 5" and third


DRAG = """(slider) => {
  for (let i = -20; i <= 20; i++) {
    slider.value = i / 10;
    slider.dispatchEvent(new Event("input", { bubbles: true }));
  }
}"""


def drag(page: Any) -> None:
    """Move a slider faster than pictures come: two are computed, and the last one shown is the newest."""
    slider, asked = page.locator("[data-move='1']"), list[str]()
    start = pixels(page, "#chosen")
    slider.fill("2")
    end = changed(page, "#chosen", start)
    slider.fill("0")
    changed(page, "#chosen", end)
    page.on("request", lambda request: asked.append(request.url) if "-chosen" in request.url else None)
    slider.evaluate(DRAG)
    for _ in range(300):
        if len(asked) > 1 and pixels(page, "#chosen") == end:
            break
        page.wait_for_timeout(50)
    assert pixels(page, "#chosen") == end and len(asked) == 2 and "1%3A2" in asked[-1]
    slider.fill("0")
    changed(page, "#chosen", end)


def drop_and_start(page: Any, address: str, folder: Path) -> None:
    """Drop ten images and a broken one, choose a folder, look at the plan, and start a run of 20 steps."""
    page.goto(f"{address}/train")
    files = [(f"good {i}.png", list(png(i))) for i in range(10)]
    files.insert(4, ("broken.png", list(png(99)[:150])))
    page.evaluate(DROP, ["#drop", files])
    page.get_by_text("10 images received, 1 left out").wait_for(timeout=LONG)
    assert "broken.png" in page.locator("#received .left-out").inner_text()
    page.locator("#check").get_by_text("10 images").wait_for(timeout=LONG)
    assert page.input_value("#data") == "./studio-images/my-images"
    for kind in ("cats", "dogs"):
        place = folder / "my pets" / kind
        place.mkdir(parents=True)
        for i in range(5):
            (place / f"{i}.png").write_bytes(png(i + 50 * (kind == "dogs")))
    (folder / "my pets" / ".thumbnails").mkdir()
    (folder / "my pets" / ".thumbnails" / "0.png").write_bytes(png(98))
    page.set_input_files("#folder", folder / "my pets")
    page.locator("#check").get_by_text("10 images, 2 classes").wait_for(timeout=LONG)
    assert page.input_value("#data") == "./studio-images/my-pets"
    page.fill("#data", "./studio-images/my-images")
    page.fill("#steps", "20")
    page.locator("summary", has_text="More settings").click()
    page.fill("#batch", "4")
    page.click("#see")
    page.locator("#plan dt", has_text="Recipe").wait_for(timeout=LONG)
    assert "20 steps of 4 images" in page.locator("#plan").inner_text()
    page.get_by_role("button", name="Start", exact=True).click()
    page.wait_for_url("**/jobs/1")


def test_the_studio_in_a_browser(
    server: Server, browser: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    visit = Visit(browser)
    page = visit.page
    explore(page, server.address)
    drop_and_start(page, server.address, tmp_path_factory.mktemp("chosen"))
    state = server.root / "runs" / ".studio" / "00001" / "state.json"
    wait_for(lambda: "began" in read_json(state))
    visit.down = True
    server.kill()  # in the middle of the run
    wait_for(lambda: "code" in read_json(state), 300)  # it ends without the studio
    server.start()
    visit.down = False
    page.wait_for_url("**/runs/00000-*", timeout=LONG)  # the page that was open finds it by itself
    page.locator(".state", has_text="finished").first.wait_for(timeout=LONG)
    assert "20 of 20 steps" in page.inner_text("main")
    samples = page.locator("#samples")
    samples.wait_for()
    assert samples.evaluate("one => one.naturalWidth") > 0
    page.get_by_role("link", name="Compare", exact=True).last.click()
    page.locator(".samples canvas").nth(12).wait_for(timeout=LONG)
    assert page.locator(".samples").count() == 2
    page.goto(f"{server.address}/train")
    page.locator(".runs a").first.wait_for(timeout=LONG)
    assert visit.wrong == []


def test_pages_fit_a_phone_and_are_readable(server: Server, browser: Any) -> None:
    for scheme in ("light", "dark"):
        visit = Visit(browser, viewport={"width": 390, "height": 844}, color_scheme=scheme)
        for name in ("explore", "train", "compare?a=./small", "share?model=./small"):
            visit.page.goto(f"{server.address}/{name}")
            check_page(visit.page, name)
        assert visit.wrong == []
    os.kill(server.process.pid, signal.SIGINT)
    assert server.process.wait(20) in (0, 130, -2) and not answers(f"{server.address}/health")


def check_page(page: Any, name: str) -> None:
    """Check the width of a page, the contrast of its text, and that Tab leads to the link to the content."""
    for _ in range(600):
        if not page.locator("[aria-busy=true]").count():
            break
        page.wait_for_timeout(50)
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 390, f"{name} is {wide} pixels wide"
    style = "one => { const s = getComputedStyle(one); return [s.color, s.backgroundColor]; }"
    _, paper = page.locator(".panel").first.evaluate(style)
    for selector in ("body", ".quiet", "button:not(:disabled)"):
        ink, _ = page.locator(selector).first.evaluate(style)
        assert contrast(ink, paper) >= 4.5, f"{name}: {selector}"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"


def contrast(ink: str, paper: str) -> float:
    """The contrast of two colours, `rgb(1, 2, 3)`, by WCAG 2."""

    def light(colour: str) -> float:
        parts = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    bright, dark = sorted((light(ink), light(paper)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)
