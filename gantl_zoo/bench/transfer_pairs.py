"""The pairs of source and target that `bench transfer` compares strategies on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from gantl_zoo.bench.transfer_draw import count_images
from gantl_zoo.data import load
from gantl_zoo.errors import UsageError, unknown
from gantl_zoo.runs.prepare import check_baseline
from gantl_zoo.training.presets import load_preset
from gantl_zoo.zoo import gan_named

LEAST = 10  # the fewest held-out images
ENOUGH = 1_000  # the fewest held-out images for the Fréchet distance; below, the kernel distance is used
GREY: dict[str, Any] = {"lr": 8e-4, "r1": 0.5}
LOSS = "non-saturating"
COLOUR = "transfer-64"  # preset of pairs with more than 32 pixels
LATER = ("preset", "pool", "image_size")  # fields that keys of cells have only if they are set


@dataclass(frozen=True)
class Pair:
    """A source and a target. `source` is a model; if empty, one is first trained on the data `learn`.

    `extractor`: network whose features the metrics compare.
    `metric`: what chooses the best model; "kd" if there are fewer held-out images than features.
    `preset`: recipe of all runs; by default that of small grey images.
    `pool`: number of images from which the training images are drawn, anew for each seed; all others are held
        out. 0 means the split of the data set.
    `image_size`: size of the images; 0 means that of the source.
    """

    name: str
    data: str
    source: str = ""
    learn: str = ""
    note: str = ""
    extractor: str = "auto"
    metric: str = "fd"
    preset: str = ""
    pool: int = 0
    image_size: int = 0

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics of a cell; the first one chooses its best model."""
        return tuple(dict.fromkeys((self.metric, "auto")))

    @property
    def recipe(self) -> dict[str, Any]:
        """The settings of all runs that a `Budget` does not have."""
        if not self.preset:
            return dict(GREY)
        chosen = load_preset(self.preset).for_verb("transfer")
        return {key: value for key, value in chosen.items() if key not in ("steps", "batch", "aug")}

    def describe(self) -> dict[str, Any]:
        """All fields, without those of `LATER` that are not set."""
        unset = {one.name for one in fields(self) if getattr(self, one.name) == one.default}
        return {key: value for key, value in asdict(self).items() if key not in unset & set(LATER)}


PAIRS = (
    Pair("mnist-fashion", "fashion-mnist", learn="mnist", note="far: digits to clothes"),
    Pair("mnist-glyphs", "glyphs", learn="mnist", note="near: digits to printed letters"),
    Pair("digits", "mnist:5-9", learn="mnist:0-4", note="nearest: digits 0–4 to digits 5–9"),
    Pair(
        "faces-portraits",
        "portraits",
        "dcgan-faces",
        note="near, in colour: drawn faces to line drawings of faces",
        metric="kd",
        preset=COLOUR,
        pool=50,
    ),
)


def choose_pairs(
    names: Sequence[str], source: str, data: str, data_root: str | Path | None = None, **own: Any
) -> tuple[Pair, ...]:
    """The pairs with these names (by default all in grey), or a user's own pair. Raises `UsageError`.

    `own` are further fields of the user's pair, such as extractor and pool.
    """
    given = [name for name, value in own.items() if value]
    if source or data:
        if names or not (source and data):
            raise UsageError("a pair of your own needs both --source and --data, without --pair")
        return (own_pair(source, data, data_root, **{name: own[name] for name in given}),)
    if given:
        options = " and ".join("--" + name.replace("_", "-") for name in given)
        raise UsageError(f"{options}: only a pair of your own (--source, --data) takes this")
    known = {pair.name: pair for pair in PAIRS}
    if strange := sorted(set(names) - set(known)):
        raise UsageError(unknown("pair", strange, known))
    return tuple(known[name] for name in names) or tuple(pair for pair in PAIRS if not pair.preset)


def own_pair(
    source: str,
    data: str,
    data_root: str | Path | None,
    *,
    extractor: str = "auto",
    pool: int = 0,
    image_size: int = 0,
) -> Pair:
    """A user's pair. Its name has the fingerprint of the images, so that other images get another table."""
    gan = gan_named(source)
    check_baseline(gan)
    size = image_size or gan.image_shape[1]
    images = load(data, image_size=size, root=data_root)
    if pool:
        count, drawn = count_images(data, size, data_root) - pool, f"{pool:,} images to draw from"
    else:
        count = len(load(data, split="test", image_size=size, root=data_root))
        drawn = f"{len(images):,} images"
    check_held_out(images.name, count, pool)
    title = re.sub(r"[^a-z0-9]+", "-", f"{Path(source).name}-{Path(data).name}".lower())
    return Pair(
        f"{title}-{images.fingerprint[:8]}",
        data,
        source,
        note=f"{drawn}, {count:,} held out",
        extractor=extractor,
        metric="fd" if count >= ENOUGH else "kd",
        preset=COLOUR if size > 32 else "",
        pool=pool,
        image_size=image_size,
    )


def check_held_out(name: str, count: int, pool: int) -> None:
    """Raise `UsageError` if too few images are held out."""
    if pool < 0:
        raise UsageError(f"--pool must be at least 1, not {pool}")
    if count >= LEAST:
        return
    if pool:
        raise UsageError(
            f"{name} has {count + pool} images, so a pool of {pool} leaves {max(0, count)} held-out ones, "
            f"but a table needs at least {LEAST}: give a smaller --pool, or more images"
        )
    raise UsageError(
        f"{name} has {count} held-out images, but a table needs at least {LEAST}: "
        "add images (one in ten is held out), make folders train and test, or give --pool"
    )
