"""`see`: the features of many images, batch by batch, shared by several processes, kept in a cache."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from gantl_zoo.data import ImageData
from gantl_zoo.errors import DataError
from gantl_zoo.metrics import cache
from gantl_zoo.metrics.extractors import Extractor, Looks

Progress = Callable[[Iterable[int], str], Iterable[int]]


class Crew(Protocol):
    """The processes that share the work."""

    @property
    def rank(self) -> int: ...
    @property
    def count(self) -> int: ...
    def total(self, tensor: Tensor) -> Tensor:
        """The sum over all processes."""
        ...


@dataclass(frozen=True)
class Images:
    """`count` images, made or read when they are needed: `take(start, stop)` gives (n, C, H, W)."""

    count: int
    shape: tuple[int, int, int]
    take: Callable[[int, int], Tensor]
    labels: Tensor | None = None
    key: tuple[object, ...] | None = None  # what they are, if they are the same every time

    @classmethod
    def of(cls, images: Tensor, labels: Tensor | None = None) -> Images:
        """Images (N, C, H, W) that are there already."""
        channels, height, width = images.shape[1:]
        return cls(len(images), (channels, height, width), lambda start, stop: images[start:stop], labels)

    @classmethod
    def part(cls, data: ImageData, count: int) -> Images:
        """A random part of `data`, the same every time: its first images may all be of one kind."""
        order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))[:count]
        labels = None if data.labels is None else data.labels[order]
        key = (data.fingerprint, len(order))
        return cls(len(order), data.shape, lambda start, stop: data.images[order[start:stop]], labels, key)


@dataclass(frozen=True)
class Features:
    """What an extractor saw: features (N, D) and logits (N, L) float32; labels (N,) that were known."""

    features: Tensor
    logits: Tensor | None = None
    labels: Tensor | None = None

    def __len__(self) -> int:
        return len(self.features)

    def select(self, index: Tensor | slice) -> Features:
        """Some of them."""
        logits, labels = (None if t is None else t[index] for t in (self.logits, self.labels))
        return Features(self.features[index], logits, labels)


def plain(steps: Iterable[int], what: str) -> Iterable[int]:
    """No progress to show."""
    return steps


def extract(
    extractor: Extractor, images: Images, crew: Crew | None = None, progress: Progress = plain
) -> Features:
    """Features of `images` in batches of one size, so that any number of processes gives the same bits."""
    extractor.check(images.shape)
    if images.key is not None and crew is None:
        key = (*images.key, extractor.name, extractor.sha256, extractor.convention)
        key += () if extractor.device.type == "cpu" else (str(extractor.device),)  # it rounds otherwise
        features, logits = cache.kept(key, lambda: look(extractor, images, None, progress))
    else:
        features, logits = look(extractor, images, crew, progress)
    if not features.isfinite().all():
        raise DataError(f"extractor {extractor.name} gave NaN or infinity for these images")
    return Features(features, logits, images.labels)


@torch.inference_mode()
def look(extractor: Extractor, images: Images, crew: Crew | None, progress: Progress) -> Looks:
    """This process looks at every `crew.count`-th batch; the sum of all their zeros and rows is the whole."""
    rank, processes = (0, 1) if crew is None else (crew.rank, crew.count)
    size = extractor.batch(images.shape[-1])
    features = torch.zeros(images.count, extractor.num_features)
    logits = torch.zeros(images.count, extractor.num_logits) if extractor.num_logits else None
    starts = range(0, images.count, size)
    for start in progress(starts[rank::processes], f"{images.count:,} images through {extractor.name}"):
        rows = slice(start, min(start + size, images.count))
        features[rows], seen = extractor(images.take(rows.start, rows.stop))
        if logits is not None and seen is not None:
            logits[rows] = seen
    if crew is None or processes == 1:
        return features, logits
    return crew.total(features), None if logits is None else crew.total(logits)
