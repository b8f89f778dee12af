"""Augmentations by name."""

from __future__ import annotations

from collections.abc import Callable

from gantl_zoo.errors import UnknownNameError, unknown
from gantl_zoo.training.augment.base import Augment
from gantl_zoo.training.augment.diffaugment import DiffAugment


def adaptive() -> Augment:
    """The adaptive one, imported when it is asked for."""
    from gantl_zoo.training.augment.ada import AdaptiveAugment

    return AdaptiveAugment()


AUGMENTS: dict[str, Callable[[], Augment]] = {"ada": adaptive, "diffaugment": DiffAugment, "none": Augment}


def build_augment(name: str) -> Augment:
    """The augmentation of that name. Raises `UnknownNameError`."""
    if name not in AUGMENTS:
        raise UnknownNameError(unknown("augmentation", name, AUGMENTS))
    return AUGMENTS[name]()
