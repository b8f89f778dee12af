"""List the files of a folder or a zip, and decide which are images."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from gantl_zoo.console import warn
from gantl_zoo.data.archive import is_junk
from gantl_zoo.data.places import archive_of
from gantl_zoo.errors import DataError

# Formats in Pillow that are not still pictures: documents, video, scientific data, stubs without a decoder
NOT_PICTURES = {"BUFR", "EPS", "FLI", "GRIB", "HDF5", "IPTC", "MPEG", "PDF", "WMF"}
JPEG_TOO = {".jif", ".pjp", ".pjpeg"}  # JPEG files that Pillow opens, by suffixes that it does not register
# Pictures for which Pillow has no decoder, or needs a plug-in: a warning names them if they are left out
PICTURES = {
    ".3fr", ".ai", ".arw", ".avif", ".avifs", ".cdr", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".emf",
    ".eps", ".erf", ".exr", ".fff", ".gpr", ".hdp", ".hdr", ".heic", ".heics", ".heif", ".hif", ".iiq",
    ".jp2", ".jxl", ".jxr", ".kdc", ".kra", ".mef", ".mos", ".mrw", ".nef", ".nrw", ".ora", ".orf", ".pef",
    ".ps", ".psb", ".ptx", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".svg", ".svgz", ".wdp",
    ".webp", ".wmf", ".x3f", ".xcf",
}  # fmt: skip
TABLE = "dataset.json"


@cache
def suffixes() -> frozenset[str]:
    """The suffixes of image files that Pillow can open, such as ".png"."""
    from PIL import Image

    registered = Image.registered_extensions()  # loads the plug-ins, which fill Image.OPEN
    kinds = {*Image.OPEN, "MPO"} - NOT_PICTURES  # MPO is opened as JPEG first
    readable = {suffix for suffix, kind in registered.items() if kind in kinds}
    return frozenset(readable | JPEG_TOO)


@dataclass(frozen=True)
class Listing:
    """The files of a folder or a zip.

    A file's name is what the source calls it; its path is relative to the source, with "/" on every system.
    `images` is `{name: path}` sorted by path, `tables` is `{path: name}` of every `dataset.json`.
    `unreadable` counts pictures that can't be read, by suffix, `others` all other files. `junk` counts hidden
    files and those of the operating system.
    """

    images: dict[str, str]
    tables: dict[str, str]
    unreadable: Counter[str]
    others: Counter[str]
    junk: int = 0

    @property
    def summary(self) -> str:
        """How many files that may be pictures can't be read, as text; "" if there are none."""
        kinds = ", ".join(sorted(self.unreadable))
        return f"{self.unreadable.total()} files of kinds that can't be read ({kinds})" if kinds else ""


def listing(source: Path, *, junk: bool = False) -> Listing:
    """List all files by kind. `junk` also counts the files in folders of the operating system.

    Raises `DataError` if the source is neither a folder nor a zip.
    """
    every = archive_of(source).paths(junk)
    files = {name: path for name, path in every.items() if not _junk(path)}
    images = {name: path for name, path in files.items() if _suffix(path) in suffixes()}
    tables = {path: name for name, path in files.items() if path.rpartition("/")[2].lower() == TABLE}
    unreadable: Counter[str] = Counter()
    others: Counter[str] = Counter()
    for name in files.keys() - images.keys() - set(tables.values()):
        suffix = _suffix(files[name])
        lost = suffix in _unreadable() or suffix in ("", ".zip")
        (unreadable if lost else others)[suffix or "without a suffix"] += 1
    by_path = dict(sorted(images.items(), key=lambda item: item[1]))
    return Listing(by_path, tables, unreadable, others, len(every) - len(files))


def image_files(source: Path, *, warned: bool = True) -> tuple[dict[str, str], dict[str, str]]:
    """The `images` and `tables` of a source's `listing`.

    If `warned`, one warning counts the pictures that can't be read. Raises `DataError` if there are no
    images.
    """
    listed = listing(source)
    if not listed.images:
        remedy = f"; it has {listed.summary}: convert, rename or unpack them" if listed.summary else ""
        raise DataError(f"{source} contains no images such as .png, .jpg or .webp{remedy}")
    if listed.summary and warned:
        warn(f"{source}: {listed.summary} are left out")
    return listed.images, listed.tables


def _unreadable() -> frozenset[str]:
    return frozenset(PICTURES - suffixes())


def _suffix(path: str) -> str:
    """The suffix as `PurePath` defines it, in lower case."""
    stem, _, ending = path.rpartition("/")[2].rpartition(".")
    return f".{ending}".lower() if stem and ending else ""


def _junk(path: str) -> bool:
    return any(is_junk(part) for part in path.split("/") if part != ".")
