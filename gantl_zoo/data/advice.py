"""Suggest an image size and the next command for a data set."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

import numpy as np

from gantl_zoo.data.fit import CROP, PAD
from gantl_zoo.data.look import Look
from gantl_zoo.registry.builtins import models

SIZES = (28, 32, 64, 128)  # among the sizes that all generators support
SOURCES = ("dcgan-faces", "dcgan-mnist")  # released models for colour and for grey images
MANY = 10_000  # images; with this many or more, the suggestion is to train from scratch
HARM, OFTEN = 0.25, 0.1  # suggest padding if a crop loses this share of this share of the images


def suggestions(source: str, looks: Sequence[Look], image_size: int | None, fit: str) -> dict[str, Any]:
    """The fields `image_size`, `why`, `channels`, `enlarged` and `next` of a `DataReport`."""
    sides = np.array([(min if fit == CROP else max)(look.size) for look in looks])
    size, why = (image_size, "as given") if image_size else size_for(sides)
    grey = all(look.grey or look.grey_rgb for look in looks)
    verb = ["train"] if len(looks) >= MANY else ["transfer", start(grey)]
    words = ["gantl-zoo", *verb, "--data", source]
    if image_size or verb[0] == "train":  # a transfer has its source's size, for which no layer is new
        words += ["--image-size", str(size)]
    if grey and not all(look.grey for look in looks):
        words += ["--channels", "1"]
    harmed = sum(look.cut > HARM for look in looks)
    if fit == PAD or harmed > OFTEN * len(looks):
        words += ["--fit", PAD]
    return {
        "image_size": size,
        "why": why,
        "channels": 1 if grey else 3,
        "enlarged": int((sides < size).sum()),
        "next": shlex.join(words),
    }


def size_for(sides: np.ndarray[Any, Any]) -> tuple[int, str]:
    """The largest usual size for which at most one image in ten is enlarged, and the reason as text."""
    least = int(np.percentile(sides, 10, method="lower"))
    fitting = [size for size in SIZES if size <= least]
    if not fitting:
        return SIZES[0], f"the smallest usual size, although some images have only {least} pixels a side"
    slower = f"; {SIZES[2]} trains about four times faster" if fitting[-1] > SIZES[2] else ""
    return fitting[-1], f"nine images in ten have at least {least} pixels a side{slower}"


def start(grey: bool) -> str:
    """The released model to transfer from: for colour images if there is one, else for grey images."""
    colour = "" if grey else next((name for name in SOURCES if name in models), "")
    return colour or SOURCES[-1]
