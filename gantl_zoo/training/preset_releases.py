"""Presets of the released GANs: the recipes that trained them. No torch."""

from __future__ import annotations

from gantl_zoo.training.presets import Preset

dcgan_mnist = Preset(
    description="The training of the released dcgan-mnist.",
    settings={
        "generator": "dcgan",
        "generator_config": {"width": 48},
        "discriminator_config": {"width": 32, "flat": 1},
        "steps": 45_000,
        "batch": 128,
        "r1": 0.5,
        "lr": 8e-4,
        "decay": 0.4,
        "ema_images": 50_000,
    },
    measured="model_cards/dcgan-mnist.md, one run on MNIST's 60,000 digits",
)

dcgan_mnist_conditional = Preset(
    description="The training of the released dcgan-mnist-conditional.",
    settings={
        "generator": "dcgan",
        "generator_config": {"width": 48},
        "discriminator_config": {"width": 32, "flat": 1},
        "conditional": True,
        "steps": 8_000,
        "batch": 128,
        "r1": 0.5,
        "lr": 8e-4,
        "decay": 0.4,
        "ema_images": 50_000,
    },
    measured="model_cards/dcgan-mnist-conditional.md, one run on MNIST's 60,000 digits",
)

dcgan_fashion_mnist = Preset(
    description="The transfer from dcgan-mnist that made the released dcgan-fashion-mnist.",
    settings={
        "strategy": "full",
        "steps": 4_000,
        "batch": 128,
        "loss": "non-saturating",
        "aug": "none",
        "r1": 0.5,
        "lr": 8e-4,
        "decay": 0.5,
        "ema_images": 50_000,
    },
    measured="model_cards/dcgan-fashion-mnist.md, one run on Fashion-MNIST's 60,000 pictures",
)

dcgan_faces = Preset(
    description="The training of the released dcgan-faces: drawn faces, 64×64 in colour.",
    settings={
        "generator": "dcgan",
        "image_size": 64,
        "generator_config": {"width": 32},
        "discriminator_config": {"width": 32},
        "steps": 20_000,
        "batch": 32,
        "loss": "relativistic",
        "aug": "diffaugment",
        "r1": 1.0,
        "lr": 4e-4,
        "decay": 0.3,
    },
    measured="model_cards/dcgan-faces.md: one run on 2,700 drawings of faces",
    reasons={"aug": "model_cards/dcgan-faces.md: cleaner lines than without, after 2,000 steps"},
)
