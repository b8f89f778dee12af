"""A model's origin and recipe in words, from its `config.json`, which may come from anywhere."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

RECIPE = {
    "steps": "{:,} steps",
    "epochs": "{:,} epochs",
    "batch": "{:,} images per step",
    "loss": "{} loss",
    "lr": "learning rate {:g}",
    "discriminator_lr": "{:g} for the discriminator",
    "r1": "R1 {:g}",
    "regularizer": "regularizer {}",
    "aug": "augmentation {}",
    "seed": "seed {}",
    "best_step": "kept step {:,}",
}
UNSAID = (None, 0.0, "none")  # settings that are turned off


def lineage(about: Mapping[str, Any], name: str) -> list[str]:
    """The chain of models from the first one to this, each with its data and strategy."""
    base = about.get("base_model")
    before = lineage(about.get("base_lineage", {}), str(base)) if base else []
    data = about.get("data", {})
    how = [f"strategy {about['strategy']}"] if about.get("strategy") else []
    origin = about.get("imported")
    how += [f"imported from {origin.get('file')}"] if isinstance(origin, Mapping) else []
    if data:
        count = data.get("images")
        how.append(
            f"{data.get('name')}, {count:,} images" if isinstance(count, int) else str(data.get("name"))
        )
    how += fitted_size(about)
    return [*before, f"{name} ({'; '.join(how)})" if how else name]


def fitted_size(about: Mapping[str, Any]) -> list[str]:
    """What fitting the source's generator to another image size changed; [] if nothing."""
    fitted = about.get("fitted")
    report = fitted.get("generator") if isinstance(fitted, Mapping) else None
    note = report.get("size") if isinstance(report, Mapping) else None
    return [note] if isinstance(note, str) else []


def recipe_words(training: Mapping[str, Any]) -> Iterator[str]:
    """The settings of a training in words; those that are turned off are left out."""
    for key, words in RECIPE.items():
        value = training.get(key)
        if value in UNSAID and not (key == "seed" and value == 0):
            continue
        number = isinstance(value, (int, float))  # an untrusted config may hold anything
        yield words.format(value) if number else str(value).join(re.split(r"\{[^}]*\}", words))
