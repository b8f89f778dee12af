"""The preset `r3`: the recipe of R3GAN (Huang et al. 2024, https://arxiv.org/abs/2501.05441). No torch.

The published weights γ of both penalties, from the start to the end of the training:

| data | pixels | γ |
|---|---|---|
| CIFAR-10, 10 classes | 32 | 0.05 to 0.005 |
| ImageNet, 1,000 classes | 32 | 0.5 to 0.05 |
| ImageNet, 1,000 classes | 64 | 1 to 0.1 |
| FFHQ, faces | 64 | 2 to 0.2 |
| FFHQ, faces | 256 | 150 to 15 |
"""

from __future__ import annotations

from gantl_zoo.training.presets import Preset

POWER = 3.1  # of the image size: 75 times the γ at 4 times the size, for the same faces
PAPER = "values of the paper (https://arxiv.org/abs/2501.05441); not measured here"
STEPS, BATCH = 20_000, 64


def start_gamma(image_size: int, *, conditional: bool = False) -> float:
    """The weight γ of R1 and R2 at the start for images of this size, fitted to the table above.

    A start for your own search, not a rule: the table itself is up to 3 times above or below it. γ at the end
    is a tenth of it. `conditional` halves it, as for the data with classes.
    """
    gamma = 2 * (image_size / 64) ** POWER
    return float(f"{gamma / 2 if conditional else gamma:.2g}")


GAMMA = start_gamma(64)

r3 = Preset(
    description="Train R3GAN on images of 64 pixels a side, with the recipe of its paper.",
    settings={
        "generator": "r3",
        "discriminator": "r3",
        "image_size": 64,
        "steps": STEPS,
        "batch": BATCH,
        "loss": "relativistic",
        "aug": "ada",
        "aug_config": {"p": 0.0},
        "r1": GAMMA,
        "regularizer": "r2",
        "regularizer_config": {"r1.every": 1, "r2.every": 1},
        "lr": 2e-4,
        "beta1": 0.0,
        "beta2": 0.9,
        "ema_images": 0,
        "final": {
            "lr": 5e-5,
            "beta2": 0.99,
            "r1": GAMMA / 10,
            "ema_images": STEPS * BATCH // 40,
            "aug_p": 0.3,
        },
    },
    measured=PAPER,
    reasons={
        "steps": "not measured: the paper trains for 20 million images",
        "batch": "not measured: the paper has 256",
        "aug": f"{PAPER}; the paper also cuts out half of an image, and changes colours half as often",
        "r1": f"{PAPER}; for faces of 64 pixels. Good values differ between data sets by a factor of 3,000",
        "final": f"{PAPER}; ema_images is the same share of the run",
    },
)
