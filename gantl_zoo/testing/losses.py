"""Checks of losses, augmentations and regularizers, on small networks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gantl_zoo.data import to_float
from gantl_zoo.model.gan import GAN, build_gan
from gantl_zoo.seeding import seeded
from gantl_zoo.testing.probes import (
    BATCH,
    SmallDiscriminator,
    SmallGenerator,
    continued,
    differing,
    images_for,
    small_gan,
    tensors,
    train,
    trainer_of,
)
from gantl_zoo.testing.subject import Subject, begun, check_class
from gantl_zoo.training.augment.base import Augment
from gantl_zoo.training.critic import Critic
from gantl_zoo.training.losses import build_loss, is_adversarial
from gantl_zoo.training.regularizers.base import Regularizer
from gantl_zoo.training.trainer import Trainer

SHAPE = (1, 28, 28)
LOSSES, AUGMENTATIONS, REGULARIZERS = begun(), begun(), begun()


@dataclass
class Setting(Subject):
    """A registered loss, augmentation or regularizer: a setting of a recipe."""

    def trainer(self) -> Trainer:
        """A trainer of a small GAN with this setting."""
        option = {"losses": "loss", "augmentations": "aug", "regularizers": "regularizer"}[self.kind]
        settings: dict[str, Any] = {option: self.name, f"{option}_config": dict(self.config)}
        needs = self.kind == "regularizers" and (self.built.latent_space or self.built.stages)
        return trainer_of(mapped_gan() if needs else small_gan(), **settings)


def mapped_gan() -> GAN:
    """A small GAN whose generator has an intermediate latent space, and an image for each stage."""
    small = {"image_size": 8, "channels": 1, "channel_base": 32, "channel_max": 4}
    own = small | {"w_dim": 8, "latent_dim": 8, "mapping_layers": 1}
    with seeded(0):
        return build_gan("stylegan2", generator_config=own, discriminator_config=small)


@LOSSES.check("methods", "builds")
def methods(subject: Setting) -> str:
    """A loss has the methods `discriminator` and `generator`; with `adversarial = False` only the latter."""
    build_loss(subject.name, subject.config)
    return ""


@LOSSES.check("scalar", "methods")
def scalar(subject: Setting) -> str:
    """A loss is a finite scalar tensor."""
    for role, value in values(subject)[0].items():
        if not isinstance(value, Tensor):
            return f"{role} returns a {type(value).__name__}; return a tensor"
        if value.ndim:
            return f"{role} returns a tensor of the shape {tuple(value.shape)}; take the mean"
        if not value.isfinite():
            return f"{role} returns {float(value)}; check for logarithms of 0 and divisions by 0"
    return ""


@LOSSES.check("gradient", "scalar")
def gradient(subject: Setting) -> str:
    """The generator's loss has a gradient at the fake images, the discriminator's at its weights."""
    losses, fake, network = values(subject)
    targets: dict[str, list[Tensor]] = {"generator": [fake], "discriminator": list(network.parameters())}
    for role, value in losses.items():
        if not value.requires_grad:
            return f"{role} has no gradient; do not detach or convert its tensors"
        slopes = torch.autograd.grad(value, targets[role], allow_unused=True, retain_graph=True)
        known = [slope for slope in slopes if slope is not None]
        if not known or not any(slope.any() for slope in known):
            return f"{role} has the gradient 0; it depends on nothing that is trained"
        if not all(slope.isfinite().all() for slope in known):
            return f"the gradient of {role} is not finite"
    return ""


def values(subject: Setting) -> tuple[dict[str, Any], Tensor, SmallDiscriminator]:
    """The value of each method, the fake images that it had, and the discriminator."""
    with seeded(0), torch.enable_grad():
        network = SmallDiscriminator(SHAPE)
        real = to_float(images_for(SHAPE, count=BATCH).images)
        fake = SmallGenerator(SHAPE)(torch.randn(BATCH, 8)).detach().requires_grad_()
        loss: Any = build_loss(subject.name, subject.config)
        roles = ["discriminator", "generator"] if is_adversarial(loss) else ["generator"]
        return {role: getattr(loss, role)(Critic(network), real, fake) for role in roles}, fake, network


@AUGMENTATIONS.check("augmentation", "builds")
def is_augmentation(subject: Setting) -> str:
    """An augmentation is a `gz.Augment`."""
    return check_class(subject.built, Augment, "gz.Augment")


@AUGMENTATIONS.check("shape", "augmentation")
def shape(subject: Setting) -> str:
    """`forward` returns finite images of the same shape and dtype."""
    for size in ((1, 28, 28), (3, 16, 16)):
        images = to_float(images_for(size, count=BATCH).images)
        with seeded(0):
            result = subject.built(images)
        if not isinstance(result, Tensor) or result.shape != images.shape or result.dtype != images.dtype:
            what = (
                f"{result.dtype} {tuple(result.shape)}"
                if isinstance(result, Tensor)
                else type(result).__name__
            )
            return f"images {images.dtype} {tuple(images.shape)} become {what}; keep both"
        if not result.isfinite().all():
            return "its images are not finite"
    return ""


@AUGMENTATIONS.check("input-kept", "shape")
def input_kept(subject: Setting) -> str:
    """`forward` does not change the images that it gets."""
    images = to_float(images_for(SHAPE, count=BATCH).images)
    before = images.clone()
    with seeded(0):
        subject.built(images)
    return "" if torch.equal(images, before) else "it has changed them in place; return new tensors"


@AUGMENTATIONS.check("differentiable", "input-kept")
def differentiable(subject: Setting) -> str:
    """`forward` is differentiable, since the generator is trained through it."""
    images = to_float(images_for(SHAPE, count=BATCH).images).requires_grad_()
    with seeded(0), torch.enable_grad():
        result = subject.built(images)
    if not result.requires_grad:
        return "its images have no gradient; use tensor operations without detach() and no_grad()"
    (slope,) = torch.autograd.grad(result.sum(), images)
    return "" if slope.any() and slope.isfinite().all() else "its gradient is 0 or not finite"


@REGULARIZERS.check("regularizer", "builds")
def is_regularizer(subject: Setting) -> str:
    """A regularizer is a `gz.Regularizer`."""
    return check_class(subject.built, Regularizer, "gz.Regularizer")


@REGULARIZERS.check("latent-space", "regularizer")
def latent_space(subject: Setting) -> str:
    """A regularizer that replaces intermediate latents says so with `latent_space = True`."""
    own = type(subject.built).mapped_latents is not Regularizer.mapped_latents
    declared = subject.built.latent_space or not own
    return "" if declared else "it overrides mapped_latents without that; set the attribute"


def steps(subject: Setting) -> str:
    """Training gives finite losses."""
    losses = train(subject.trainer(), stop=4)
    wrong = [name for name, value in losses.items() if not math.isfinite(value)]
    return f"that of {wrong[0]} is not finite after 4 steps" if wrong else ""


def resumes(subject: Setting) -> str:
    """A run that is resumed ends as one that was not interrupted."""
    whole, first, second = subject.trainer(), subject.trainer(), subject.trainer()
    train(whole, 0, 4)
    train(first, 0, 2)
    continued(first, second)
    train(second, 2, 4)
    lost = differing(tensors(whole), tensors(second))
    return f"{lost[0]} differs; keep what changes from step to step in buffers" if lost else ""


for _suite, _last in (
    (LOSSES, "gradient"),
    (AUGMENTATIONS, "differentiable"),
    (REGULARIZERS, "latent-space"),
):
    _suite.check("steps", _last)(steps)
    _suite.check("resumes", "steps")(resumes)
