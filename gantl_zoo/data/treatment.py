"""`Treatment`: the original sizes of images, and what was done to them on reading."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gantl_zoo.data.fit import CROP


@dataclass(frozen=True)
class Treatment:
    """Original width and height of each image (N, 2), whether it was transparent (N,), and the fit."""

    sizes: Tensor
    transparent: Tensor
    fit: str = CROP

    @classmethod
    def of(cls, sizes: list[tuple[int, int]], transparent: list[bool], fit: str) -> Treatment:
        """Build a treatment from lists with one entry per image."""
        return cls(torch.tensor(sizes, dtype=torch.int32).view(-1, 2), torch.tensor(transparent), fit)

    @classmethod
    def alike(cls, count: int, width: int, height: int, fit: str) -> Treatment:
        """Build the treatment of `count` images of one size, none of them transparent."""
        return cls.of([(width, height)] * count, [False] * count, fit)

    def select(self, index: Tensor) -> Treatment:
        """The treatment of the images at `index`."""
        return replace(self, sizes=self.sizes[index], transparent=self.transparent[index])

    def changes(self, height: int, width: int) -> str:
        """What was cropped or padded, flattened and enlarged to that size, with counts; "" if nothing was."""
        short, long = self.sizes.min(1).values, self.sizes.max(1).values  # (N,)
        parts = []
        if height == width and (count := int((short < long).sum())):
            share = _percent(float((1 - short / long).max()))
            parts.append(
                f"{count:,} cropped to a square (up to {share} of a picture; --fit pad keeps all)"
                if self.fit == CROP
                else f"{count:,} padded to a square (up to {share} of it)"
            )
        if count := int(self.transparent.sum()):
            parts.append(f"{count:,} transparent flattened on white")
        small = (short if self.fit == CROP else long) < (height if height == width else 0)
        if count := int(small.sum()):
            sizes = self.sizes[small]
            least = sizes[sizes.prod(1).argmin()].tolist()
            parts.append(f"{count:,} enlarged from as little as {least[0]}×{least[1]}")
        return ", ".join(parts)


def _percent(share: float) -> str:
    """`0.312` as "31 %", never rounded to 0 or 100."""
    return f"{min(99, max(1, round(100 * share)))} %"
