"""Files become the pixels that the table in `decode` says; damage beside the pixels costs no picture."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

import gantl_zoo as gz
from gantl_zoo import data
from gantl_zoo.data.damage import kind_of
from gantl_zoo.data.decode import decode

RAMP = np.arange(64, dtype=np.uint16).reshape(8, 8)


def file(picture: Image.Image, kind: str = "PNG", **settings: Any) -> bytes:
    content = io.BytesIO()
    picture.save(content, kind, **settings)
    return content.getvalue()


def chunk(kind: bytes, content: bytes, wrong: int = 0) -> bytes:
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content) ^ wrong)
    )


def png(values: np.ndarray[Any, Any], bits: int, colours: int, *between: bytes, after: bytes = b"") -> bytes:
    """A PNG of (H, W, C), which Pillow can't write in all types."""
    height, width = values.shape[:2]
    rows = values.astype(">u2" if bits == 16 else np.uint8).reshape(height, -1)
    pixels = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colours, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (header, *between, chunk(b"IDAT", pixels), after, chunk(b"IEND", b""))
    )


def palette(*colours: tuple[int, int, int]) -> Image.Image:
    picture = Image.new("P", (8, 8))
    picture.putpalette([value for colour in colours for value in colour])
    for i in range(8):
        picture.putpixel((i, 7), i % len(colours))
    return picture


def bmp_with_alpha(alpha: int) -> bytes:
    """A BMP of version 4 with a mask for alpha."""
    header = struct.pack("<IiiHHIIiiII", 108, 4, 4, 1, 32, 3, 64, 0, 0, 0, 0)
    header += struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + b"BGRs" + bytes(48)
    start = struct.pack("<2sIHHI", b"BM", 14 + 108 + 64, 0, 0, 14 + 108)
    return start + header + bytes((10, 20, 200, alpha)) * 16


def tga_with_alpha(alpha: int) -> bytes:
    return file(Image.new("RGBA", (4, 4), (200, 20, 10, alpha)), "TGA")


def pgm(top: int) -> bytes:
    return b"P5 8 8 %d\n" % top + (RAMP * (top // 63)).astype(">u2").tobytes()


GREY16 = RAMP * 1000
LA16 = np.stack([GREY16, np.full_like(GREY16, 65535)], -1)
HALF_CLEAR = np.stack([GREY16, np.where(RAMP < 32, 0, 65535)], -1)
# what is in the file; the channels, the first and the last pixel
TABLE: dict[str, tuple[bytes, list[int], list[int]]] = {
    "1 bit": (file(Image.new("1", (8, 8), 1)), [255], [255]),
    "grey": (file(Image.new("L", (8, 8), 9)), [9], [9]),
    "grey with alpha": (file(Image.new("LA", (8, 8), (9, 0))), [255], [255]),
    "palette of greys": (file(palette((7, 7, 7), (90, 90, 90))), [7], [90]),
    "palette of greys, GIF": (file(palette((7, 7, 7), (90, 90, 90)), "GIF"), [7], [90]),
    "palette of greys, BMP": (file(palette((7, 7, 7), (90, 90, 90)), "BMP"), [7], [90]),
    "palette of greys, clear": (file(palette((7, 7, 7), (90, 90, 90)), transparency=1), [7], [255]),
    "palette of colours": (file(palette((7, 7, 7), (90, 9, 90))), [7, 7, 7], [90, 9, 90]),
    "grey of 16 bits": (png(GREY16, 16, 0), [0], [246]),
    "grey of 16 bits, one clear": (png(GREY16, 16, 0, chunk(b"tRNS", b"\0\0")), [255], [246]),
    "grey of 16 bits, alpha": (png(LA16, 16, 4), [0], [246]),
    "grey of 16 bits, half clear": (png(HALF_CLEAR, 16, 4), [255], [246]),
    "colour of 16 bits": (png(np.stack([GREY16] * 3, -1), 16, 2), [0, 0, 0], [246, 246, 246]),
    "TIFF of 16 bits": (file(Image.fromarray(GREY16), "TIFF"), [0], [246]),
    "PGM of 16 bits": (pgm(65535), [0], [255]),
    "PGM of 10 bits": (pgm(1023), [0], [252]),
    "PGM of 8 bits": (b"P5 1 1 255\n\x07", [7], [7]),
    "BMP, no alpha in use": (bmp_with_alpha(0), [200, 20, 10], [200, 20, 10]),
    "BMP, opaque": (bmp_with_alpha(255), [200, 20, 10], [200, 20, 10]),
    "TGA, no alpha in use": (tga_with_alpha(0), [200, 20, 10], [200, 20, 10]),
    "PNG, empty": (file(Image.new("RGBA", (8, 8), (255, 0, 0, 0))), [255, 255, 255], [255, 255, 255]),
    "CMYK": (file(Image.new("CMYK", (8, 8), (0, 0, 0, 255)), "TIFF"), [0, 0, 0], [0, 0, 0]),
}


@pytest.mark.parametrize("name", TABLE)
def test_each_row_of_the_table(name: str) -> None:
    content, first, last = TABLE[name]
    pixels = decode(content, None).pixels
    assert pixels[:, 0, 0].tolist() == first and pixels[:, -1, -1].tolist() == last


@pytest.mark.parametrize("values", [RAMP.astype(np.float32), RAMP.astype(np.int32)])
def test_32_bits_are_refused(values: np.ndarray[Any, Any]) -> None:
    with pytest.raises(ValueError, match="32 bits per pixel"):
        decode(file(Image.fromarray(values), "TIFF"), None)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(("bits", "said"), [(10, "1%"), (12, "6%"), (14, "25%"), (16, None)])
def test_few_bits_stored_in_16_are_warned_of_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, bits: int,
    said: str | None, streamed: bool,
) -> None:  # fmt: skip
    for i in range(12):
        (tmp_path / f"{i}.png").write_bytes(png(RAMP * (1 << bits - 6), 16, 0))
    monkeypatch.setenv("GANTL_ZOO_MEMORY", "1" if streamed else "1000000")
    assert data.load(tmp_path).shape == (1, 8, 8)
    found = capsys.readouterr().err
    assert found.count("\n") == (said is not None)
    assert said is None or f"no image uses more than {said} of the 16-bit range" in found


def test_dark_images_of_8_bits_are_the_users(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(12):
        Image.new("L", (8, 8), i).save(tmp_path / f"{i}.png")
    data.load(tmp_path)
    assert not capsys.readouterr().err


SQUARE = np.arange(64, dtype=np.uint8).reshape(8, 8)
JPEG = file(Image.fromarray(SQUARE), "JPEG", quality=95)
WEBP = file(Image.fromarray(SQUARE).convert("RGB"), "WEBP", lossless=True)


def in_jpeg(marker: int, content: bytes) -> bytes:
    return JPEG[:2] + bytes((0xFF, marker)) + struct.pack(">H", len(content) + 2) + content + JPEG[2:]


def gif_with_comment(size: int) -> bytes:
    content = file(Image.fromarray(SQUARE), "GIF")
    at = 13 + (3 << (content[10] & 7) + 1)
    return content[:at] + b"\x21\xfe" + bytes((size,)) + b"x" * size + b"\0" + content[at:]


def webp_with_exif(exif: bytes) -> bytes:
    return file(Image.fromarray(SQUARE).convert("RGB"), "WEBP", lossless=True, exif=exif)


def tiff(exif: bytes) -> bytes:
    """A TIFF whose EXIF directory lies behind its end, or is nonsense."""
    content = file(Image.fromarray(SQUARE), "TIFF", tiffinfo={0x8769: 0x7FFFFFF0})
    return content + exif


BAD_EXIF = b"\x00\x08\x00\x02\x01\x12\x00\x03"
CUT_EXIF = b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01\x03\0\x01\0\0\0\x06\0"
DAMAGED: dict[str, bytes] = {
    "PNG, EXIF": png(SQUARE, 8, 0, chunk(b"eXIf", BAD_EXIF)),
    "PNG, EXIF behind the pixels": png(SQUARE, 8, 0, after=chunk(b"eXIf", BAD_EXIF)),
    "PNG, a large text": png(SQUARE, 8, 0, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2_000_000)))),
    "PNG, a large text behind the pixels": png(
        SQUARE, 8, 0, after=chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2_000_000)))
    ),
    "PNG, many texts": png(SQUARE, 8, 0, *[chunk(b"tEXt", b"a%d\0" % i + b"x" * 9_999) for i in range(70)]),
    "PNG, large international text": png(
        SQUARE, 8, 0, chunk(b"iTXt", b"a\0\1\0\0\0" + zlib.compress(bytes(2_000_000)))
    ),
    "PNG, a text's check sum": png(SQUARE, 8, 0, chunk(b"tEXt", b"a\0b", wrong=1)),
    "PNG, a short resolution": png(SQUARE, 8, 0, chunk(b"pHYs", b"\0")),
    "PNG, a short gamma": png(SQUARE, 8, 0, chunk(b"gAMA", b"\0")),
    "PNG, a colour profile": png(SQUARE, 8, 0, chunk(b"iCCP", b"a\0\0no zlib")),
    "PNG, an animation's header": png(SQUARE, 8, 0, chunk(b"acTL", b"\0\0\0")),
    "JPEG, EXIF": in_jpeg(0xE1, b"Exif\0\0" + BAD_EXIF),
    "JPEG, EXIF cut": in_jpeg(0xE1, CUT_EXIF),
    "JPEG, Photoshop": in_jpeg(0xED, b"Photoshop 3.0\x008BIM\x04\x04\x07\0"),
    "JPEG, a colour profile": in_jpeg(0xE2, b"ICC_PROFILE\0\x05"),
    "JPEG, several pictures": in_jpeg(0xE2, b"MPF\0II*\0\xff\xff\xff\x7f"),
    "JPEG, JFIF": in_jpeg(0xE0, b"JFIF\0\x01"),
    "GIF, a comment": gif_with_comment(255),
    "TIFF, EXIF": tiff(b""),
}  # fmt: skip


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("name", DAMAGED)
def test_damage_beside_the_pixels_costs_no_picture(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    strict: bool,
) -> None:
    monkeypatch.setattr(PngImagePlugin, "MAX_TEXT_MEMORY", 640_000)  # a hundredth, so that files are small
    for i in range(12):
        (tmp_path / f"{i}.{name[:3]}".lower().replace("jpe", "jpg")).write_bytes(DAMAGED[name])
    with warnings.catch_warnings():
        warnings.simplefilter("error" if strict else "always")
        images = data.load(tmp_path).images
    assert len(images) == 11 and np.abs(images[0, 0].numpy().astype(int) - SQUARE).max() <= 8
    assert capfd.readouterr().err == ""


def test_a_damaged_exif_block_of_webp_costs_no_picture() -> None:
    pixels = decode(webp_with_exif(b"Exif\0\0" + BAD_EXIF), None).pixels
    assert np.array_equal(pixels[0], SQUARE)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8, 99])
def test_an_orientation_is_followed(kind: str, orientation: int) -> None:
    picture = Image.fromarray(SQUARE.repeat(2, 0)).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = orientation
    settings: dict[str, Any] = {"JPEG": {"quality": 95}, "WEBP": {"lossless": True}}.get(kind, {})
    pixels = decode(file(picture, kind, exif=exif.tobytes(), **settings), None).pixels
    turns = {3: 2, 6: 3, 8: 1}.get(orientation, 0)
    expected = np.rot90(SQUARE.repeat(2, 0), turns)
    assert pixels.shape[1:] == expected.shape and np.abs(pixels[0].astype(int) - expected).max() <= 8


def test_a_good_orientation_beside_damage_is_followed() -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    content = png(
        SQUARE, 8, 0, chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")), chunk(b"pHYs", b"\0")
    )
    assert np.array_equal(decode(content, None).pixels[0], np.rot90(SQUARE, 2))


def test_damaged_pixels_are_not_made_up() -> None:
    whole = png(np.random.RandomState(0).randint(0, 255, (64, 64)), 8, 0)
    for content in (whole[: len(whole) // 2], JPEG[: len(JPEG) // 2], WEBP[:40]):
        with pytest.raises(Exception):  # noqa: B017  # whatever Pillow raises
            decode(content, None)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty"),
        (bytes(100), "it contains zero bytes only"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS pointer: .*git lfs pull"),
        (b"\n<!DOCTYPE html><html>", "HTML or XML page"),
        (b"\xef\xbb\xbf<html>", "HTML or XML page"),
        (b'{"error": "not found"}', "a server's error message"),
        (b"<svg xmlns=", "SVG"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC, which can't be read: convert"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIC, which can't be read: convert"),
        (b"\0\0\0\x18ftypisom\0\0\0\0", "a video"),
        (b"%PDF-1.7", "PDF"),
        (b"PK\x03\x04", "it is a zip: unpack it"),
        (b"\xff\x0a\0", "JPEG XL"),
        (b"nothing", "not a known image format"),
    ],
)
def test_what_is_not_an_image_is_called_by_its_name(tmp_path: Path, content: bytes, said: str) -> None:
    for i in range(12):
        (tmp_path / f"{i}.jpg").write_bytes(content)
    with pytest.raises(gz.DataError, match=rf"11 of 11 images can't be read: 1\.jpg \(.*{said}"):
        data.load(tmp_path)
    assert "safetensors" not in kind_of(content)


def test_pillows_log_stays_off_standard_error() -> None:
    code = "import gantl_zoo.data, logging; logging.getLogger('PIL.TiffImagePlugin').error('odd')"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stderr == ""


def test_no_image_is_decoded_only_to_learn_its_size(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gantl_zoo.data import files

    decoded: list[bytes] = []
    original: Callable[..., Any] = files.decode

    def counting(content: bytes, **settings: Any) -> Any:
        decoded.append(content)
        return original(content, **settings)

    monkeypatch.setattr(files, "decode", counting)
    assert len(data.load(photos)) == len(decoded) == 27
