"""`Generator` and `Discriminator`: what a network must have; base classes and helpers.

A subclass of `BlockGenerator` or `BlockDiscriminator` defines `blocks`; the base class calls them in order.
Networks of plug-ins need not derive from these classes.

N batch, C channels, H, W image size, Z latent size.
"""

from __future__ import annotations

import copy
import hashlib
from abc import ABCMeta
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn

from gantl_zoo.errors import UsageError

Network = TypeVar("Network", bound=nn.Module)
if TYPE_CHECKING:
    ProtocolType = ABCMeta
else:
    ProtocolType = type(Protocol)


class OfNetworks(ProtocolType):
    """The type of a protocol for modules: `isinstance` also finds submodules.

    From Python 3.12 on, that of `typing` ignores what `__getattr__` returns, such as `blocks` of a module.
    """

    def __instancecheck__(cls, instance: Any) -> bool:
        names = cls.__dict__.get("__protocol_attrs__", ())  # empty in a class that implements the protocol
        return super().__instancecheck__(instance) or (
            bool(names) and all(hasattr(instance, name) for name in names)
        )


@runtime_checkable
class Generator(Protocol, metaclass=OfNetworks):
    """What a generator has: a `torch.nn.Module` that maps noise (N, Z) to images (N, C, H, W) in [-1, 1].

    The values may leave [-1, 1] if the last layer is not bounded; generated pictures are clamped. A
    class-conditional one also takes labels (N,). `blocks` run from the latent to the image, and contain each
    parameter that is trained. It may have an intermediate latent space (`mapping.MappedGenerator`), and may
    name the weights of the layers that take the latent (`latent_weights`).
    """

    @property
    def blocks(self) -> Iterable[nn.Module]: ...
    @property
    def latent_dim(self) -> int: ...
    @property
    def image_shape(self) -> tuple[int, int, int]: ...  # (C, H, W)
    @property
    def num_classes(self) -> int: ...  # it is conditioned on; 0 if it is unconditional
    def __call__(self, noise: Tensor, /) -> Tensor: ...


@runtime_checkable
class Discriminator(Protocol, metaclass=OfNetworks):
    """What a discriminator has: a `torch.nn.Module` that maps images (N, C, H, W) in [-1, 1] to logits (N,).

    Several logits of an image, (N, …), are allowed, such as one for each place. A class-conditional one also
    takes labels (N,). `blocks` run from the image to the logits, and contain each parameter that is trained.

    A discriminator with a loss of its own has a method `self_supervised`, called with the same arguments. It
    returns the logits and named loss terms, `{"name": term}`, from one forward pass. In its update training
    calls it instead of the discriminator for the augmented real images, and adds the terms to the loss. With
    `terms_of_fake = True` it is also called for the fake images, with `fake=True`.

    A discriminator in which the logit of an image depends on the other images of the batch has
    `mixes_images = True`. Then real and fake images are never passed in one batch.
    """

    @property
    def blocks(self) -> Iterable[nn.Module]: ...
    @property
    def image_shape(self) -> tuple[int, int, int]: ...  # (C, H, W)
    @property
    def num_classes(self) -> int: ...  # it is conditioned on; 0 if it is unconditional
    def __call__(self, images: Tensor, /) -> Tensor: ...


class BlockGenerator(nn.Module):
    """Maps noise (N, Z), and labels (N,) if class-conditional, to images (N, C, H, W) in [-1, 1].

    `blocks` run from the latent to the image. Together they hold all trainable parameters.
    """

    blocks: nn.ModuleList  # each called with features and labels
    latent_dim: int
    image_shape: tuple[int, int, int]  # (C, H, W)
    num_classes: int = 0  # 0 if unconditional

    def forward(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        features, labels = noise, need(self, labels)  # (N, Z)
        for block in self.blocks:
            features = block(features, labels)  # ... -> (N, C, H, W)
        return features


class BlockDiscriminator(nn.Module):
    """Maps images (N, C, H, W) in [-1, 1], and labels (N,) if class-conditional, to logits (N,).

    `blocks` run from the image to the logits. Only the last one, the head, takes labels.
    """

    blocks: nn.ModuleList  # each called with features, the last one with features and labels
    image_shape: tuple[int, int, int]  # (C, H, W)
    num_classes: int = 0  # 0 if unconditional

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        features = images
        *body, head = self.blocks
        for block in body:
            features = block(features)  # (N, C, H, W) -> ... -> (N, K, h, w)
        logits: Tensor = head(features, need(self, labels))  # (N, K, h, w) -> (N,)
        return logits


def feature_maps(blocks: Iterable[nn.Module], images: Tensor) -> list[Tensor]:
    """The output (N, K, h, w) of each block for images (N, C, H, W).

    Each block is called with the output of the one before. A block with a positive `skip_length` is called
    with the output of the block that many places before, too.
    """
    features, maps = images, list[Tensor]()
    for block in blocks:
        skip = getattr(block, "skip_length", 0)
        features = block(features, maps[-skip]) if skip else block(features)
        maps.append(features)
    return maps


def check_sizes(family: str, **sizes: int) -> None:
    """Raise `UsageError` if a size, such as the width, is below 1."""
    for key, value in sizes.items():
        if value < 1:
            raise UsageError(f"{family}: {key} must be at least 1, not {value}")


def need(network: Any, labels: Tensor | None) -> Tensor | None:
    """The labels if `network` is class-conditional, else None. Raises `UsageError` if they are missing."""
    if network.num_classes and labels is None:
        raise UsageError(
            f"{type(network).__name__} is conditioned on {network.num_classes} classes: pass a label from 0 "
            f"to {network.num_classes - 1} for each input"
        )
    return labels if network.num_classes else None


def num_classes_of(network: Any) -> int:
    """Number of classes a network is conditioned on; 0 if it is unconditional."""
    return int(getattr(network, "num_classes", 0))


def call(network: Any, inputs: Tensor, labels: Tensor | None) -> Any:
    """Call a network; labels (N,) are passed only to class-conditional networks."""
    return network(inputs, labels) if num_classes_of(network) else network(inputs)


def evaluating(network: Network) -> Network:
    """The network itself if it is in eval mode, else a copy in eval mode that shares its tensors.

    Evaluating the copy changes neither the modes nor the buffers of a network in training, in any thread.
    """
    return eval_view(network) if any(module.training for module in network.modules()) else network


def eval_view(network: Network) -> Network:
    """A copy in eval mode that shares all tensors and hook functions with `network`.

    Gradients of the copy are gradients of the shared parameters. Hooks added to the copy don't affect
    `network`.
    """
    shared: list[Any] = [*network.parameters(), *network.buffers()]
    for module in network.modules():
        for key, value in vars(module).items():
            if isinstance(value, Tensor):  # such as a weight that an old-style norm computes
                shared.append(value)
            elif key.endswith("_hooks") and isinstance(value, dict):
                shared += value.values()
    return copy.deepcopy(network, {id(one): one for one in shared}).eval()


def blocks(network: nn.Module) -> list[nn.Module]:
    """The blocks of a network: from the latent to the image, or from the image to the logits."""
    return list(network.blocks)  # type: ignore[arg-type]  # every registered network declares them


def digest(tensors: Mapping[str, Tensor]) -> str:
    """The first 16 hex digits of the SHA-256 of the tensors' names and contents."""
    sha = hashlib.sha256()
    for name in sorted(tensors):
        raw = tensors[name].detach().cpu().contiguous().reshape(-1).view(torch.uint8)  # NumPy has no bfloat16
        sha.update(name.encode() + raw.numpy().tobytes())
    return sha.hexdigest()[:16]
