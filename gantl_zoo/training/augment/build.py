"""Augmentations by name."""

from __future__ import annotations

from collections.abc import Callable

from gantl_zoo.errors import UnknownNameError, unknown
from gantl_zoo.training.augment.base import Augment
from gantl_zoo.training.augment.diffaugment import DiffAugment


def adaptive() -> Augment:
    """Build adaptive augmentation; imports it on demand."""
    from gantl_zoo.training.augment.ada import AdaptiveAugment

    return AdaptiveAugment()


AUGMENTS: dict[str, Callable[[], Augment]] = {"ada": adaptive, "diffaugment": DiffAugment, "none": Augment}


def build_augment(name: str) -> Augment:
    """Build the augmentation `name`. Raises `UnknownNameError`."""
    if name not in AUGMENTS:
        raise UnknownNameError(unknown("augmentation", name, AUGMENTS))
    return AUGMENTS[name]()
