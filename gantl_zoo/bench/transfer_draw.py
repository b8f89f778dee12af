"""Draw the training images of a cell from a pool, and hold out all others."""

from __future__ import annotations

import hashlib
import io
import random
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath

from gantl_zoo.data import ImageData, is_name, load
from gantl_zoo.data.files import reader
from gantl_zoo.data.layout import layout
from gantl_zoo.data.names import image_files
from gantl_zoo.data.sources import SPLITS
from gantl_zoo.data.split import hashes
from gantl_zoo.storage.atomic import replace_file
from gantl_zoo.viz.sheet import sheet

Entry = tuple[str, Callable[[], bytes]]  # the path of an image without its split, and its file


def count_images(data: str, image_size: int, data_root: str | Path | None) -> int:
    """The number of different images of both splits."""
    return len(entries(data, image_size, data_root))


def entries(data: str, image_size: int, data_root: str | Path | None) -> list[Entry]:
    """All images of a folder or zip, in the order of their names, or those of a named data set.

    Of copies only the first one counts, so that none is drawn while another one is held out.
    """
    if Path(data).exists() and not is_name(data):
        every = of_files(Path(data))
    else:
        parts = [load(data, split=split, image_size=image_size, root=data_root) for split in SPLITS]
        every = [pair for part in parts for pair in of_images(part)]
    different: dict[bytes, Entry] = {}
    for content, entry in every:
        different.setdefault(content, entry)
    return list(different.values())


def of_files(source: Path) -> list[tuple[bytes, Entry]]:
    """The images of a folder or zip, below the folder of their class, each with a hash of its content."""
    images, tables = image_files(source)
    read = reader(source)
    laid_out = layout(source, images, tables, read)
    hashed = hashes(source, list(laid_out.paths))
    pairs: list[tuple[bytes, Entry]] = []
    for number, name in enumerate(sorted(laid_out.paths)):
        folder = laid_out.labels.get(name, "")
        path = PurePosixPath(folder, f"{number:06}{PurePosixPath(name).suffix}")
        pairs.append((hashed[name], (str(path), partial(read, name))))
    return pairs


def of_images(images: ImageData) -> list[tuple[bytes, Entry]]:
    """Images in memory as PNG files, below the folder of their class, each with a hash of its pixels."""

    def png(number: int) -> bytes:
        file = io.BytesIO()
        sheet(images.images[number : number + 1].numpy(), 1, scale=1).save(file, "png")
        return file.getvalue()

    pairs: list[tuple[bytes, Entry]] = []
    for number in range(len(images)):
        folder = "" if images.labels is None else images.classes[int(images.labels[number])]
        path = PurePosixPath(folder, f"{images.split}{number:06}.png")
        content = hashlib.sha256(images.images[number : number + 1].numpy().tobytes()).digest()
        pairs.append((content, (str(path), partial(png, number))))
    return pairs


def drawn(
    path: Path,
    data: str,
    *,
    shots: int,
    pool: int,
    seed: int,
    most: int,
    image_size: int,
    data_root: str | Path | None,
) -> Path:
    """Write a zip with `shots` images in the folder train, and others in test, unless it exists.

    Each seed draws a pool of other images, and `shots` of them (0: all). The held-out images, at most `most`,
    are outside of the pool, so they are the same for all numbers of shots.
    """
    if path.exists():
        return path
    all_images = entries(data, image_size, data_root)
    random.Random(seed).shuffle(all_images)
    parts = {"train": all_images[: shots or pool], "test": all_images[pool : pool + most]}
    path.parent.mkdir(parents=True, exist_ok=True)
    with replace_file(path) as beside, zipfile.ZipFile(beside, "w") as archive:
        for part, chosen in parts.items():
            for name, read in chosen:
                archive.writestr(f"{part}/{name}", read())
    return path
