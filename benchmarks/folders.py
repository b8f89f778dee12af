"""Images per second from a large folder of JPEGs: `python benchmarks/folders.py [--images 100000]`.

Writes JPEGs of 256×256 pixels in ten classes to a temporary folder (or to --folder, where they stay), then
reads them with `gz.load_data`, streamed as when they don't fit into memory, and with torchvision's
ImageFolder in a DataLoader. Both deliver batches of 64 float images in a new order in each epoch. The first
epoch counts from the start: listing, checksums, decoding, and for us writing the cache, too. The two take
turns, each in a process of its own in each round. Memory is the largest resident set, with that of the
DataLoader's workers, which share pages with it.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

BATCH, SIDE, CLASSES = 64, 256, 10
KINDS = ("gantl_zoo", "torchvision")
LIMIT = "1000000"  # bytes of images in memory, so that even a small folder is streamed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--size", type=int, default=64, help="pixels of a side after resizing")
    parser.add_argument("--workers", type=int, default=2, help="processes of the DataLoader")
    parser.add_argument("--later", type=int, default=2, help="epochs after the first one")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="keep the JPEGs here, or use those that are here")
    parser.add_argument("--child", choices=KINDS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return contestant(options)
    with tempfile.TemporaryDirectory(prefix="gantl-zoo-folders-") as place:
        options.folder = options.folder or Path(place) / "jpegs"
        write_jpegs(options.folder, options.images)
        print_table(measured(options, Path(place)), options)


def write_jpegs(folder: Path, count: int) -> None:
    """Write `count` JPEGs of random shapes and noise, about 20 kB each, unless they are there."""
    from PIL import Image

    for i in range(count):
        path = folder / f"class-{i % CLASSES}" / f"{i:06}.jpg"
        if path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        random = np.random.RandomState(i)
        colours = Image.fromarray(random.randint(0, 255, (9, 9, 3), dtype=np.uint8))
        smooth = np.asarray(colours.resize((SIDE, SIDE), Image.Resampling.BICUBIC)).astype(np.float32)
        noisy = smooth + random.standard_normal((SIDE, SIDE, 1)).astype(np.float32) * 10
        content = io.BytesIO()
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(content, "JPEG", quality=88)
        path.write_bytes(content.getvalue())


def measured(options: argparse.Namespace, place: Path) -> dict[str, list[dict[str, float]]]:
    """The results of each round by contestant; every epoch of one is followed by one of the other."""
    results: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
    for number in range(options.rounds):
        environment = os.environ | {"GANTL_ZOO_MEMORY": LIMIT, "GANTL_ZOO_CACHE": str(place / f"{number}")}
        children = {kind: start(kind, options, environment) for kind in KINDS}
        for _ in range(1 + options.later):
            for kind, child in children.items():
                print("epoch", file=child.stdin, flush=True)
                answer = child.stdout.readline() if child.stdout else ""
                if not answer:
                    sys.exit(f"{kind} failed")
                results[kind].append({"round": number} | json.loads(answer))
        for child in children.values():
            child.communicate()
    return results


def start(kind: str, options: argparse.Namespace, environment: dict[str, str]) -> subprocess.Popen[str]:
    """A process that reads one epoch for each line on its standard input."""
    words = [
        "--child",
        kind,
        "--folder",
        options.folder,
        "--size",
        options.size,
        "--workers",
        options.workers,
    ]
    command = [sys.executable, __file__, *map(str, words)]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )


def contestant(options: argparse.Namespace) -> None:
    """Read one epoch for each line, and answer with the images, the seconds and the memory."""
    make = {"gantl_zoo": ours, "torchvision": theirs}[options.child]
    epoch: Callable[[int], Iterator[Any]] | None = None
    for number, _ in enumerate(sys.stdin):
        clock = time.perf_counter()
        epoch = epoch or make(options)
        images = sum(len(batch) for batch in epoch(number))
        seconds = time.perf_counter() - clock
        used = memory(options.workers if options.child == "torchvision" else 0)  # we read in one process
        print(json.dumps({"images": images, "seconds": seconds, "memory": used}), flush=True)


def memory(workers: int) -> int:
    """The largest resident set of this process in bytes, and that of a worker for each of `workers`.

    With workers it is an upper bound, since they share pages with this process.
    """
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return (own + workers * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) * 1024


def ours(options: argparse.Namespace) -> Callable[[int], Iterator[Any]]:
    import gantl_zoo as gz
    from gantl_zoo.data import Stream, to_float
    from gantl_zoo.training.batches import epochs

    images = gz.load_data(options.folder, image_size=options.size).images
    assert isinstance(images, Stream), "the folder is too small to be streamed: give more images"

    def epoch(number: int) -> Iterator[Any]:
        per_epoch = -(-len(images) // BATCH)
        order = epochs(
            len(images), batch=BATCH, seed=0, start=number * per_epoch, steps=(number + 1) * per_epoch
        )
        return map(to_float, images.batches(order, options.workers))

    return epoch


def theirs(options: argparse.Namespace) -> Callable[[int], Iterator[Any]]:
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms as t

    normal = t.Normalize([0.5] * 3, [0.5] * 3)
    change = t.Compose([t.Resize(options.size), t.CenterCrop(options.size), t.ToTensor(), normal])
    folder = datasets.ImageFolder(options.folder, change)
    loader = DataLoader(folder, BATCH, shuffle=True, num_workers=options.workers)
    return lambda number: (images for images, _ in loader)


def print_table(results: dict[str, list[dict[str, float]]], options: argparse.Namespace) -> None:
    """Print images per second and memory as a table in Markdown."""
    rates: dict[str, list[float]] = {}
    for kind, rows in results.items():
        speed = [row["images"] / row["seconds"] for row in rows]
        each = 1 + options.later
        rates[kind] = [statistics.median(speed[::each])]
        rates[kind].append(statistics.median(s for i, s in enumerate(speed) if i % each))
    print(f"{options.images:,} JPEGs at {options.size} px, images per second, {options.rounds} rounds\n")
    print("| | first epoch | later epochs | memory |\n|---|---|---|---|")
    for kind, rows in results.items():
        most = max(row["memory"] for row in rows)
        print(f"| {kind} | {rates[kind][0]:,.0f} | {rates[kind][1]:,.0f} | {most / 1e6:,.0f} MB |")
    first, later = (a / b for a, b in zip(rates["gantl_zoo"], rates["torchvision"], strict=True))
    print(f"| ratio | {first:.2f} | {later:.2f} | |")


if __name__ == "__main__":
    main()
