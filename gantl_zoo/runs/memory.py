"""Estimate how much memory a run needs before it allocates any."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from gantl_zoo import data as data_room, registry
from gantl_zoo.data import ImageData
from gantl_zoo.data.memory import free_memory, memory_limit
from gantl_zoo.errors import UsageError, ZooError
from gantl_zoo.networks.base import call, evaluating
from gantl_zoo.runs.job import Networks
from gantl_zoo.runs.spec import DataSpec
from gantl_zoo.seeding import seeded
from gantl_zoo.training.engine import Engine
from gantl_zoo.training.recipe import Recipe
from gantl_zoo.training.setup import Setup

PROBED = 2  # images per measurement of the activations
STATES = 4  # values per weight: the weight, its gradient, two moments of Adam
SPARE = 1 << 28  # bytes; a run with a smaller estimate is never refused


def check_networks(generator: str, spec: DataSpec, networks: Networks) -> None:
    """Raise `UsageError` for a size that is not supported or needs more than the free memory.

    Counts the generator's weights and the images. Reads no images and allocates no weights.
    """
    size = spec.image_size
    if isinstance(size, bool) or not isinstance(size, Integral) or int(size) < 1:
        return  # not a valid size, which is refused when the images are read
    config = registry.generators.configure(generator, **networks.generator_config)
    sizes = {"image_size": int(size), "channels": spec.channels or 3}
    arguments = {key: value for key, value in sizes.items() if key in config} | networks.generator_config
    weights = weights_of(generator, arguments)
    images = data_room.estimate(spec.source, image_size=size, channels=spec.channels) or 0
    images = min(images, memory_limit())  # larger sets are streamed
    where = f"{generator} at {size}×{size} with its images"
    check(where, weights + images, free_memory(), "choose a smaller --image-size")


def weights_of(generator: str, config: Mapping[str, Any]) -> int:
    """Bytes of a generator's weights, gradients and moments. Allocates none; 0 if that is impossible."""
    try:
        with torch.device("meta"):
            return STATES * bytes_of(registry.generators.build_empty(generator, **config))
    except ZooError:
        raise
    except Exception:  # the builder of a plug-in may need real memory; its errors appear when it builds
        return 0


def check_weights(generator: str, config: Mapping[str, Any]) -> None:
    """Raise `UsageError` for a generator whose weights exceed the free memory."""
    check(
        f"{generator} with its gradients",
        weights_of(generator, config),
        free_memory(),
        "choose a smaller width",
    )


def check_classifier(backbone: nn.Module, images: ImageData, batch: int) -> None:
    """Raise `UsageError` if a training step of a classifier exceeds the free memory."""
    shape = (PROBED, *images.shape)
    passing = kept_for_backward([backbone], lambda it, device: it(torch.zeros(shape, device=device)))
    need = STATES * bytes_of(backbone) + passing * min(batch, len(images)) // PROBED
    what = f"a step of {min(batch, len(images))} images at {shape[2]}×{shape[3]}"
    check(what, need, free_memory(), "choose a smaller --image-size or --batch")


def check_step(setup: Setup, images: ImageData, recipe: Recipe, machine: Engine) -> None:
    """Raise `UsageError` if training exceeds the free memory of the device.

    On GPUs each process has its own device, which holds its share of the batch and a copy of the images. On a
    CPU all processes share the memory, which holds the whole batch; the images are already loaded.
    """
    on_gpu = machine.device.type == "cuda"
    need = needed(setup.networks, images, recipe, machine.processes.count if on_gpu else 1)
    passing = need.activations if machine.precision == "fp32" else need.activations // 2
    free = torch.cuda.mem_get_info(machine.device)[0] if on_gpu else free_memory()
    remedy = "choose a smaller --image-size, --batch or width, or more rounds with --accumulate"
    what = f"a step of {recipe.batch // recipe.accumulate} images at {images.shape[1]}×{images.shape[2]}"
    check(what, need.weights + passing + (need.images if on_gpu else 0), free, remedy)


def check(what: str, bytes_needed: int, free: int, remedy: str) -> None:
    """Raise `UsageError` if fewer than `bytes_needed` are free."""
    if bytes_needed > max(free, SPARE):
        raise UsageError(
            f"{what} needs about {bytes_needed / 2**30:,.1f} GiB of memory, but {free / 2**30:,.1f} GiB are "
            f"free: {remedy}"
        )


class Needed(NamedTuple):
    """Memory that a run needs on one device, in bytes."""

    weights: int  # with their gradients, the optimizers' moments and the generator's average
    images: int
    activations: int  # of one step, in float32


def needed(networks: Mapping[str, Any], images: ImageData, recipe: Recipe, devices: int = 1) -> Needed:
    """The memory that a run needs on each of its `devices`, which share each batch."""
    weights = {role: bytes_of(network) for role, network in networks.items()}
    kept = STATES * sum(weights.values()) + weights["generator"]
    at_once = max(1, recipe.batch // (recipe.accumulate * devices))
    return Needed(kept, images.images.numel(), activations(networks, at_once))


def disk_needed(networks: Mapping[str, nn.Module], checkpoints: int) -> int:
    """Bytes of a run's model and its `checkpoints`: weights, two moments of each, the moving average."""
    weights = {role: bytes_of(network) for role, network in networks.items()}
    checkpoint = (STATES - 1) * sum(weights.values()) + weights["generator"]
    return checkpoints * checkpoint + sum(weights.values())


def bytes_of(network: nn.Module) -> int:
    """Bytes of a network's parameters in float32."""
    return 4 * sum(parameter.numel() for parameter in network.parameters())


def activations(networks: Mapping[str, Any], images: int) -> int:
    """Bytes that a discriminator update keeps for the backward pass in float32, measured on two images."""
    players = [networks[role] for role in ("generator", "discriminator")]
    latent_dim = players[0].latent_dim

    def forward(generator: Any, discriminator: Any, device: str) -> None:
        labels = torch.zeros(2 * PROBED, dtype=torch.long, device=device)
        fake = call(generator, torch.zeros(PROBED, latent_dim, device=device), labels[:PROBED])
        call(discriminator, torch.cat([fake, fake]), labels)

    return kept_for_backward(players, forward) * images // PROBED


def kept_for_backward(networks: Sequence[nn.Module], forward: Callable[..., object]) -> int:
    """Bytes of the tensors that `forward(*networks, device)` keeps for the backward pass.

    They are counted on the meta device, or on the CPU if a network can't run on that.
    """
    try:
        return _counted([copy.deepcopy(evaluating(n)).to("meta") for n in networks], forward, "meta")
    except (NotImplementedError, RuntimeError):
        return _counted([evaluating(network) for network in networks], forward, "cpu")


def _counted(networks: Sequence[nn.Module], forward: Callable[..., object], device: str) -> int:
    weights = {p.untyped_storage()._cdata for network in networks for p in network.parameters()}
    sizes: dict[int, int] = {}
    kept: list[Tensor] = []  # so that no storage is freed and its id reused for another

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            sizes[storage._cdata] = storage.nbytes()
            kept.append(tensor)
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor)
    with seeded(0), torch.enable_grad(), hooks:
        forward(*networks, device)
    return sum(sizes.values())
