"""`build_augment`: build a registered augmentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gantl_zoo.errors import PluginError
from gantl_zoo.registry.builtins import augmentations
from gantl_zoo.training.augment.base import Augment


def build_augment(name: str, config: Mapping[str, Any] | None = None) -> Augment:
    """Build the augmentation `name`. Raises `UnknownNameError`, `UsageError` or `PluginError`."""
    augment = augmentations.build(name, **(config or {}))
    if not isinstance(augment, Augment):
        raise PluginError(f"augmentation {name!r} is a {type(augment).__name__}, not a gz.Augment")
    return augment
