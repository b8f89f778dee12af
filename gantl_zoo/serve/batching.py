"""Images for many requests at once: waiting seeds of all requests become common batches.

N images, C channels, H, W image size.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
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


@dataclass(eq=False)
class Request:
    """The images that a client waits for."""

    seeds: Sequence[int]
    labels: Sequence[int] | None
    truncation: float
    done: asyncio.Future[None]
    images: dict[int, Array] = field(default_factory=dict)  # by their place


Batch = list[tuple[Request, int]]  # images as requests and places


class Batcher:
    """Computes images of seeds, `CHUNK` at a time, in `workers` threads. At most `limit` images wait.

    The image of a seed is that of `generate`: it does not depend on the others in its batch. `divide` is
    called in a worker's thread before a batch, with the number of batches that share the processor.
    """

    def __init__(
        self,
        source: Source,
        limit: int,
        counts: Counts,
        *,
        workers: int = 1,
        divide: Callable[[int], None] | None = None,
    ) -> None:
        self.source, self.limit, self.counts = source, limit, counts
        self.workers, self.divide = workers, divide
        self.waiting: deque[tuple[Request, int]] = deque()
        self.running: set[asyncio.Task[None]] = set()
        self.wake = asyncio.Event()
        self.threads = ThreadPoolExecutor(workers, "generate")

    async def images(self, seeds: Sequence[int], labels: Sequence[int] | None, truncation: float) -> Array:
        """The images (N, C, H, W), uint8. Raises `Busy`. Cancelling it frees the images' places."""
        if len(self.waiting) + len(seeds) > self.limit:
            raise Busy(self.patience())
        request = Request(seeds, labels, truncation, asyncio.get_running_loop().create_future())
        self.waiting.extend((request, place) for place in range(len(seeds)))
        self.counts.waiting = len(self.waiting)
        self.wake.set()
        try:
            await request.done
        finally:
            if len(request.images) < len(seeds):
                self.keep([item for item in self.waiting if item[0] is not request])
        return np.stack([request.images[place] for place in range(len(seeds))])

    def keep(self, waiting: Batch) -> None:
        """Replace the images that wait."""
        self.waiting = deque(waiting)
        self.counts.waiting = len(self.waiting)

    def patience(self) -> int:
        """The seconds after which the waiting images will be done, by the rate so far."""
        rate = self.counts.rate() * max(1, len(self.running))
        return min(LONGEST_WAIT, max(1, math.ceil(len(self.waiting) / rate))) if rate else 1

    def next_batch(self) -> Batch:
        """Take the oldest images out of the queue, all of the same truncation."""
        batch: Batch = []
        others: Batch = []
        while self.waiting and len(batch) < CHUNK:
            item = self.waiting.popleft()
            fits = not batch or item[0].truncation == batch[0][0].truncation
            (batch if fits else others).append(item)
        self.keep([*others, *self.waiting])
        return batch

    async def run(self) -> None:
        """Compute batches for ever. Beside a running batch, another one starts only if 16 images wait."""
        while True:
            least = CHUNK if self.running else 1
            if len(self.running) == self.workers or len(self.waiting) < least:
                self.wake.clear()
                await self.wake.wait()
                continue
            batch = self.next_batch()
            alone = not self.running and len(self.waiting) < CHUNK
            task = asyncio.create_task(self.work(batch, 1 if alone else self.workers))
            self.running.add(task)
            task.add_done_callback(self.ended)

    def ended(self, task: asyncio.Task[None]) -> None:
        """A batch has ended."""
        self.running.discard(task)
        self.wake.set()

    async def work(self, batch: Batch, shares: int) -> None:
        """Compute a batch, and hand out its images."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        try:
            pixels = await loop.run_in_executor(self.threads, self.compute, batch, shares)
            self.counts.computed(len(batch), loop.time() - start)
            for (request, place), image in zip(batch, pixels, strict=True):
                request.images[place] = image
                if len(request.images) == len(request.seeds) and not request.done.done():
                    request.done.set_result(None)
        except Exception as error:
            for request, _ in batch:
                if not request.done.done():
                    request.done.set_exception(error)

    def compute(self, batch: Batch, shares: int) -> Array:
        """The images of a batch (N, C, H, W), uint8."""
        if self.divide:
            self.divide(shares)
        seeds = [request.seeds[place] for request, place in batch]
        labels = [request.labels[place] for request, place in batch if request.labels] or None
        images = self.source.generate(seeds=seeds, labels=labels, truncation=batch[0][0].truncation)
        return to_uint8_array(np.asarray(images))
