"""Open pages in Debian's Chromium, without a window."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
         "--disable-background-networking", "--disable-component-update")  # fmt: skip


@dataclass
class Page:
    """A page of the browser, what it wrote to its console, and the addresses that it requested."""

    page: Any
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@contextmanager
def browser() -> Iterator[Any]:
    """The browser; the test is skipped without one."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("needs Debian's package chromium")
    sync = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    with sync.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        try:
            yield chromium
        finally:
            chromium.close()


def opened(chromium: Any, address: str | Path, width: int = 1280, scheme: str = "light") -> Page:
    """The page at an address or in a file, in a window of that width."""
    context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    shown = Page(context.new_page())
    shown.page.on("console", lambda message: shown.errors.append(message.text))
    shown.page.on("pageerror", lambda error: shown.errors.append(str(error)))
    shown.page.on("request", lambda request: shown.requests.append(request.url))
    shown.page.goto(address.as_uri() if isinstance(address, Path) else address)
    return shown
