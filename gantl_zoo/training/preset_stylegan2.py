"""The preset `stylegan2`: the recipe of StyleGAN2 with adaptive augmentation (Karras et al. 2020). No torch.

Papers: https://arxiv.org/abs/1912.04958 for the regularization, https://arxiv.org/abs/2006.06676 for the
augmentation and the formulas for other image sizes and batches.

The papers compute the penalties in optimizer steps of their own. For a penalty in every k-th step they
therefore multiply the learning rate by k/(k+1), and raise Adam's betas to that power. Here the penalties are
part of the same step, so neither is changed.
"""

from __future__ import annotations

from gantl_zoo.training.presets import Formula, Preset

PAPER = "values of the paper (https://arxiv.org/abs/2006.06676); not measured here"
SMALLER = 1024  # pixels a side, below which the learning rate is larger


def r1_gamma(image_size: int, batch: int) -> float:
    """The weight γ of R1 for images of this size: 0.0002 · image_size² / batch.

    A start for your own search: good values differ between data sets by a factor of 10 and more.
    """
    return float(f"{2e-4 * image_size**2 / batch:.3g}")


def ema_images(image_size: int, batch: int) -> int:
    """The half-life of the generator's average: 10,000 images for a batch of 32."""
    return 10_000 * batch // 32


def learning_rate(image_size: int, batch: int) -> float:
    """The learning rate of both networks."""
    return 2e-3 if image_size >= SMALLER else 2.5e-3


stylegan2 = Preset(
    description="Train StyleGAN2 with the recipe of its papers, or transfer from one.",
    settings={
        "generator": "stylegan2",
        "discriminator": "stylegan2",
        "generator_config": {"mapping_layers": 2},
        "steps": 20_000,
        "batch": 32,
        "loss": "non-saturating",
        "aug": "ada",
        "r1": Formula("0.0002 · image_size² / batch", r1_gamma),
        "regularizer": "path-length+style-mixing",
        "regularizer_config": {"r1.every": 16, "path-length.every": 4},
        "lr": Formula("0.0025, or 0.002 from 1,024 pixels on", learning_rate),
        "beta1": 0.0,
        "beta2": 0.99,
        "ema_images": Formula("10,000 · batch / 32", ema_images),
    },
    measured=PAPER,
    reasons={
        "generator_config": f"{PAPER}; 8 layers in https://arxiv.org/abs/1912.04958",
        "steps": "not measured: the paper trains for 25 million images",
        "batch": f"{PAPER}, for up to 128 pixels a side",
        "r1": f"{PAPER}; good values differ between data sets by a factor of 10 and more",
        "regularizer_config": "https://arxiv.org/abs/1912.04958, section 3.1; every multiplies weights",
        "lr": f"{PAPER}; not multiplied by k/(k+1), since the penalties have no steps of their own",
        "beta2": f"{PAPER}; not raised to the power k/(k+1), for the same reason",
    },
)
