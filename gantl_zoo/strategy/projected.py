"""`projected` and `vision-aided`: the discriminator stands on a pre-trained network.

Where the article's two halves meet: a pre-trained CNN under the GAN.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from gantl_zoo import registry
from gantl_zoo.errors import UsageError
from gantl_zoo.model.gan import GAN
from gantl_zoo.networks.pretrained import pretrained_config
from gantl_zoo.strategy.base import Batch, Group, Plan, TransferStrategy


class Projected(TransferStrategy):
    """Projected GAN (Sauer et al. 2021, https://arxiv.org/abs/2111.01007, section 3): the discriminator
    becomes small heads on frozen, randomly mixed features of `backbone`.

    Wants `loss="hinge"` and DiffAugment. `width` is that of the heads. The source needs no discriminator;
    the result has the new one. Differs from the paper: an image's logits, of all places and scales, are
    averaged before the loss.
    """

    gans_only = "projected is for GANs; a classifier has no discriminator"

    def __init__(self, *, backbone: str = "auto", width: int = 64) -> None:
        self.backbone, self.width = backbone, width

    def prepare(self, source: GAN, target: GAN, data: Any) -> Plan:
        config = pretrained_config("projected", self.backbone, target.image_shape, width=self.width, mix=True)
        self.part = {"name": "backbone", "config": config}
        discriminator = registry.discriminators.build("backbone", **config)
        roles = {"generator": target.generator, "discriminator": discriminator}
        groups = {role: self.group(network, role) for role, network in roles.items()}
        return Plan(groups, discriminator=discriminator)

    def export(self, gan: GAN) -> GAN:
        parts = gan.parts | {"discriminator": self.part}
        return GAN(gan.generator, gan.discriminator, parts, gan.about, gan.name, gan.folder)


class VisionAided(TransferStrategy):
    """Vision-aided GAN (Kumari et al. 2022, https://arxiv.org/abs/2112.09130, section 3): a second
    discriminator, small heads on frozen features of `backbone`, is trained beside the own one.

    It begins at step `warmup`. Its loss is the non-saturating one with one-sided label smoothing, times
    `weight`. It is left behind at the end: the result keeps its own discriminator.

    Differs from the paper: one backbone, chosen by hand; its scales are averaged into one logit before the
    loss; the warm-up is short, for small data.
    """

    gans_only = "vision-aided is for GANs; a classifier has no discriminator"

    def __init__(
        self,
        *,
        backbone: str = "auto",
        width: int = 64,
        weight: float = 1.0,
        warmup: int = 200,
        smoothing: float = 0.1,
    ) -> None:
        if not (weight > 0 and warmup >= 0 and 0 <= smoothing < 1):
            raise UsageError(
                f"vision-aided needs weight > 0, warmup >= 0 and smoothing from 0 to below 1: {weight}, "
                f"{warmup}, {smoothing}"
            )
        self.backbone, self.width = backbone, width
        self.weight, self.warmup, self.smoothing = weight, warmup, smoothing

    def prepare(self, source: GAN, target: GAN, data: Any) -> Plan:
        plan = super().prepare(source, target, data)
        config = pretrained_config("vision-aided", self.backbone, target.image_shape, width=self.width)
        self.second: nn.Module = registry.discriminators.build("backbone", **config).train()
        self.heads = Group(list(self.second.heads.parameters()), active=False)
        plan.groups["discriminator"].append(self.heads)
        plan.modules["vision"] = self.second
        return plan

    def on_step(self, step: int, plan: Plan) -> None:
        self.heads.active = step >= self.warmup

    def discriminator_loss(self, adversarial: Tensor, batch: Batch) -> dict[str, Tensor]:
        own = {"discriminator": adversarial}
        if batch.step < self.warmup:
            return own
        real, fake = (self.look(batch, images) for images in (batch.real, batch.fake.detach()))
        wanted = real.new_full(real.shape, 1 - self.smoothing)  # real ones are never quite certain
        loss = functional.binary_cross_entropy_with_logits(real, wanted) + functional.softplus(fake).mean()
        return own | {"vision discriminator": self.weight * loss}

    def generator_loss(self, adversarial: Tensor, batch: Batch) -> dict[str, Tensor]:
        own = {"generator": adversarial}
        if batch.step < self.warmup:
            return own
        loss = functional.softplus(-self.look(batch, batch.fake)).mean()
        return own | {"vision generator": self.weight * loss}

    def look(self, batch: Batch, images: Tensor) -> Tensor:
        """Logits (N,) of the second discriminator, for augmented images as the first one gets them."""
        logits: Tensor = self.second(batch.augment(images))
        return logits.float()
