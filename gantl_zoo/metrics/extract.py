"""Extract features of many images: in batches, split over processes, and cached for real images."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from gantl_zoo.data import ImageData, Stream
from gantl_zoo.errors import DataError
from gantl_zoo.metrics.extractors import Extractor, Outputs
from gantl_zoo.storage.features import kept

Progress = Callable[[Iterable[int], str], Iterable[int]]


class Crew(Protocol):
    """A group of processes that share the work."""

    @property
    def rank(self) -> int: ...
    @property
    def count(self) -> int: ...
    def total(self, tensor: Tensor) -> Tensor:
        """The sum of a tensor over all processes."""
        ...


@dataclass(frozen=True)
class Images:
    """`count` images that are generated or read on demand: `take(start, stop)` returns (n, C, H, W)."""

    count: int
    shape: tuple[int, int, int]
    take: Callable[[int, int], Tensor]
    labels: Tensor | None = None
    key: tuple[object, ...] | None = None  # identifies the images in the cache; None: not cached

    @classmethod
    def of(cls, images: Tensor, labels: Tensor | None = None) -> Images:
        """Wrap a tensor of images (N, C, H, W)."""
        channels, height, width = images.shape[1:]
        return cls(len(images), (channels, height, width), lambda start, stop: images[start:stop], labels)

    def first(self, count: int) -> Images:
        """The first `count` images. They have no key in the cache."""
        count = min(count, self.count)
        return Images(count, self.shape, self.take, None if self.labels is None else self.labels[:count])

    @classmethod
    def part(cls, data: ImageData, count: int) -> Images:
        """A fixed random subset of `data`, since its first images may all be of one class."""
        order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))[:count]
        labels = None if data.labels is None else data.labels[order]
        key: tuple[object, ...] = (data.fingerprint, len(order))
        if isinstance(data.images, Stream):  # its fingerprint is that of the files
            key += (data.images.treatment,)
        return cls(len(order), data.shape, lambda start, stop: data.images[order[start:stop]], labels, key)


@dataclass(frozen=True)
class Features:
    """Features (N, D), logits (N, L) of a classifier, both float32, and labels (N,) if known."""

    features: Tensor
    logits: Tensor | None = None
    labels: Tensor | None = None

    def __len__(self) -> int:
        return len(self.features)

    def select(self, index: Tensor | slice) -> Features:
        """The features, logits and labels at `index`."""
        logits, labels = (None if t is None else t[index] for t in (self.logits, self.labels))
        return Features(self.features[index], logits, labels)


def plain(steps: Iterable[int], what: str) -> Iterable[int]:
    """Return `steps` as they are: the default, without a progress bar."""
    return steps


def extract(
    extractor: Extractor, images: Images, crew: Crew | None = None, progress: Progress = plain
) -> Features:
    """Features of `images`. Bit-identical for any number of processes, since the batch size is fixed.

    Raises `DataError` for images that the extractor doesn't take, and for NaN or infinite features.
    """
    extractor.check(images.shape)
    if images.key is not None and crew is None and extractor.stored:
        key = (*images.key, extractor.name, extractor.sha256, extractor.convention)
        key += () if extractor.device.type == "cpu" else (str(extractor.device),)  # it rounds otherwise
        features, logits = kept(key, lambda: run(extractor, images, None, progress))
    else:
        features, logits = run(extractor, images, crew, progress)
    if not features.isfinite().all():
        raise DataError(f"extractor {extractor.name} returned NaN or infinity for these images")
    return Features(features, logits, images.labels)


@torch.inference_mode()
def run(extractor: Extractor, images: Images, crew: Crew | None, progress: Progress) -> Outputs:
    """Compute features and logits without the cache.

    Each process computes every n-th batch and leaves zeros elsewhere; the sum over processes is
    the full matrix.
    """
    rank, processes = (0, 1) if crew is None else (crew.rank, crew.count)
    size = extractor.batch(images.shape[-1])
    features = torch.zeros(images.count, extractor.num_features)
    logits = torch.zeros(images.count, extractor.num_logits) if extractor.num_logits else None
    starts = range(0, images.count, size)
    for start in progress(starts[rank::processes], f"{images.count:,} images through {extractor.name}"):
        rows = slice(start, min(start + size, images.count))
        features[rows], batch_logits = extractor(images.take(rows.start, rows.stop))
        if logits is not None and batch_logits is not None:
            logits[rows] = batch_logits
    if crew is None or processes == 1:
        return features, logits
    return crew.total(features), None if logits is None else crew.total(logits)
