"""`scale-shift`: of the norms only scale and shift learn, every filter stays as it is.

The idea of BatchStat (Noguchi & Harada 2019, https://arxiv.org/abs/1904.01774, section 3): against a
discriminator, or with `latents` as in the paper: without one, on a latent for each image.

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
from gantl_zoo.strategy.base import Batch, Group, Plan, TransferStrategy, unique, which

LIMIT, WAYS = 10_000, 64  # images; random directions
NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)


class ScaleShift(TransferStrategy):
    """Scale and shift of the norms in the `network` ("generator", "discriminator" or "both") learn.

    With `latents` the generator alone learns, to paint each training image from a latent of its own: L1 of
    the pixels, `perceptual` times L1 of the source discriminator's features (the paper: VGG's), and `normal`
    times the distance of the latents from the normal distribution that samples are drawn from (equation 3;
    the distance here is the 1-D Wasserstein one, averaged over directions). Latents learn at `rate` times the
    learning rate. Differs from the paper, too, in that nothing pulls scale and shift back, and that features
    weigh 0.1 (there 0.001). A classifier's last block learns, too. Raises `UsageError` without norms.
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
        self.roles = which("scale-shift", network)
        self.per_image, self.perceptual, self.normal, self.rate = latents, perceptual, normal, rate
        if latents and network != "generator":
            raise UsageError("scale-shift: latents=true does without a discriminator; leave network out")
        if min(perceptual, normal) < 0 or rate <= 0:
            raise UsageError("scale-shift: perceptual and normal must not be negative, rate be positive")

    def prepare(self, source: GAN, target: GAN, data: Any) -> Plan:
        if not self.per_image:
            return super().prepare(source, target, data)
        self.painter = Painter(source, data, eye=self.perceptual > 0)
        latents = Group(list(self.painter.latents.parameters()), self.rate)
        groups = {"generator": [*self.group(target.generator, "generator"), latents]}
        return Plan(groups, modules={"scale-shift": self.painter})

    def group(self, network: nn.Module, role: str) -> list[Group]:
        if role not in self.roles:
            return super().group(network, role)
        norms = [m for block in blocks(network) for m in block.modules() if isinstance(m, NORMS)]
        found = unique(p for norm in norms for p in norm.parameters(recurse=False))
        if not found:
            raise UsageError(f"scale-shift: the {role} {type(network).__name__} has no norms with a scale")
        if role == "backbone":
            found = unique([*found, *blocks(network)[-1].parameters()])
        return [Group(found)]

    def generator_loss(self, adversarial: Tensor, batch: Batch) -> dict[str, Tensor]:
        if not self.per_image:
            return {"generator": adversarial}
        pixels, features, gap = self.painter(batch.generator, len(batch.real))
        return {"pixels": pixels, "features": self.perceptual * features, "latents": self.normal * gap}


class Painter(nn.Module):
    """A latent for each training image, and how well a generator paints the images from them."""

    pixels: Tensor
    labels: Tensor | None  # of the images, if the generator is class-conditional

    def __init__(self, source: GAN, data: Any, eye: bool = True) -> None:
        super().__init__()
        if len(data) > LIMIT:
            raise UsageError(
                f"scale-shift: latents=true keeps a latent for each image, up to {LIMIT:,}, not "
                f"{len(data):,}; take fewer with --shots, or leave latents out"
            )
        self.latents = nn.ParameterList([nn.Parameter(torch.randn(len(data), source.latent_dim))])
        self.register_buffer("pixels", data.images[torch.arange(len(data))], persistent=False)
        self.register_buffer("labels", data.labels if source.num_classes else None, persistent=False)
        self.eye: nn.Module | None = None
        if source.discriminator is not None and eye:
            named = {"network": source.parts["discriminator"]["name"]}
            discriminator = copy.deepcopy(source.discriminator)  # the source stays as it is
            try:
                self.eye = DiscriminatorBackbone(discriminator, 1, 1, named).requires_grad_(False)
            except UsageError as error:
                raise UsageError(f"scale-shift: {error}; perceptual=0 does without") from error

    def forward(self, generator: nn.Module, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """The three terms on `count` random images: pixels, features, latents."""
        (latents,) = self.latents
        index = torch.randint(len(latents), (count,), device=latents.device)
        real = self.pixels[index].float() / 127.5 - 1  # (N, C, H, W), as real images come
        made = call(generator, latents[index], None if self.labels is None else self.labels[index]).float()
        features = made.new_zeros(())
        if isinstance(self.eye, DiscriminatorBackbone):
            maps = zip(self.eye.pyramid(made), self.eye.pyramid(real), strict=True)
            gaps = [functional.l1_loss(ours, theirs) for ours, theirs in maps]
            features = torch.stack(gaps).mean()
        return functional.l1_loss(made, real), features, normal_gap(latents)


def normal_gap(latents: Tensor) -> Tensor:
    """Squared Wasserstein distance of latents (n, Z) from the standard normal, averaged over random
    directions (sliced: Bonneel et al. 2015, section 3.1).
    """
    ways = functional.normalize(torch.randn(latents.shape[1], WAYS, device=latents.device), dim=0)
    spots = (torch.arange(len(latents), device=latents.device) + 0.5) / len(latents)
    wanted = torch.special.ndtri(spots)  # (n,), the normal's quantiles
    gaps: Tensor = (latents @ ways).sort(dim=0).values - wanted[:, None]  # (n, WAYS)
    return gaps.square().mean()
