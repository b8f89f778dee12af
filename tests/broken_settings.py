"""For each check of strategies, losses, augmentations, regularizers and the like, what breaks it alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import gantl_zoo as gz
from gantl_zoo.data.registered import sized
from gantl_zoo.training.losses import NonSaturating


def needing_more(*, width: int) -> None:
    raise AssertionError(width)


def failing() -> None:
    raise RuntimeError("can't")


BUILT: dict[str, Any] = {"arguments": needing_more, "builds": failing}


class Nothing:
    """Has none of the methods that it needs."""


class LastBlock(gz.TransferStrategy):
    def learns(self, network: nn.Module, role: str) -> list[nn.Module]:
        return list(network.blocks)[-1:]  # type: ignore[arg-type]


class NoPlan(gz.TransferStrategy):
    def prepare(self, source: gz.GAN, target: gz.GAN, data: Any) -> Any:
        return super().prepare(source, target, data).groups


class Foreign(gz.TransferStrategy):
    def prepare(self, source: gz.GAN, target: gz.GAN, data: Any) -> gz.Plan:
        plan = super().prepare(source, target, data)
        plan.groups["generator"].append(gz.Group([nn.Parameter(torch.zeros(1))]))
        return plan


class ChangesSource(gz.TransferStrategy):
    @torch.no_grad()
    def prepare(self, source: gz.GAN, target: gz.GAN, data: Any) -> gz.Plan:
        next(source.generator.parameters()).add_(1)
        return super().prepare(source, target, data)


class Switches(gz.TransferStrategy):
    def prepare(self, source: gz.GAN, target: gz.GAN, data: Any) -> gz.Plan:
        next(target.generator.parameters()).requires_grad_(False)
        return super().prepare(source, target, data)


class NotFinite(gz.TransferStrategy):
    def generator_loss(self, adversarial: Tensor, batch: gz.Batch) -> dict[str, Tensor]:
        return {"generator": adversarial * math.nan}


class MovesMore(LastBlock):
    def prepare(self, source: gz.GAN, target: gz.GAN, data: Any) -> gz.Plan:
        self.first = next(target.generator.parameters())
        return super().prepare(source, target, data)

    @torch.no_grad()
    def after_step(self, phase: str) -> None:
        self.first.add_(0.1)


class Forgets(gz.TransferStrategy):
    calls = 0

    def generator_loss(self, adversarial: Tensor, batch: gz.Batch) -> dict[str, Tensor]:
        self.calls += 1
        return {"generator": adversarial * self.calls + self.calls}

    @torch.no_grad()
    def after_step(self, phase: str) -> None:
        if phase == "generator":
            next(self.network.parameters()).add_(self.calls)

    def prepare(self, source: gz.GAN, target: gz.GAN, data: Any) -> gz.Plan:
        self.network = target.generator
        return super().prepare(source, target, data)


class KeepsItsPart(gz.TransferStrategy):
    def prepare(self, source: gz.GAN, target: gz.GAN, data: Any) -> gz.Plan:
        next(iter(target.generator.blocks)).register_parameter("own", nn.Parameter(torch.zeros(1)))
        return super().prepare(source, target, data)


class NotForClassifiers(gz.TransferStrategy):
    def prepare_backbone(self, backbone: nn.Module) -> Any:
        return None


STRATEGIES: dict[str, Any] = BUILT | {
    "strategy": Nothing,
    "plan": NoPlan,
    "own-parameters": Foreign,
    "source-kept": ChangesSource,
    "flags-kept": Switches,
    "steps": NotFinite,
    "moves": MovesMore,
    "resumes": Forgets,
    "exports": KeepsItsPart,
    "classifiers": NotForClassifiers,
}


class OnlyDiscriminator:
    def discriminator(self, critic: Any, real: Tensor, fake: Tensor) -> Tensor:
        return NonSaturating().discriminator(critic, real, fake)


class EachImage(NonSaturating):
    def generator(self, critic: Any, real: Tensor, fake: Tensor) -> Tensor:
        logits: Tensor = critic(fake)
        return -logits


class Detached(NonSaturating):
    def discriminator(self, critic: Any, real: Tensor, fake: Tensor) -> Tensor:
        return super().discriminator(critic, real, fake).detach()


class Counted:
    """Counts the calls, which a resumed run starts anew."""

    calls = 0

    def factor(self) -> float:
        self.calls += 1
        return 1.0 + self.calls


class Late(Counted):
    """Is not finite from the third call on."""

    def factor(self) -> float:
        self.calls += 1
        return math.nan if self.calls > 2 else 1.0


class CountingLoss(Counted, NonSaturating):
    def discriminator(self, critic: Any, real: Tensor, fake: Tensor) -> Tensor:
        margin = self.factor()
        return (super().discriminator(critic, real, fake) - margin).square()


class LateLoss(Late, NonSaturating):
    def discriminator(self, critic: Any, real: Tensor, fake: Tensor) -> Tensor:
        return super().discriminator(critic, real, fake) * self.factor()


LOSSES: dict[str, Any] = BUILT | {
    "methods": OnlyDiscriminator,
    "scalar": EachImage,
    "gradient": Detached,
    "steps": LateLoss,
    "resumes": CountingLoss,
}


class Cropped(gz.Augment):
    def forward(self, images: Tensor) -> Tensor:
        return images[..., 1:]


class InPlace(gz.Augment):
    def forward(self, images: Tensor) -> Tensor:
        return images.mul_(0.9)


class Cut(gz.Augment):
    def forward(self, images: Tensor) -> Tensor:
        return images.detach() * 0.9


class LateAugment(Late, gz.Augment):
    def forward(self, images: Tensor) -> Tensor:
        return images * self.factor()


class CountingAugment(Counted, gz.Augment):
    def forward(self, images: Tensor) -> Tensor:
        return images * self.factor() / 10


class LateShape(LateAugment):
    """As `LateAugment`, but later: the checks before the steps call it, too."""

    def factor(self) -> float:
        self.calls += 1
        return math.nan if self.calls > 4 else 1.0


AUGMENTATIONS: dict[str, Any] = BUILT | {
    "augmentation": nn.Identity,
    "shape": Cropped,
    "input-kept": InPlace,
    "differentiable": Cut,
    "steps": LateShape,
    "resumes": CountingAugment,
}


class Undeclared(gz.Regularizer):
    def mapped_latents(self, latents: Tensor, draw: Any) -> Tensor:
        return latents * 1


class LateTerm(Late, gz.Regularizer):
    def generator(self, critic: Any, batch: gz.Batch) -> dict[str, Tensor]:
        return {"own": batch.fake.mean() * self.factor()}


class CountingTerm(Counted, gz.Regularizer):
    def generator(self, critic: Any, batch: gz.Batch) -> dict[str, Tensor]:
        return {"own": (batch.fake.mean() - self.factor()).square()}


REGULARIZERS: dict[str, Any] = BUILT | {
    "regularizer": nn.Identity,
    "latent-space": Undeclared,
    "steps": LateTerm,
    "resumes": CountingTerm,
}

PRESETS: dict[str, Any] = {
    "recipe": gz.Preset(description="No steps.", settings={"steps": -1}, measured="nowhere"),
}


def digits(split: str, count: int = 40, top: int = 255) -> gz.ImageData:
    """Random images, others in each split, in two classes."""
    random = torch.Generator().manual_seed(len(split))
    pixels = torch.randint(0, top + 1, (count, 1, 8, 8), dtype=torch.uint8, generator=random)
    return gz.ImageData(pixels, torch.arange(count) % 2, ("a", "b"))


def keyword_only(*, split: str = "train") -> gz.ImageData:
    return digits(split)


def two_shapes(split: str) -> gz.ImageData:
    images = digits(split)
    return images if split == "train" else gz.ImageData(images.images[..., 1:], images.labels, images.classes)


def binary(split: str) -> gz.ImageData:
    return digits(split, top=1)


def too_few_names(split: str) -> gz.ImageData:
    images = digits(split)
    return gz.ImageData(images.images, images.labels, ("a",))


@sized(41, 40, (1, 8, 8))
def wrongly_declared(split: str) -> gz.ImageData:
    return digits(split)


def drawn_anew(split: str) -> gz.ImageData:
    images = digits(split)
    return gz.ImageData(
        torch.randint(0, 256, (40, 1, 8, 8), dtype=torch.uint8), images.labels, images.classes
    )


def same_images(split: str) -> gz.ImageData:
    return digits("train")


DATASETS: dict[str, Any] = {
    "function": keyword_only,
    "splits": two_shapes,
    "pixels": binary,
    "labels": too_few_names,
    "declared-size": wrongly_declared,
    "same-twice": drawn_anew,
    "held-out": same_images,
}


class Mean(gz.Metric):
    """A metric that passes all checks."""

    lower: tuple[str, ...] = ("mean",)

    def measure(self, fake: Any, real: Any, train: Any) -> Mapping[str, float]:
        return {"mean": float((fake.features.mean() - real.features.mean()).abs())}


class NaN(Mean):
    def measure(self, fake: Any, real: Any, train: Any) -> Mapping[str, float]:
        return {"mean": math.nan}


class OtherNames(Mean):
    lower = ("median",)


class Random(Mean):
    def measure(self, fake: Any, real: Any, train: Any) -> Mapping[str, float]:
        return {"mean": float(torch.rand(()))}


class OtherFloor(Mean):
    def floor(self, stand_in: Any, real: Any, train: Any) -> Mapping[str, float]:
        return {"floor": 0.0}


METRICS: dict[str, Any] = BUILT | {
    "metric": Nothing,
    "values": NaN,
    "directions": OtherNames,
    "same-twice": Random,
    "floor": OtherFloor,
}

WEIGHTS: dict[str, Any] = {"file": lambda: Path("nothing.safetensors")}
FORMATS: dict[str, Any] = {"format": Nothing}
