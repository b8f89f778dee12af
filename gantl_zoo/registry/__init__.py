"""Registries of names. Imports no torch, and no plug-in until one of its names is loaded."""

from gantl_zoo.registry.arguments import starting_weights
from gantl_zoo.registry.builtins import (
    REGISTRIES,
    augmentations,
    backbones,
    datasets,
    discriminators,
    formats,
    generators,
    losses,
    metrics,
    models,
    presets,
    regularizers,
    requirements,
    strategies,
    weights,
)
from gantl_zoo.registry.registry import Registry
from gantl_zoo.registry.releases import check_name, folder_at, is_path, no_folder, release_folder

__all__ = [
    "REGISTRIES",
    "Registry",
    "augmentations",
    "backbones",
    "check_name",
    "datasets",
    "discriminators",
    "folder_at",
    "formats",
    "generators",
    "is_path",
    "losses",
    "metrics",
    "models",
    "no_folder",
    "presets",
    "regularizers",
    "release_folder",
    "requirements",
    "starting_weights",
    "strategies",
    "weights",
]
