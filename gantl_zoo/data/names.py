"""List the files of a folder or a zip, and decide which are images."""

from __future__ import annotations

import os
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

from gantl_zoo.console import warn
from gantl_zoo.errors import DataError

# Folders that operating systems put beside pictures. Hidden files and folders are skipped as well.
JUNK = {
    "@eadir", "@recycle", "@__thumb", "@tmp", "#recycle", "#snapshot", "$recycle.bin", "recycler",
    "system volume information", "lost+found", "__macosx",
}  # fmt: skip
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
    every = _listed(source, junk)
    files = {name: path for name, path in every.items() if not _junk(PurePosixPath(path))}
    images = {name: path for name, path in files.items() if _suffix(path) in suffixes()}
    tables = {path: name for name, path in files.items() if PurePosixPath(path).name.lower() == TABLE}
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
    return PurePosixPath(path).suffix.lower()


def _junk(path: PurePosixPath) -> bool:
    return any(part.startswith(".") or part.lower() in JUNK for part in path.parts)


def _listed(source: Path, junk: bool) -> dict[str, str]:
    """`{name: path}` of all files in a folder or a zip; `junk` includes a folder's junk folders."""
    if source.is_dir():
        paths = (path.relative_to(source).as_posix() for path in _walk(source, junk))
        return {path: path for path in paths}
    try:
        with zipfile.ZipFile(source) as archive:
            names = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{source} is neither a folder nor a readable zip: {error}") from error
    # some Windows tools separate folders by "\", which elsewhere may be part of a name
    windows = not any("/" in name for name in names)
    return {name: name.replace("\\", "/") if windows else name for name in names}


def _walk(source: Path, junk: bool) -> Iterator[Path]:
    """Yield all files below a folder. Links to folders are followed, each folder once."""
    entered = set()

    def refuse(error: OSError) -> None:
        warn(f"{source}: {error.filename} can't be listed ({error.strerror}); it is left out")

    for place, folders, files in os.walk(source, followlinks=True, onerror=refuse):
        if (real := os.path.realpath(place)) in entered:
            folders.clear()
            continue
        entered.add(real)
        here = Path(place)
        folders[:] = [name for name in folders if junk or not _junk(PurePosixPath(name))]
        folders.sort(key=lambda name: ((here / name).is_symlink(), name))
        yield from (path for name in files if os.path.isfile(path := here / name))
