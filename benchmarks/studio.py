"""How soon a picture follows a slider of the studio: `python benchmarks/studio.py [dcgan-mnist dcgan-faces]`.

The studio and a headless Chromium share this machine. *One move*: a key press moves the slider of the first
direction; the time is from the page's input event to the start of the frame that shows the chosen picture.
*Dragging*: the slider moves every 16 ms; the longest time without a new picture, and the time from the last
move to the last picture. Needs Playwright and Chromium.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np
from playwright.sync_api import sync_playwright

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
WATCH = """
const moves = [], shown = [], asked = [];
let open = 0;
addEventListener("input", (event) => moves.push(event.timeStamp), true);
const draw = CanvasRenderingContext2D.prototype.drawImage, send = window.fetch;
CanvasRenderingContext2D.prototype.drawImage = function (...all) {
  draw.apply(this, all);
  if (this.canvas.id === "chosen") requestAnimationFrame(() => shown.push(performance.now()));
};
window.fetch = async (address, ...all) => {
  if (String(address).includes("-chosen")) asked.push(String(address));
  open++;
  try {
    return await send(address, ...all);
  } finally {
    open--;
  }
};
const idle = async () => {
  for (let quiet = 0; quiet < 12; quiet = open ? 0 : quiet + 1) {
    await new Promise((done) => setTimeout(done, 25));
  }
};
const forget = () => [moves, shown, asked].forEach((one) => { one.length = 0; });
window.watched = { moves, shown, asked, idle, forget };
"""
PICTURE = """async () => {
  while (!watched.shown.length) await new Promise(requestAnimationFrame);
  return watched.shown[0] - watched.moves[0];
}"""
DRAG = """async (count) => {
  const slider = document.querySelector("[data-move='0']"), { moves, shown, asked, idle, forget } = watched;
  await idle();
  forget();
  for (let i = 0; i < count; i++) {
    slider.value = (i % 80) / 10 - 4;
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    await new Promise((done) => setTimeout(done, 16));
  }
  await idle();
  const last = moves.at(-1), during = [moves[0], ...shown.filter((time) => time < last), last];
  return {
    gap: Math.max(...during.slice(1).map((time, i) => time - during[i])),
    end: shown.at(-1) - last, requests: asked.length, pictures: shown.length,
    seconds: (last - moves[0]) / 1000,
  };
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("models", nargs="*", default=["dcgan-mnist", "dcgan-faces"])
    parser.add_argument("--moves", type=int, default=50)
    options = parser.parse_args()
    print(
        "| model | one move: p50 | p95 | dragging: longest gap | last picture | pictures | requests | moves |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as root, sync_playwright() as playwright:
        command = [sys.executable, "-m", "gantl_zoo", "studio", "--root", root, "--port", "0", "--no-browser"]
        studio = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            assert studio.stdout is not None
            address = studio.stdout.readline().strip()
            chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
            for model in options.models:
                page = opened(chromium, f"{address}explore?model={model}")
                times, drag = one_by_one(page, options.moves), page.evaluate(DRAG, options.moves)
                took = [*np.percentile(times, (50, 95)), drag["gap"], drag["end"]]
                cells = [f"`{model}`", *(f"{one:.0f} ms" for one in took), drag["pictures"], drag["requests"]]
                print("|", " | ".join(map(str, cells)), f"| {options.moves} in {drag['seconds']:.1f} s |")
                page.close()
            chromium.close()
        finally:
            studio.kill()


def opened(chromium: Any, address: str) -> Any:
    """The page Explore of a model, complete."""
    page = chromium.new_page()
    page.add_init_script(WATCH)
    page.goto(address)
    page.locator("[data-move]").first.wait_for(timeout=120_000)
    page.wait_for_timeout(1_000)
    return page


def one_by_one(page: Any, count: int) -> list[float]:
    """The milliseconds from each move of a slider to its picture."""
    page.locator("[data-move='0']").press("Home")
    times = []
    for _ in range(count):
        page.evaluate("watched.idle().then(watched.forget)")  # the other pictures of the last move are there
        page.keyboard.press("ArrowRight")
        times.append(page.evaluate(PICTURE))
    return times


if __name__ == "__main__":
    main()
