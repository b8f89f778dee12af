"""The model folder of a new package: a small GAN, which the author replaces by a trained one."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from gantl_zoo.model.gan import build_gan
from gantl_zoo.seeding import seeded


def save_model(folder: Path, name: str, licence: str) -> None:
    """Save a GAN with random weights, large enough that its images differ."""
    own = {"width": 4, "image_size": 28, "channels": 1}
    with seeded(0):
        settings = own | {"latent_dim": 8}
        gan = build_gan("dcgan", generator_config=settings, discriminator_config=own, name=name)
        for parameter in gan.generator.parameters():
            if parameter.ndim > 1:
                nn.init.orthogonal_(parameter)
    gan.license = licence
    gan.save(folder)
