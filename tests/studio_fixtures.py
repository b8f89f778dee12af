"""Fixtures of the tests of the studio."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import gantl_zoo as gz
from gantl_zoo.studio.settings import Settings, settings_for

BASE = "http://127.0.0.1:7861"
OWN = {"Origin": BASE}
PAGES = ("/explore", "/train", "/compare", "/share", "/train/lists", "/login", "/health")


def lively(gan: gz.GAN) -> gz.GAN:
    """The GAN with larger weights: as it is built, all its images are nearly the same grey."""
    with torch.no_grad():
        for parameter in gan.generator.parameters():
            if parameter.ndim > 1:
                parameter.mul_(10)
    return gan


@pytest.fixture
def settings(gan: gz.GAN, tmp_path: Path) -> Settings:
    """A studio whose root has the model folder `small`."""
    lively(gan).save(tmp_path / "small")
    return settings_for(tmp_path)


@pytest.fixture
def visitor(settings: Settings) -> Any:
    """A visitor of that studio, in this process."""
    return client_of(settings)


def client_of(settings: Settings, address: str = BASE) -> Any:
    """A visitor of a studio, which follows no redirection."""
    from starlette.testclient import TestClient

    from gantl_zoo.studio.app import create_app

    return TestClient(create_app(settings), base_url=address, follow_redirects=False)


def png(value: int = 0, size: tuple[int, int] = (16, 16)) -> bytes:
    buffer = io.BytesIO()
    random = np.random.RandomState(value).randint(0, 255, (*size, 3), dtype=np.uint8)
    Image.fromarray(random).save(buffer, "PNG")
    return buffer.getvalue()


def drop(visitor: Any, files: dict[str, bytes], **data: str) -> Any:
    sent = [("images", (name, content, "image/png")) for name, content in files.items()]
    return visitor.post("/train/images", files=sent, data=data, headers=OWN)


def wait_for(check: Any, seconds: float = 60.0) -> Any:
    """The first true result of a check."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if result := check():
            return result
        time.sleep(0.1)
    raise AssertionError("it took too long")


@pytest.fixture
def secret(settings: Settings, tmp_path_factory: pytest.TempPathFactory, gan: gz.GAN) -> Path:
    """A folder outside of the root with images and a model, to which a link in the root leads."""
    folder = tmp_path_factory.mktemp("outside") / "secret"
    gan.save(folder)
    (folder / "secret.png").write_bytes(png())
    (settings.root / "link").symlink_to(folder)
    (folder / "inner").mkdir()
    return folder
