"""`projected` and `vision-aided`: discriminators on a frozen pretrained network.

They combine the two halves of the article: a pretrained CNN and a GAN.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional

from gantl_zoo import registry
from gantl_zoo.errors import UsageError
from gantl_zoo.model.gan import GAN
from gantl_zoo.networks.pretrained import pretrained_config
from gantl_zoo.networks.projected_backbone import projected_config, set_side, usual_side
from gantl_zoo.strategy.base import Batch, Group, Plan, TransferStrategy


class Projected(TransferStrategy):
    """Projected GAN: a new discriminator of four heads on frozen features (Sauer et al. 2021).

    The features are those of a pretrained network, mixed at random. The result has the new discriminator, and
    the source doesn't need one. Use it with the hinge loss and DiffAugment.
    Paper: https://arxiv.org/abs/2111.01007, section 3.

    `backbone`: trained classifier: name of a released one, folder of a saved one, or timm:NAME. "auto" means
        efficientnet-lite0-imagenet for colour images if the plug-in gantl-zoo-imagenet is installed, else a
        bundled classifier.
    `width`: number of channels of the finest mixed feature map, 64 in the paper. All others are multiples.
    `resize`: height and width to which images are resized for the backbone. None means 96 for smaller images
        if the backbone enlarges small images, else as the backbone does.
    """

    gans_only = "projected is for GANs; a classifier has no discriminator"

    def __init__(self, *, backbone: str = "auto", width: int = 16, resize: int | None = None) -> None:
        self.backbone, self.width, self.resize = backbone, width, resize

    def prepare(self, source: GAN, target: GAN, data: Any) -> Plan:
        settings = {"width": self.width, "resize": self.resize, "num_classes": target.num_classes}
        config = projected_config("projected", self.backbone, target.image_shape, **settings)
        discriminator = registry.discriminators.build("projected", **config)
        self.part = {"name": "projected", "config": discriminator.config}
        roles = {"generator": target.generator, "discriminator": discriminator}
        groups = {role: self.group(network, role) for role, network in roles.items()}
        return Plan(groups, discriminator=discriminator)

    def export(self, gan: GAN) -> GAN:
        parts = gan.parts | {"discriminator": self.part}
        return GAN(gan.generator, gan.discriminator, parts, gan.about, gan.name, gan.folder)


class VisionAided(TransferStrategy):
    """Vision-aided GAN: a second discriminator on frozen features (Kumari et al. 2022).

    The features are those of a pretrained network. The second discriminator has the non-saturating loss. It
    is dropped at the end: the result keeps the model's own discriminator.
    Paper: https://arxiv.org/abs/2112.09130, section 3.

    `backbone`: trained classifier: name of a released one, folder of a saved one, or timm:NAME. With "auto",
        images of up to 64 pixels a side get a bundled one, and larger images timm:tf_efficientnet_lite0,
        which is downloaded.
    `width`: number of channels of the hidden layer of each head.
    `resize`: height and width to which images are resized for the backbone. None means 96 for smaller images
        if the backbone enlarges small images, else as the backbone does.
    `weight`: factor of the second discriminator's loss; positive.
    `warmup`: number of steps before the second discriminator is used; 0 means from the start.
    `smoothing`: amount by which the labels of real images are below 1; at least 0 and below 1.

    Unlike in the paper, there is one backbone, chosen by the user; the logits of its scales are averaged
    before the loss; the warm-up is short, for small data sets.
    """

    gans_only = "vision-aided is for GANs; a classifier has no discriminator"

    def __init__(
        self,
        *,
        backbone: str = "auto",
        width: int = 64,
        resize: int | None = None,
        weight: float = 1.0,
        warmup: int = 200,
        smoothing: float = 0.1,
    ) -> None:
        if not (weight > 0 and warmup >= 0 and 0 <= smoothing < 1):
            raise UsageError(
                "vision-aided needs weight > 0, warmup >= 0 and 0 <= smoothing < 1, not "
                f"weight={weight}, warmup={warmup}, smoothing={smoothing}"
            )
        self.backbone, self.width, self.resize = backbone, width, resize
        self.weight, self.warmup, self.smoothing = weight, warmup, smoothing

    def prepare(self, source: GAN, target: GAN, data: Any) -> Plan:
        plan = super().prepare(source, target, data)
        config = pretrained_config("vision-aided", self.backbone, target.image_shape, width=self.width)
        self.second: Any = registry.discriminators.build("backbone", **config).train()
        arguments = {"resize": getattr(self.second.backbone, "resize", None)}
        if side := self.resize or usual_side(arguments, target.image_shape[1]):
            set_side(config["backbone"], self.second.backbone, side)
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
        known = batch.real_features(self.second)
        shown = self.second(batch.augment(batch.real)) if known is None else self.second.logits(known)
        real = shown.float()
        fake = self.second.logits([one.detach() for one in batch.fake_features(self.second)]).float()
        targets = real.new_full(real.shape, 1 - self.smoothing)
        loss = functional.binary_cross_entropy_with_logits(real, targets) + functional.softplus(fake).mean()
        return own | {"vision discriminator": self.weight * loss}

    def generator_loss(self, adversarial: Tensor, batch: Batch) -> dict[str, Tensor]:
        own = {"generator": adversarial}
        if batch.step < self.warmup:
            return own
        logits = self.second.logits(batch.fake_features(self.second)).float()
        loss = functional.softplus(-logits).mean()
        return own | {"vision generator": self.weight * loss}
