"""Images that were dropped into the page: checked, then written into a set of their own.

An image is decoded before it is written, as `gantl-zoo data` does. Nothing else is read from the file, and
its name is only a hint for people. The sub-folders of a dropped folder are kept, since they may be classes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from gantl_zoo.data.decode import size_of
from gantl_zoo.data.look import look_at
from gantl_zoo.data.names import suffixes
from gantl_zoo.errors import UsageError
from gantl_zoo.storage.atomic import replace_file
from gantl_zoo.storage.untrusted import printable
from gantl_zoo.studio.paths import shown, within
from gantl_zoo.studio.settings import Settings

LARGEST = 32 << 20  # bytes of an image
PIXELS = 50_000_000  # of an image
NAMES = 120  # longest name of a file
DEEP = 4  # folders above an image that are kept


@dataclass
class Received:
    """What became of some dropped files: the set, how many images it has, and why others were left out."""

    folder: str
    name: str
    images: int = 0
    left_out: list[dict[str, str]] = field(default_factory=list)


def new_set(settings: Settings, title: str) -> Path:
    """Create a folder for dropped images, whose name is free. Raises `UsageError`."""
    plain = re.sub(r"[^\w-]+", "-", title, flags=re.A).strip("-")[:40] or "my-images"
    for number in range(1, 10_000):
        path = settings.dropped / (plain if number == 1 else f"{plain}-{number}")
        try:
            settings.dropped.mkdir(parents=True, exist_ok=True)
            check_place(settings, settings.dropped)
            path.mkdir()
            return path
        except FileExistsError:
            continue
        except OSError as error:
            raise UsageError(f"can't write into {settings.dropped}: {error.strerror}") from error
    raise UsageError(f"there are too many sets called {plain}")


def set_named(settings: Settings, name: str) -> Path:
    """The folder of a set that `new_set` created. Raises `UsageError` for all other names."""
    path = settings.dropped / name
    if not re.fullmatch(r"[\w-]{1,60}", name, re.A) or not path.is_dir() or path.is_symlink():
        raise UsageError("this set of images does not exist any more")
    check_place(settings, path)
    return path


def check_place(settings: Settings, path: Path) -> None:
    """Raise `UsageError` if a link has put this folder outside of the studio's folders."""
    if not within(settings, path.resolve()):
        raise UsageError(f"{path} is a link that leads outside of {settings.root}")


def receive(settings: Settings, folder: Path, files: Iterable[tuple[str, bytes]]) -> Received:
    """Write the images among some files, each a relative path and its content, into a set."""
    there = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    count, room = len(there), settings.most_bytes - sum(there)
    result = Received(shown(settings, folder), folder.name)
    for name, content in files:
        folders, label = parts_of(name)
        place = folder.joinpath(*folders)
        why = refusal(label, content)
        if not why and count >= settings.most_images:
            why = f"a set has at most {settings.most_images:,} images"
        if not why and len(content) > room:
            why = f"a set has at most {settings.most_bytes / 2**20:,.0f} MiB"
        if why:
            result.left_out.append({"name": "/".join([*folders, label]), "why": why})
            continue
        check_place(settings, place)
        try:
            with replace_file(place / free_name(place, label)) as beside:
                beside.write_bytes(content)
        except OSError as error:  # also if an image has the name of the folder
            why = f"it can't be written: {error.strerror}"
            result.left_out.append({"name": "/".join([*folders, label]), "why": why})
            continue
        count, room = count + 1, room - len(content)
    result.images = count
    return result


def parts_of(path: str) -> tuple[list[str], str]:
    """The folders of a relative path, as names that every system allows, and the name of its file."""
    *above, last = path.replace("\\", "/").split("/")
    folders = [re.sub(r"[^\w .+#&()'=-]+", "-", one).strip(" .")[:60] for one in above]
    return [one for one in folders if one][:DEEP], printable(last or "unnamed", NAMES)


def refusal(name: str, content: bytes) -> str:
    """Why a file is left out; "" for an image that can be trained on."""
    if os.path.splitext(name)[1].lower() not in suffixes():
        return "it is not an image that can be read: use .png, .jpg or .webp"
    if len(content) > LARGEST:
        return f"it has more than {LARGEST >> 20} MiB"
    try:
        width, height = size_of(content)
        if width * height > PIXELS:
            return f"it has {width}×{height} pixels, above the limit of {PIXELS // 1_000_000} million"
        look_at(content)
    except Exception as error:  # damaged files make Pillow raise anything
        return reason(content, error)
    return ""


def reason(content: bytes, error: Exception) -> str:
    """Why an image can't be decoded, in words."""
    from gantl_zoo.data.damage import kind_of

    text = str(error).split("<_io")[0]
    return kind_of(content) or (
        "it is damaged" + ("" if "cannot identify" in text else f": {printable(text, 120)}")
    )


def free_name(folder: Path, label: str) -> str:
    """A plain name for an image that the folder does not have yet."""
    stem, suffix = os.path.splitext(label)
    plain = re.sub(r"[^\w-]+", "-", stem, flags=re.A).strip("-")[:60] or "image"
    name, number = f"{plain}{suffix.lower()}", 1
    while (folder / name).exists():
        number += 1
        name = f"{plain}-{number}{suffix.lower()}"
    return name
