"""What the scaffold writes for each kind of names."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """A kind of names: its registry, the object in its file, an example of its use."""

    registry: str
    object: str
    usage: str
    summary: str


KINDS = {
    "generator": Kind(
        "generators", "generator", "gantl-zoo train $base --data ./photos --image-size 64", "a generator"
    ),
    "discriminator": Kind(
        "discriminators",
        "discriminator",
        "gantl-zoo train dcgan --discriminator $base --data ./photos --image-size 64",
        "a discriminator",
    ),
    "backbone": Kind("backbones", "backbone", "gantl-zoo classify train $base --data digits", "a backbone"),
    "strategy": Kind(
        "strategies",
        "Strategy",
        "gantl-zoo transfer dcgan-mnist --data glyphs --strategy $base",
        "a strategy",
    ),
    "loss": Kind("losses", "Loss", "gantl-zoo train dcgan --data glyphs --loss $base", "a loss"),
    "metric": Kind(
        "metrics", "Metric", "gantl-zoo evaluate dcgan-mnist --data glyphs --metrics $base", "a metric"
    ),
    "dataset": Kind(
        "datasets", "dataset", "gantl-zoo train dcgan --data $base --image-size 32", "a data set"
    ),
    "model": Kind("models", "model", "gantl-zoo sample $base --out grid.png", "a released model"),
}
