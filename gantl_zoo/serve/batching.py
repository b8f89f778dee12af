"""Images for many requests at once: waiting seeds of all requests become common batches.

N images, C channels, H, W image size.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from gantl_zoo.model.seeds import CHUNK
from gantl_zoo.pixels import Array, to_uint8_array
from gantl_zoo.serve.counts import Counts

LONGEST_WAIT = 60  # seconds that a refused client is asked to wait at most


class Source(Protocol):
    """What is served: a `GAN`, or an `OnnxGAN`."""

    @property
    def name(self) -> str: ...
    @property
    def image_shape(self) -> tuple[int, int, int]: ...
    @property
    def num_classes(self) -> int: ...
    @property
    def classes(self) -> list[str]: ...
    @property
    def has_mapping(self) -> bool: ...
    @property
    def license(self) -> str: ...
    def generate(self, *, seeds: Iterable[int], labels: Any, truncation: float) -> Any: ...


class Busy(Exception):
    """Too many images are waiting; `seconds` is how long a client should wait before it asks again."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"too many images are waiting; ask again in {seconds} s")
        self.seconds = seconds


@dataclass(frozen=True, eq=False)
class Item:
    """One image that somebody waits for."""

    seed: int
    label: int | None
    truncation: float
    done: asyncio.Future[Array]


class Batcher:
    """Computes images of seeds, `CHUNK` at a time, in one thread. At most `limit` images wait.

    The image of a seed is that of `generate`: it does not depend on the others in its batch.
    """

    def __init__(self, source: Source, limit: int, counts: Counts) -> None:
        self.source, self.limit, self.counts = source, limit, counts
        self.waiting: deque[Item] = deque()
        self.wake = asyncio.Event()
        self.thread = ThreadPoolExecutor(1, "generate")

    async def images(self, seeds: Sequence[int], labels: Sequence[int] | None, truncation: float) -> Array:
        """The images (N, C, H, W), uint8. Raises `Busy`. Cancelling it frees the images' places."""
        self.forget()
        if len(self.waiting) + len(seeds) > self.limit:
            raise Busy(self.patience())
        loop = asyncio.get_running_loop()
        chosen: Sequence[int | None] = labels or [None] * len(seeds)
        items = [
            Item(seed, label, truncation, loop.create_future())
            for seed, label in zip(seeds, chosen, strict=True)
        ]
        self.waiting.extend(items)
        self.counts.waiting = len(self.waiting)
        self.wake.set()
        try:
            return np.stack(await asyncio.gather(*(item.done for item in items)))
        finally:
            for item in items:
                item.done.cancel()

    def patience(self) -> int:
        """The seconds after which the waiting images will be done, by the rate so far."""
        rate = self.counts.rate()
        return min(LONGEST_WAIT, max(1, math.ceil(len(self.waiting) / rate))) if rate else 1

    def forget(self) -> None:
        """Drop the images that nobody waits for any more."""
        if any(item.done.done() for item in self.waiting):
            self.waiting = deque(item for item in self.waiting if not item.done.done())
        self.counts.waiting = len(self.waiting)

    def next_batch(self) -> list[Item]:
        """Take the oldest images out of the queue, all of the same truncation."""
        self.forget()
        batch: list[Item] = []
        others: deque[Item] = deque()
        while self.waiting and len(batch) < CHUNK:
            item = self.waiting.popleft()
            fits = not batch or item.truncation == batch[0].truncation
            (batch if fits else others).append(item)
        self.waiting.extendleft(reversed(others))
        self.counts.waiting = len(self.waiting)
        return batch

    async def run(self) -> None:
        """Compute batches for ever."""
        loop = asyncio.get_running_loop()
        while True:
            if not (batch := self.next_batch()):
                self.wake.clear()
                await self.wake.wait()
                continue
            start = loop.time()
            try:
                pixels = await loop.run_in_executor(self.thread, self.compute, batch)
            except Exception as error:
                for item in batch:
                    if not item.done.done():
                        item.done.set_exception(error)
                continue
            self.counts.computed(len(batch), loop.time() - start)
            for item, image in zip(batch, pixels, strict=True):
                if not item.done.done():
                    item.done.set_result(image)

    def compute(self, batch: list[Item]) -> Array:
        """The images of a batch (N, C, H, W), uint8."""
        labels = None if batch[0].label is None else [item.label for item in batch]
        seeds = [item.seed for item in batch]
        images = self.source.generate(seeds=seeds, labels=labels, truncation=batch[0].truncation)
        return to_uint8_array(np.asarray(images))
