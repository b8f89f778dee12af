"""`scale-shift`: train only the scale and shift of norms, and freeze all other weights.

The idea is that of BatchStat (Noguchi & Harada 2019, https://arxiv.org/abs/1904.01774, section 3). By default
training is adversarial. With `latents`, as in the paper, there is no discriminator: the generator
reconstructs each training image from its own trained latent.

N batch, C channels, H, W image size, Z latent size.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from gantl_zoo.errors import UsageError
from gantl_zoo.model.gan import GAN
from gantl_zoo.networks.backbones.discriminator_features import DiscriminatorBackbone
from gantl_zoo.networks.base import blocks, call
from gantl_zoo.strategy.base import Batch, Group, Plan, TransferStrategy, roles_of, unique

LIMIT = 10_000  # images with latents of their own
DIRECTIONS = 64  # random projections of the sliced distance
NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)


class ScaleShift(TransferStrategy):
    """Train only the scale and shift of the norms (BatchStat, Noguchi & Harada 2019).

    In StyleGAN2's generator these are the layers that map intermediate latents to styles, and the biases. In
    a classifier the last block is trained, too. Paper: https://arxiv.org/abs/1904.01774, section 3.

    `network`: network of which only the norms are trained: "generator", "discriminator" or "both". The other
        one is fully fine-tuned.
    `latents`: whether the generator reconstructs each training image from a trained latent of its own, as in
        the paper, without a discriminator. The other arguments below have an effect only then.
    `perceptual`: factor of the L1 distance of the source discriminator's features; at least 0.
    `normal`: factor of the distance of the latents from the normal distribution (equation 3); at least 0.
    `rate`: factor of the learning rate for the latents; positive.

    Unlike in the paper, features come from the discriminator instead of VGG and have the weight 0.1 instead
    of 0.001; the distance is the sliced Wasserstein distance; scale and shift have no regularisation.
    Raises `UsageError` for a network without norms.
    """

    def __init__(
        self,
        *,
        network: str = "generator",
        latents: bool = False,
        perceptual: float = 0.1,
        normal: float = 0.1,
        rate: float = 10.0,
    ) -> None:
        self.roles = roles_of("scale-shift", network)
        self.per_image, self.perceptual, self.normal, self.rate = latents, perceptual, normal, rate
        if latents and network != "generator":
            raise UsageError("scale-shift: latents=true trains only the generator; leave network out")
        if min(perceptual, normal) < 0 or rate <= 0:
            raise UsageError("scale-shift: perceptual and normal must be at least 0, and rate positive")

    def prepare(self, source: GAN, target: GAN, data: Any) -> Plan:
        if not self.per_image:
            return super().prepare(source, target, data)
        self.reconstruction = Reconstruction(source, data, perceptual=self.perceptual > 0)
        latents = Group(list(self.reconstruction.latents.parameters()), self.rate)
        groups = {"generator": [*self.group(target.generator, "generator"), latents]}
        return Plan(groups, modules={"scale-shift": self.reconstruction})

    def group(self, network: nn.Module, role: str) -> list[Group]:
        if role not in self.roles:
            return super().group(network, role)
        layers = [layer for block in blocks(network) for layer in block.modules()]
        parameters = unique(p for layer in layers for p in scale_and_shift(layer))
        if not parameters:
            raise UsageError(f"scale-shift: the {role} {type(network).__name__} has no norms with a scale")
        if role == "backbone":
            parameters = unique([*parameters, *blocks(network)[-1].parameters()])
        return [Group(parameters)]

    def generator_loss(self, adversarial: Tensor, batch: Batch) -> dict[str, Tensor]:
        if not self.per_image:
            return {"generator": adversarial}
        pixels, features, gap = self.reconstruction(batch.generator, len(batch.real))
        return {"pixels": pixels, "features": self.perceptual * features, "latents": self.normal * gap}


def scale_and_shift(layer: Any) -> list[nn.Parameter]:
    """The parameters with which a layer scales and shifts its features; empty for most layers.

    A layer that is not a norm, such as a modulated convolution, lists them in `scale_and_shift`.
    """
    if isinstance(layer, NORMS):
        return list(layer.parameters(recurse=False))
    parameters: list[nn.Parameter] = list(getattr(layer, "scale_and_shift", ()))
    return parameters


class Reconstruction(nn.Module):
    """Latents of all training images, and the loss of reconstructing the images from them."""

    pixels: Tensor
    labels: Tensor | None  # of the images, if the generator is class-conditional

    def __init__(self, source: GAN, data: Any, perceptual: bool = True) -> None:
        super().__init__()
        if len(data) > LIMIT:
            raise UsageError(
                f"scale-shift: latents=true takes up to {LIMIT:,} images, not {len(data):,}; take fewer with "
                "--shots, or leave latents out"
            )
        self.latents = nn.ParameterList([nn.Parameter(torch.randn(len(data), source.latent_dim))])
        self.register_buffer("pixels", data.images[torch.arange(len(data))], persistent=False)
        self.register_buffer("labels", data.labels if source.num_classes else None, persistent=False)
        self.eye: nn.Module | None = None  # feature extractor; its name is a prefix in checkpoints
        if source.discriminator is not None and perceptual:
            config = {"network": source.parts["discriminator"]["name"]}
            discriminator = copy.deepcopy(source.discriminator)  # the source must not change
            try:
                self.eye = DiscriminatorBackbone(discriminator, 1, 1, config).requires_grad_(False)
            except UsageError as error:
                raise UsageError(f"scale-shift: {error}, or pass perceptual=0") from error

    def forward(self, generator: nn.Module, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """The three loss terms (pixels, features, latents) on `count` random images."""
        (latents,) = self.latents
        index = torch.randint(len(latents), (count,), device=latents.device)
        real = self.pixels[index].float() / 127.5 - 1  # (N, C, H, W) in [-1, 1]
        fake = call(generator, latents[index], None if self.labels is None else self.labels[index]).float()
        features = fake.new_zeros(())
        if isinstance(self.eye, DiscriminatorBackbone):
            maps = zip(self.eye.pyramid(fake), self.eye.pyramid(real), strict=True)
            losses = [functional.l1_loss(fake_map, real_map) for fake_map, real_map in maps]
            features = torch.stack(losses).mean()
        return functional.l1_loss(fake, real), features, normal_gap(latents)


def normal_gap(latents: Tensor) -> Tensor:
    """Squared sliced Wasserstein distance of latents (n, Z) from the standard normal distribution.

    It is averaged over random directions (Bonneel et al. 2015, section 3.1).
    """
    directions = functional.normalize(torch.randn(latents.shape[1], DIRECTIONS, device=latents.device), dim=0)
    levels = (torch.arange(len(latents), device=latents.device) + 0.5) / len(latents)
    quantiles = torch.special.ndtri(levels)  # (n,)
    gaps: Tensor = (latents @ directions).sort(dim=0).values - quantiles[:, None]  # (n, DIRECTIONS)
    return gaps.square().mean()
