"""The panels of `curves.png`: titles, units, and what good values are."""

from __future__ import annotations

from dataclasses import dataclass

Range = tuple[float | None, float | None]


@dataclass(frozen=True)
class Panel:
    """Columns that are drawn together.

    `good` is the range of good values, or one value and None for a line; `meaning` is its name in the legend.
    `chance` draws the discriminator's loss at chance.
    """

    columns: tuple[str, ...]
    title: str
    unit: str = ""
    good: Range | None = None
    meaning: str = "good"
    logarithmic: bool = False
    chance: bool = False

    def label(self, name: str) -> str:
        """The name of a column in the legend."""
        return name.split("_")[0] if name.endswith(("_gradient", "_update")) else name


PANELS = [
    Panel(("generator", "discriminator"), "Losses: neither should fall to 0", "loss", chance=True),
    Panel(
        ("generator_gradient", "discriminator_gradient"),
        "Gradients: they should not vanish",
        "norm of the gradient",
        logarithmic=True,
    ),
    Panel(
        ("generator_update", "discriminator_update"),
        "Updates: the learning rate relative to the weights",
        "share of the weights in a step",
        (1e-4, 3e-2),
        "usual",
        True,
    ),
    Panel(
        ("diversity",),
        "Diversity of the samples (0: all are alike)",
        "relative to real images",
        (0.7, 1.1),
        "as real images",
    ),
    Panel(
        ("saturation",),
        "Pairs that the discriminator ranks correctly",
        "share of pairs",
        (0.6, 0.98),
        "balanced",
    ),
    Panel(
        ("overfitting",),
        "Overfitting of the discriminator (1: held-out images look fake)",
        "share of the way",
        (-0.2, 0.5),
        "held-out images look like training images",
    ),
    Panel(
        ("nn_distance",),
        "Distance to the nearest training image (0: copies)",
        "relative to held-out images",
        (1.0, None),
        "new images",
    ),
    Panel(
        ("leak",),
        "Samples that are nearer to augmented than to original images",
        "share of samples",
        (0.0, 0.5),
        "no leak",
    ),
    Panel(("p",), "Probability of the augmentation", "p", (0.0, 0.8), "does not leak"),
    Panel(
        ("skipped",),
        "Skipped steps: gradients were not finite",
        "steps so far",
        (0.0, None),
        "none",
    ),
]
METRICS = {
    "fd": "Fréchet distance (lower is better)",
    "kd": "Kernel distance (lower is better)",
    "precision": "Precision: samples that look real (higher is better)",
    "recall": "Recall: variety that is covered (higher is better)",
    "density": "Density: samples near real images (higher is better)",
    "coverage": "Coverage: real images with a sample nearby (higher is better)",
    "nn_distance": "Distance to the nearest training image (0: copies)",
    "copies": "Samples that are copies of training images (lower is better)",
    "accuracy": "Accuracy of a classifier (higher is better)",
    "r1": "R1: gradient penalty at real images",
    "r2": "R2: gradient penalty at fake images",
}


def title_of(name: str) -> str:
    """The title of the panel of a metric or a loss term. The extractor of a metric is named below."""
    kind = next((kind for kind in METRICS if name == kind or name.startswith((f"{kind}_", f"{kind}["))), "")
    if not kind:
        return name
    rest = name[len(kind) :].lstrip("_")
    return METRICS[kind] + (f"\n{rest}" if rest else "")


def is_logarithmic(name: str) -> bool:
    """Whether the axis of a metric is logarithmic: that of a distance that falls by magnitudes."""
    return name.startswith("fd")
