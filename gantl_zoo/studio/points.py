"""What a picture in the studio is: a short text from which its latent follows.

| text | meaning |
|---|---|
| `12` | seed 12 |
| `12~3` | the third variation of it; `12~3~5` is a variation of that |
| `12_40~1_35` | 35 % of the way from `12` to `40~1` |

Z latent size.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gantl_zoo.errors import UsageError
from gantl_zoo.storage.untrusted import printable

if TYPE_CHECKING:
    from torch import Tensor

    from gantl_zoo.latent.space import Points
    from gantl_zoo.model.gan import GAN

POINT = r"\d{1,10}(?:~\d{1,4}){0,6}"
TEXT = re.compile(rf"({POINT})(?:_({POINT})_(\d{{1,3}}))?", re.A)
SPREAD = 0.45  # radians between a latent and its variation
MOST = 100  # pictures at once
SEEDS = 1 << 32


def parsed(text: str) -> list[str]:
    """The texts of pictures, which commas separate; `0-23` is a range of seeds. Raises `UsageError`."""
    texts: list[str] = []
    for part in text.split(","):
        limits = re.fullmatch(r"(\d{1,10})-(\d{1,10})", part.strip(), re.A)
        if limits and int(limits[1]) <= int(limits[2]) < int(limits[1]) + MOST:
            texts += map(str, range(int(limits[1]), int(limits[2]) + 1))
        else:
            check(part.strip())
            texts.append(part.strip())
    if len(texts) > MOST:
        raise UsageError(f"at most {MOST} pictures at once, not {len(texts)}")
    if any(int(re.split(r"[~_]", one)[0]) >= SEEDS for one in texts):
        raise UsageError("a seed must be below 2³²")
    return texts


def check(text: str) -> None:
    """Raise `UsageError` for a text that is not a picture's."""
    match = TEXT.fullmatch(text)
    seeds = [int(one.partition("~")[0]) for one in match.groups()[:2] if one] if match else []
    if match is None or max(seeds) >= SEEDS or int(match[3] or 0) > 100:
        raise UsageError(
            f"{printable(text, 40)!r} is not a valid seed; write numbers and ranges, such as 0-23"
        )


def noise_of(text: str, latent_dim: int) -> Tensor:
    """The noise (Z,) of a seed or of a variation."""
    import torch

    from gantl_zoo.model.sampling import latents

    parent, _, number = text.rpartition("~")
    if not parent:
        return latents([int(number)], latent_dim)[0]
    digest = hashlib.sha256(f"variation {text}".encode()).digest()
    own = torch.Generator().manual_seed(int.from_bytes(digest[:4], "big"))
    return math.cos(SPREAD) * noise_of(parent, latent_dim) + math.sin(SPREAD) * torch.randn(
        latent_dim, generator=own
    )


def points_of(gan: GAN, texts: Sequence[str], label: int | None = None) -> Points:
    """The points of pictures, in W if the network has it, else in Z. Without a label, the class of a picture
    is that of its seed. Raises `UsageError` for a class that the model does not have.
    """
    import torch
    from torch.nn import functional

    from gantl_zoo.latent.space import Points, mapped, space_of
    from gantl_zoo.model.sampling import drawn_classes

    ends = [TEXT.fullmatch(text) for text in texts]
    plain = list(dict.fromkeys(one for match in ends if match for one in match.groups()[:2] if one))
    noise = torch.stack([noise_of(one, gan.latent_dim) for one in plain])
    classes = torch.zeros(len(plain), 0)
    known = None
    if gan.num_classes:
        seeds = [int(one.partition("~")[0]) for one in plain]
        known = drawn_classes(seeds, gan.num_classes) if label is None else torch.full((len(plain),), label)
        classes = functional.one_hot(gan.check_labels(known, len(plain)), gan.num_classes).float()  # type: ignore[arg-type]
    elif label is not None:
        gan.check_labels(label, len(plain))  # raises
    there = Points(mapped(gan, noise, known), classes, space_of(gan, None))
    return mixed(gan, there, plain, texts)


def mixed(gan: GAN, ends: Points, plain: list[str], texts: Sequence[str]) -> Points:
    """The points of all texts, of which the latents of plain seeds and variations are given."""
    import torch

    from gantl_zoo.latent.interpolation import along, lerp, mean_of, method_named

    between, mean = method_named(None, ends.space), mean_of(gan, ends)
    latents, classes = [], []
    for match in map(TEXT.fullmatch, texts):
        assert match is not None
        first = plain.index(match[1])
        pair, ratio = (first, plain.index(match[2] or match[1])), torch.tensor([int(match[3] or 0) / 100])
        if match[2] is None:
            latents.append(ends.latents[first : first + 1])
            classes.append(ends.classes[first : first + 1])
            continue
        latents.append(along(ends.latents - mean, pair, ratio, between) + mean)
        classes.append(along(ends.classes, pair, ratio, lerp))
    return ends.replaced(torch.cat(latents), torch.cat(classes))
