"""simplejpeg decodes JPEG files to Pillow's pixels, and leaves to Pillow what it can't decode."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import PIL
import pytest
from packaging.version import Version
from PIL import Image, features

from gantl_zoo.data import turbo
from gantl_zoo.data.decode import Decoded, decode, decoder

simplejpeg = pytest.importorskip("simplejpeg")
if not features.check_feature("libjpeg_turbo"):
    pytest.skip("Pillow was built without libjpeg-turbo", allow_module_level=True)
SIZES = [(256, 256), (131, 97), (64, 300), (40, 40), (63, 65)]  # width and height


def jpeg(size: tuple[int, int], mode: str = "RGB", **settings: Any) -> bytes:
    random = np.random.default_rng(0)
    small = random.integers(0, 256, (9, 9, 3), dtype=np.uint8)
    picture = Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)
    noisy = np.asarray(picture) + random.normal(0, 12, (size[1], size[0], 3))
    content = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).convert(mode).save(content, "JPEG", **settings)
    return content.getvalue()


def pillows(monkeypatch: pytest.MonkeyPatch, content: bytes, side: int, fit: str = "crop") -> Decoded:
    with monkeypatch.context() as patch:
        patch.setattr(turbo, "library", lambda: None)
        return decode(content, side, fit, fast=True)


@pytest.mark.parametrize("settings", [
    {"subsampling": 0}, {"subsampling": 1}, {"subsampling": 2}, {"progressive": True}, {"quality": 30},
    {"mode": "L"}, {"restart_marker_blocks": 3}, {"comment": "a comment"},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_pixels_are_pillows(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], settings: dict[str, Any]
) -> None:
    content = jpeg(size, **settings)
    for side, fit in ((8, "crop"), (20, "pad"), (32, "crop")):
        assert turbo.decoded(content, side) is not None
        ours, theirs = decode(content, side, fit, fast=True), pillows(monkeypatch, content, side, fit)
        assert np.array_equal(ours.pixels, theirs.pixels) and ours[1:] == theirs[1:], side


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return jpeg((64, 40), exif=exif)


def behind(number: int, part: bytes, content: bytes) -> bytes:
    """The file with a segment APP`number` in front of its others."""
    segment = bytes([0xFF, 0xE0 + number]) + (len(part) + 2).to_bytes(2, "big") + part
    return content[:2] + segment + content[2:]


def turned_by_xmp() -> bytes:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="6"/></x:xmpmeta>'
    return behind(1, b"http://ns.adobe.com/xap/1.0/\0" + xmp, jpeg((64, 40)))


def huge(content: bytes) -> bytes:
    """The file with a header of 65,500 × 65,500 pixels."""
    start = content.index(b"\xff\xc0")
    return content[: start + 5] + b"\xff\xdc\xff\xdc" + content[start + 9 :]


RGB = {"keep_rgb": True} if Version(PIL.__version__) >= Version("10.2") else {"mode": "CMYK"}


@pytest.mark.parametrize("make", [
    turned, lambda: behind(13, b"a thumbnail \xff\xda", turned()), turned_by_xmp,
    lambda: jpeg((64, 64), "CMYK"), lambda: jpeg((64, 64))[:900], lambda: b"\xff\xd8\xff",
    lambda: b"", lambda: huge(jpeg((64, 64))), lambda: jpeg((64, 64), **RGB),
], ids=["turned", "thumbnail", "XMP", "CMYK", "cut", "header", "empty", "huge", "RGB"])  # fmt: skip
def test_what_pillow_has_to_decode(monkeypatch: pytest.MonkeyPatch, make: Callable[[], bytes]) -> None:
    content = make()
    assert turbo.decoded(content, 16) is None
    try:
        theirs = pillows(monkeypatch, content, 16)
    except Exception as error:
        with pytest.raises(type(error)) as raised:
            decode(content, 16, fast=True)
        assert str(raised.value) == str(error)
    else:
        ours = decode(content, 16, fast=True)
        assert np.array_equal(ours.pixels, theirs.pixels) and ours[1:] == theirs[1:]


def test_only_streams_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turbo, "decoded", lambda content, least: 1 / 0)
    assert decode(jpeg((64, 64)), 16).pixels.shape == (3, 16, 16)


def test_the_decoders_are_part_of_a_streams_treatment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert f", simplejpeg {simplejpeg.__version__}" in decoder()
    monkeypatch.setattr(turbo, "library", lambda: None)
    assert "simplejpeg" not in decoder()


def test_a_decoder_that_raises_anything_costs_no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    content = jpeg((64, 64))
    theirs = pillows(monkeypatch, content, 16)

    class Fails:
        def decode_jpeg_header(self, content: bytes) -> None:
            raise KeyError(6)  # simplejpeg 1.9 for a chroma sampling without a name

    monkeypatch.setattr(turbo, "library", Fails)
    assert np.array_equal(decode(content, 16, fast=True).pixels, theirs.pixels)
