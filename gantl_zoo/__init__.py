"""A zoo of trained GANs that have names, and strategies that adapt them to your images."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from gantl_zoo.errors import (
    DataError,
    HubError,
    NameTakenError,
    PluginError,
    TrainingError,
    UnknownNameError,
    UsageError,
    WeightsError,
    ZooError,
)
from gantl_zoo.registry import backbones, discriminators, generators, models, strategies
from gantl_zoo.version import VERSION
from gantl_zoo.zoo import list_models, load_model

if TYPE_CHECKING:
    from gantl_zoo.classifier import Classifier, build_classifier
    from gantl_zoo.classify import classify_evaluate, classify_train, classify_transfer
    from gantl_zoo.data import ImageData
    from gantl_zoo.gan import GAN, build_gan
    from gantl_zoo.hub import hub_models, pull, push
    from gantl_zoo.run import evaluate, train, transfer
    from gantl_zoo.transfer.strategy import Batch, Group, Plan, TransferStrategy

__version__ = VERSION

# What needs torch is imported when it is first asked for: listing names must not pay for it.
_LAZY = {
    "Batch": "transfer.strategy",
    "Classifier": "classifier",
    "GAN": "gan",
    "Group": "transfer.strategy",
    "ImageData": "data",
    "Plan": "transfer.strategy",
    "TransferStrategy": "transfer.strategy",
    "build_classifier": "classifier",
    "build_gan": "gan",
    "classify_evaluate": "classify",
    "classify_train": "classify",
    "classify_transfer": "classify",
    "evaluate": "run",
    "hub_models": "hub",
    "pull": "hub",
    "push": "hub",
    "train": "run",
    "transfer": "run",
}

__all__ = [
    "GAN",
    "Batch",
    "Classifier",
    "DataError",
    "Group",
    "HubError",
    "ImageData",
    "NameTakenError",
    "Plan",
    "PluginError",
    "TrainingError",
    "TransferStrategy",
    "UnknownNameError",
    "UsageError",
    "WeightsError",
    "ZooError",
    "backbones",
    "build_classifier",
    "build_gan",
    "classify_evaluate",
    "classify_train",
    "classify_transfer",
    "discriminators",
    "evaluate",
    "generators",
    "hub_models",
    "list_models",
    "load_model",
    "models",
    "pull",
    "push",
    "strategies",
    "train",
    "transfer",
]


class _Package(ModuleType):
    """Two rooms have the name of something public: `backbones` and `transfer`.

    Importing a room would set it as our attribute; the public registry and function stay there instead.
    `from gantl_zoo.transfer.strategy import …` finds the room all the same.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (isinstance(value, ModuleType) and name in __all__):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'gantl_zoo' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"gantl_zoo.{_LAZY[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
