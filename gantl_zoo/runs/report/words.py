"""What the metrics of a report mean, in a sentence each."""

from __future__ import annotations

from collections.abc import Iterable

MEANINGS = {
    "fd": "Fréchet distance: how far the features of samples are from those of real images. Lower is better. "
    "Compare values only if they have the same extractor and the same data.",
    "kd": "Kernel distance: as the Fréchet distance, but also fair for few images. Lower is better; 0 means "
    "no difference, and small values may be negative by chance.",
    "complement_precision": "Share of samples that are no further from real images than these are from each "
    "other. Higher is better.",
    "precision": "Share of samples that look like a real image. Higher is better.",
    "recall": "Share of real images that samples come near to: variety. Higher is better.",
    "density": "How many real images are near a sample. Higher is better.",
    "coverage": "Share of real images with a sample nearby. Higher is better.",
    "copies": "Share of samples that are nearly copies of a training image. Lower is better.",
    "nn_distance": "Distance of samples to the nearest training image, relative to held-out images. 0 means "
    "copies, 1 means new images.",
    "class_match": "Share of samples in which a classifier finds the class that was asked for.",
    "class_share_min": "Share of samples in the rarest class, as a classifier finds them.",
    "class_share_max": "Share of samples in the most frequent class.",
    "class_coverage": "Share of the classes that samples contain.",
    "class_entropy": "How evenly samples are spread over the classes; 1 is even.",
    "confidence": "How certain a classifier is of the classes of samples.",
    "mifid": "Fréchet distance with a penalty for copies. Lower is better.",
    "is": "Inception score. Higher is better; it says nothing about the training images.",
    "diversity": "How different samples are from each other, relative to real images.",
    "pd": "Mean perceptual distance between two samples: variety. Compare it with that of real images; 0 "
    "means one repeated image.",
    "intra_pd": "Mean perceptual distance between samples that share their nearest training image. 0 means "
    "that samples only repeat training images.",
    "modes": "Number of classes that samples contain.",
}
FLOOR = (
    "The column real images is what real images of the same kind reach: nothing can be expected to be better."
)


def meanings(names: Iterable[str]) -> list[tuple[str, str]]:
    """The kinds of these metrics, and what each means."""
    kinds = sorted(MEANINGS, key=len, reverse=True)
    chosen = {next((kind for kind in kinds if name == kind or name.startswith((f"{kind}_", f"{kind}["))), "")
              for name in names}  # fmt: skip
    return [(kind, text) for kind, text in MEANINGS.items() if kind in chosen]
