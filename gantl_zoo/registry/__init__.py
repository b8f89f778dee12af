"""Names and what they refer to. Imports neither torch nor, until a name is loaded, a plug-in."""

from gantl_zoo.registry.builtins import (
    REGISTRIES,
    backbones,
    discriminators,
    generators,
    models,
    requirements,
    strategies,
)
from gantl_zoo.registry.registry import INITIALISERS, Registry
from gantl_zoo.registry.releases import folder_at, release_folder

__all__ = [
    "INITIALISERS",
    "REGISTRIES",
    "Registry",
    "backbones",
    "discriminators",
    "folder_at",
    "generators",
    "models",
    "release_folder",
    "requirements",
    "strategies",
]
