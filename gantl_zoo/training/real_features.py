"""`RealFeatures`: what a frozen network extracts from the real images, computed once for each image.

Without augmentation an image has the same features in every step. They are neither saved nor needed to
resume a run: a run that continues computes them again, with the same result.

N images, n images of a batch, K channels of a feature map h × w.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gantl_zoo.data import Stream, to_float
from gantl_zoo.data.memory import free_memory
from gantl_zoo.networks.base import blocks
from gantl_zoo.training.augment.base import Augment
from gantl_zoo.training.batches import Batches
from gantl_zoo.training.engine import Engine
from gantl_zoo.training.recipe import Recipe

LIMIT = 4 << 30  # bytes of the features of all images
SHARE = 4  # the features may take a quarter of the free memory
PART = 64  # images that are computed together, so that the features don't depend on the order of the images
USES = 2  # the fewest steps per image for which it is worthwhile


class Table:
    """The feature maps of all images by one network, in the state in which it is now."""

    def __init__(self, network: Any, pixels: Tensor, engine: Engine) -> None:
        self.network, self.pixels, self.engine = network, pixels, engine
        self.state, self.done = versions(network), {0}
        first = self.part(0)
        size = sum(one[0].numel() * one.element_size() for one in first)
        self.fits = size * len(pixels) <= min(LIMIT, free(engine) // SHARE)
        self.maps = [one.new_empty(len(pixels), *one.shape[1:]) for one in first] if self.fits else []
        self.fill(0, first)

    def at(self, index: Tensor) -> list[Tensor] | None:
        """The maps (n, K, h, w) of the images at `index` (n,); None if those of all would need too much."""
        if not self.fits:
            return None
        for part in set((index // PART).tolist()) - self.done:
            self.fill(part, self.part(part))
            self.done.add(part)
        rows = index.to(self.pixels.device)
        return [one[rows].contiguous(memory_format=self.engine.layout) for one in self.maps]

    @torch.no_grad()
    def part(self, number: int) -> list[Tensor]:
        """The maps of the images of one part."""
        images = to_float(self.pixels[PART * number : PART * (number + 1)])
        with self.engine.autocast():
            maps: list[Tensor] = self.network.extract(images.contiguous(memory_format=self.engine.layout))
        return maps

    def fill(self, number: int, maps: list[Tensor]) -> None:
        """Store the maps of one part."""
        for table, one in zip(self.maps, maps, strict=False):
            table[PART * number : PART * (number + 1)] = one


class RealFeatures:
    """The features of real images by each frozen network that asks for them."""

    def __init__(self, pixels: Tensor, engine: Engine) -> None:
        """`pixels` (N, C, H, W) are the images, uint8, on the engine's device."""
        self.pixels, self.engine = pixels, engine
        self.tables: dict[int, Table] = {}
        self.batch: tuple[Tensor, Tensor] | None = None  # real images of a step, and their indices

    def begin(self, real: Tensor, index: Tensor | None) -> None:
        """A step on the images `real` (n, C, H, W) begins; `index` (n,) is which ones they are, if known."""
        self.batch = None if index is None else (real, index)

    def of(self, network: Any, images: Tensor) -> list[Tensor] | None:
        """What `network.extract` returns for all real images of the step; None for any other images."""
        if self.batch is None or images.requires_grad or images.shape != self.batch[0].shape:
            return None
        real, index = self.batch
        return self.at(network, index) if images.data_ptr() == real.data_ptr() else None

    def at(self, network: Any, index: Tensor) -> list[Tensor] | None:
        """What `network.extract` returns for the images at `index` (n,), which is on the CPU.

        They are computed again if frozen tensors of the network have changed. None above the limit.
        """
        table = self.tables.get(id(network))
        if table is None or table.state != versions(network):
            table = self.tables[id(network)] = Table(network, self.pixels, self.engine)
        return table.at(index)


def free(engine: Engine) -> int:
    """Bytes that are free where the features go, for each process."""
    if engine.device.type == "cuda":
        return int(torch.cuda.mem_get_info(engine.device)[0])
    return free_memory() // engine.processes.count


def versions(network: Any) -> int:
    """A number that grows when a tensor outside of the network's blocks changes."""
    trained = {id(t) for block in blocks(network) for t in (*block.parameters(), *block.buffers())}
    tensors = [t for t in (*network.parameters(), *network.buffers()) if id(t) not in trained]
    return sum(0 if t.is_inference() else t._version for t in tensors)


def real_features(augment: Augment, batches: Batches, recipe: Recipe, engine: Engine) -> RealFeatures | None:
    """The features of real images; None if images are augmented, streamed, or used too rarely.

    None with CUDA graphs, too, because these replay a step on other images.
    """
    pixels = batches.pixels
    if type(augment) is not Augment or isinstance(pixels, Stream) or engine.graphs:
        return None
    used = recipe.steps * recipe.batch >= USES * len(pixels)
    return RealFeatures(pixels, engine) if used else None
