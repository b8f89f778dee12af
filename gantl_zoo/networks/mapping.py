"""Generators with an intermediate latent space, and the three steps from noise to images for all generators.

A generator may also give the images of its stages.

N batch, Z latent size, C channels, H, W image size, h image size of a stage.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from gantl_zoo.networks.base import call, num_classes_of


@runtime_checkable
class MappedGenerator(Protocol):
    """A generator with an intermediate latent space, such as StyleGAN's W.

    A network that has these three methods is one; `forward(noise, labels)` must give the images of
    `synthesize(map(noise, labels))`. An unconditional network's `map` is called without labels. In training
    mode `map` may move the mean of the latents, since training may call it instead of `forward`.
    """

    def map(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """Intermediate latents (N, ...) of noise (N, Z) and, if class-conditional, of labels (N,)."""

    def truncate(self, latents: Tensor, psi: float) -> Tensor:
        """Intermediate latents moved towards their mean: all the way for `psi` 0, not at all for 1."""

    def synthesize(self, latents: Tensor) -> Tensor:
        """Images (N, C, H, W) in [-1, 1] of intermediate latents (N, ...)."""


@runtime_checkable
class StagedGenerator(Protocol):
    """A generator with an image for each of its stages, such as the skip outputs of StyleGAN2."""

    def stage_images(self, latents: Tensor, labels: Tensor | None = None) -> list[Tensor]:
        """Images (N, C, h, h) of the stages, from coarse to fine, each larger than the one before.

        `latents` are those of `map_noise`. The last images are those of `synthesize`, or of `forward` without
        an intermediate latent space.
        """


def map_noise(network: Any, noise: Tensor, labels: Tensor | None) -> Tensor:
    """Intermediate latents of noise (N, Z); the noise itself if the network has no such space."""
    if not isinstance(network, MappedGenerator):
        return noise
    return network.map(noise, labels) if num_classes_of(network) else network.map(noise)


def truncate(network: Any, latents: Tensor, psi: float) -> Tensor:
    """Latents of `map_noise`, moved towards the mean; noise has mean 0, so it is scaled by `psi`."""
    if psi == 1:
        return latents
    return network.truncate(latents, psi) if isinstance(network, MappedGenerator) else latents * psi


def synthesize(network: Any, latents: Tensor, labels: Tensor | None) -> Tensor:
    """Images (N, C, H, W) of latents of `map_noise`; `labels` are for networks without such a space."""
    mapped = isinstance(network, MappedGenerator)
    images: Tensor = network.synthesize(latents) if mapped else call(network, latents, labels)
    return images


def stage_images(network: Any, latents: Tensor, labels: Tensor | None) -> list[Tensor]:
    """Images (N, C, h, h) of all stages, from coarse to fine; the last ones are those of `synthesize`.

    A network that has no such images has one stage.
    """
    if not isinstance(network, StagedGenerator):
        return [synthesize(network, latents, labels)]
    if isinstance(network, MappedGenerator) or not num_classes_of(network):
        return network.stage_images(latents)
    return network.stage_images(latents, labels)
