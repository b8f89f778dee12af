"""`Streams`: generate images in parts. Imports no torch, so exported models have the same method."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from gantl_zoo.model.seeds import parts_of, seeds_of
from gantl_zoo.viz.images import Images


class Streams:
    """A base class of what samples images by seed."""

    sample: Callable[..., Images]

    def stream(
        self,
        n: int | None = None,
        *,
        seed: int | None = None,
        seeds: Iterable[int] | None = None,
        labels: int | Iterable[int] | None = None,
        **settings: Any,
    ) -> Iterator[Images]:
        """Generate the images of `sample` in parts, so that they need not fit into memory at once.

        `settings` are further arguments of `sample`. Raises what `generate` raises.
        """
        numbers = seeds_of(n, seed, seeds)
        for part, chosen in parts_of(numbers, labels):
            yield self.sample(seeds=part, labels=chosen, **settings)
