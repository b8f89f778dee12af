"""Find copies and near-duplicates among many images by their thumbnails.

Two images are near-duplicates if the root mean square difference of their thumbnails (16×16 RGB) is below 8 %
of the standard deviation within them: the same picture resized, saved as JPEG, or slightly retouched.
Mirrored and cropped pictures don't match, nor do very small pictures after strong compression. Thumbnails of
4×4 rule out most pairs first; averaging can only reduce the difference, so no match is lost. 100,000 images
are 5·10⁹ pairs, each a product of 50 numbers.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional

SIDE, POOLED = 16, 4  # pixels
RELATIVE = 0.08**2  # of the variance
MOST_PAIRS = 200_000  # the search stops after this many
ROWS = 64  # images compared with all others at once


class Groups:
    """Disjoint sets of numbers, joined in pairs (union-find)."""

    def __init__(self, count: int) -> None:
        self.parents = list(range(count))

    def top(self, number: int) -> int:
        """The smallest number in the set of `number`."""
        while self.parents[number] != number:
            self.parents[number] = self.parents[self.parents[number]]
            number = self.parents[number]
        return number

    def join(self, first: int, second: int) -> None:
        """Unite the sets of two numbers."""
        low, high = sorted((self.top(first), self.top(second)))
        self.parents[high] = low

    def sets(self) -> list[list[int]]:
        """The sets with two or more members, the largest first."""
        sets: dict[int, list[int]] = {}
        for number in range(len(self.parents)):
            sets.setdefault(self.top(number), []).append(number)
        return sorted((one for one in sets.values() if len(one) > 1), key=lambda one: (-len(one), one))


def copies(keys: Sequence[Hashable]) -> list[list[int]]:
    """The groups of two or more indices with equal keys, the largest group first."""
    sets: dict[Hashable, list[int]] = {}
    for number, key in enumerate(keys):
        sets.setdefault(key, []).append(number)
    return sorted((one for one in sets.values() if len(one) > 1), key=lambda one: (-len(one), one))


def near(thumbs: Tensor) -> list[list[int]]:
    """The groups of near-duplicates among thumbnails (N, 3, 16, 16) uint8, as indices."""
    groups = Groups(len(thumbs))
    first: dict[bytes, int] = {}
    for number, thumb in enumerate(thumbs.numpy()):  # equal thumbnails would give N²/2 pairs
        groups.join(first.setdefault(thumb.tobytes(), number), number)
    distinct = torch.tensor(sorted(first.values()), dtype=torch.long)
    count = 0
    for left, right in _close(thumbs[distinct]):
        for one, other in zip(distinct[left].tolist(), distinct[right].tolist(), strict=True):
            groups.join(one, other)
        if (count := count + len(left)) > MOST_PAIRS:
            break
    return groups.sets()


def _close(thumbs: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield index tensors (left, right) of pairs of near-duplicates."""
    small = torch.cat(
        [functional.avg_pool2d(p.float(), SIDE // POOLED) for p in torch.split(thumbs, 4096)] or []
    )
    variance = torch.cat([part.float().flatten(1).var(1, correction=0) for part in torch.split(thumbs, 4096)])
    flat = (small.flatten(1) - small.flatten(1).mean(0)) / 255  # (N, 48)
    own = flat.square().sum(1) - flat.shape[1] * RELATIVE / 2 * variance / 255**2  # |a|² minus its tolerance
    ones = torch.ones(len(flat), 1)
    rows, columns = torch.cat([-2 * flat, own[:, None], ones], 1), torch.cat([flat, ones, own[:, None]], 1)
    for start in range(0, len(flat), ROWS):
        excess = rows[start : start + ROWS] @ columns[start:].T  # |a − b|² minus both tolerances
        left, right = (excess <= 1e-5).nonzero(as_tuple=True)
        left, right = left[left < right] + start, right[left < right] + start
        for one, other in zip(torch.split(left, 4096), torch.split(right, 4096), strict=True):
            error = (thumbs[one].float() - thumbs[other].float()).square().flatten(1).mean(1)
            same = error <= RELATIVE * (variance[one] + variance[other]) / 2
            yield one[same], other[same]
