"""Damaged image files: remove their metadata, or recognise what kind of file they are."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from gantl_zoo.storage import untrusted

PNG = b"\x89PNG\r\n\x1a\n"
KEPT_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"eXIf", b"IEND")
KEPT_OF_WEBP = (b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF")
EXTENDED = 0b10010  # VP8X flags for alpha and animation; the other flags declare metadata
HEIF = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
# First bytes of other formats that are often saved with the suffix of an image
MARKS = {
    b"PK\x03\x04": "it is a zip: unpack it first",
    b"\x1f\x8b": "it is gzip: unpack it first",
    b"%PDF": "it is a PDF: export its pages as .png",
    b"<svg": "it is an SVG: export it as .png",
    b"\xff\x0a": "it is JPEG XL, which can't be read: convert it to .png or .jpg",
    b"\0\0\0\x0cJXL ": "it is JPEG XL, which can't be read: convert it to .png or .jpg",
    b"\x93NUMPY": "it is a NumPy array: save it as .png",
}


def kind_of(content: bytes) -> str:
    """What kind of file an unreadable image is, and what to do, as text; "" if unknown."""
    if not content:
        return "it is empty: download it again"
    if not content.strip(b"\0"):
        return "it contains zero bytes only: download it again"
    if content[4:8] == b"ftyp":
        if content[8:12] in HEIF:
            return "it is HEIC, which can't be read: convert it to .png or .jpg"
        if content[8:12] in (b"avif", b"avis"):
            return "it is AVIF, which this Pillow can't read: pip install -U pillow, or convert it"
        return "it is a video or an image in a container that can't be read: convert it to .png or .jpg"
    start = content.removeprefix(b"\xef\xbb\xbf").lstrip()[:64]
    text = next((text for mark, text in MARKS.items() if start.startswith(mark)), "")
    known = text or untrusted.sniff(start)
    return "" if "safetensors" in known else known


def without_metadata(content: bytes) -> bytes | None:
    """The file without its metadata; None for other formats, and for files that end within a part."""
    try:
        if content.startswith(PNG):
            return PNG + b"".join(_png(content))
        if content.startswith(b"\xff\xd8\xff"):
            return b"\xff\xd8" + b"".join(_jpeg(content))
        if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
            parts = b"WEBP" + b"".join(_webp(content))
            return b"RIFF" + len(parts).to_bytes(4, "little") + parts
        if content.startswith((b"GIF87a", b"GIF89a")):
            return b"".join(_gif(content))
    except IndexError:  # the file ends within a part
        return None
    return None


def _png(content: bytes) -> Iterator[bytes]:
    """Yield the chunks that the pixels need, and the EXIF chunk if its checksum is right."""
    at = len(PNG)
    while at + 8 <= len(content):
        kind, length = content[at + 4 : at + 8], int.from_bytes(content[at : at + 4], "big")
        chunk = content[at : at + 12 + length]
        whole = zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big")
        if kind in KEPT_CHUNKS and (whole or kind[:1].isupper()):
            yield chunk
        at += 12 + length


def jpeg_segments(content: bytes) -> Iterator[tuple[int, int]]:
    """Yield where each segment of a JPEG file before its pixels begins and ends. Raises `IndexError`."""
    at = 2
    while content[at] == 0xFF and content[at + 1] != 0xDA:  # start of scan
        if content[at + 1] == 0xFF:  # fill bytes
            at += 1
            continue
        end = at + 2 + int.from_bytes(content[at + 2 : at + 4], "big")
        yield at, end
        at = end


def _jpeg(content: bytes) -> Iterator[bytes]:
    """Yield all segments except comments and application data; Adobe's stays, as it describes the colours."""
    end = 2
    for at, end in jpeg_segments(content):
        adobe = content[at + 1] == 0xEE and content[at + 4 : at + 9] == b"Adobe" and end - at >= 16
        if adobe or not (0xE0 <= content[at + 1] <= 0xEF or content[at + 1] == 0xFE):
            yield content[at:end]
    yield content[end:]


def _webp(content: bytes) -> Iterator[bytes]:
    at = 12
    while at + 8 <= len(content):
        end = at + 8 + int.from_bytes(content[at + 4 : at + 8], "little")
        end += end % 2
        if content[at : at + 4] == b"VP8X":
            yield content[at : at + 8] + bytes([content[at + 8] & EXTENDED]) + content[at + 9 : end]
        elif content[at : at + 4] in KEPT_OF_WEBP:
            yield content[at:end]
        at = end


def _gif(content: bytes) -> Iterator[bytes]:
    """Yield all blocks, but of the extensions before the first image only the one with its transparency."""
    at = 13 + _colours(content[10])
    yield content[:at]
    while content[at] == 0x21:  # an extension
        end = _after_blocks(content, at + 2)
        if content[at + 1] == 0xF9:
            yield content[at:end]
        at = end
    yield content[at:]


def _colours(flags: int) -> int:
    """The size in bytes of the colour table that a GIF's flags declare."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _after_blocks(content: bytes, at: int) -> int:
    while content[at]:
        at += 1 + content[at]
    return at + 1
