"""`Batches`: the images and labels of each step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from gantl_zoo.data import ImageData, Stream
from gantl_zoo.seeding import mixed
from gantl_zoo.training.engine import Engine


class Batches:
    """The images and labels of each step.

    `order(start)` yields the indices (N,) of each step from `start` on; each process takes its share. Images
    in memory are kept on the device as uint8; a `Stream` is decoded by worker processes.
    """

    def __init__(
        self,
        data: ImageData,
        labels: Tensor | None,
        order: Callable[[int], Iterator[Tensor]],
        engine: Engine,
    ) -> None:
        self.order, self.engine = order, engine
        self.pixels = data.images if isinstance(data.images, Stream) else data.images.to(engine.device)
        self.labels = None if labels is None else labels.to(engine.device)
        self.latest: tuple[Tensor, Tensor] | None = None  # images of the latest batch in memory, and indices

    def since(self, start: int) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Iterate over images (n, C, H, W), uint8, and labels (n,) of the steps from `start` on."""

        def shares() -> Iterator[Tensor]:
            return map(self.engine.processes.share, self.order(start))

        if isinstance(self.pixels, Stream):  # workers run ahead, so labels need an iterator of their own
            images = self.pixels.batches(shares(), self.engine.workers)
            if self.engine.device.type == "cuda":
                images = uploaded(images, self.engine)
            return zip(images, (self.labels_at(index) for index in shares()), strict=False)
        return map(self.taken, shares())

    def at(self, index: Tensor) -> tuple[Tensor, Tensor | None]:
        """This process's share of the images at `index`, and their labels."""
        return self.taken(self.engine.processes.share(index))

    def taken(self, index: Tensor) -> tuple[Tensor, Tensor | None]:
        """The images at `index` and their labels."""
        if isinstance(self.pixels, Stream):
            return self.pixels[index], self.labels_at(index)
        pixels = self.pixels[self.engine.upload(index)]
        self.latest = (pixels, index)
        return pixels, self.labels_at(index)

    def index_of(self, pixels: Tensor) -> Tensor | None:
        """The indices of the latest batch, if these are its images."""
        return self.latest[1] if self.latest is not None and self.latest[0] is pixels else None

    def labels_at(self, index: Tensor) -> Tensor | None:
        return None if self.labels is None else self.labels[self.engine.upload(index)]


def uploaded(images: Iterator[Tensor], engine: Engine) -> Iterator[Tensor]:
    """The batches of images on the GPU. Each is copied while the one before it is used."""
    side = torch.cuda.Stream(engine.device)  # type: ignore[no-untyped-call]

    def copied() -> Tensor | None:
        if (batch := next(images, None)) is None:
            return None
        with torch.cuda.stream(side):
            return engine.upload(batch)

    following = copied()
    while (batch := following) is not None:
        current = torch.cuda.current_stream(engine.device)
        current.wait_stream(side)
        batch.record_stream(current)  # so that its memory is not reused before it was read
        following = copied()
        yield batch


def epochs(count: int, *, batch: int, seed: int, start: int, steps: int) -> Iterator[Tensor]:
    """Yield the indices into `count` images for each step from `start` to `steps`.

    Each epoch is shuffled and split into batches of nearly equal size, at most `batch`. The indices depend
    only on seed and step.
    """
    per_epoch = math.ceil(count / batch)
    for epoch in range(start // per_epoch, math.ceil(steps / per_epoch)):
        generator = torch.Generator().manual_seed(mixed(seed, epoch))
        parts = torch.randperm(count, generator=generator).tensor_split(per_epoch)
        yield from parts[max(0, start - epoch * per_epoch) :]
