"""Registries of names. Imports no torch, and no plug-in until one of its names is loaded."""

from gantl_zoo.registry.arguments import starting_weights
from gantl_zoo.registry.builtins import (
    REGISTRIES,
    backbones,
    datasets,
    discriminators,
    generators,
    models,
    presets,
    requirements,
    strategies,
    weights,
)
from gantl_zoo.registry.registry import Registry
from gantl_zoo.registry.releases import check_name, folder_at, is_path, no_folder, release_folder

__all__ = [
    "REGISTRIES",
    "Registry",
    "backbones",
    "check_name",
    "datasets",
    "discriminators",
    "folder_at",
    "generators",
    "is_path",
    "models",
    "no_folder",
    "presets",
    "release_folder",
    "requirements",
    "starting_weights",
    "strategies",
    "weights",
]
