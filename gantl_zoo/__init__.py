"""A zoo of trained GANs that have names, and strategies that adapt them to your images."""

from __future__ import annotations

import importlib
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
from gantl_zoo.registry.arguments import starting_weights
from gantl_zoo.registry.builtins import backbones, discriminators, generators, models, presets, strategies
from gantl_zoo.version import VERSION
from gantl_zoo.zoo import list_models, load_model

if TYPE_CHECKING:
    from gantl_zoo.data import ImageData
    from gantl_zoo.hub.pull import pull
    from gantl_zoo.hub.push import push
    from gantl_zoo.hub.search import hub_models, search_hub
    from gantl_zoo.model.classifier import Classifier, build_classifier
    from gantl_zoo.model.gan import GAN, build_gan
    from gantl_zoo.runs.classify import classify_evaluate, classify_train, classify_transfer
    from gantl_zoo.runs.evaluate import evaluate
    from gantl_zoo.runs.resume import resume
    from gantl_zoo.runs.train import train
    from gantl_zoo.runs.transfer import transfer
    from gantl_zoo.strategy.base import Batch, Group, Plan, TransferStrategy
    from gantl_zoo.training.callback import Callback, RunView
    from gantl_zoo.training.presets import Preset

__version__ = VERSION

# What needs torch is imported when it is first asked for: listing names must not pay for it.
_LAZY = {
    "Batch": "strategy.base",
    "Callback": "training.callback",
    "Classifier": "model.classifier",
    "GAN": "model.gan",
    "Group": "strategy.base",
    "ImageData": "data",
    "Plan": "strategy.base",
    "Preset": "training.presets",
    "RunView": "training.callback",
    "TransferStrategy": "strategy.base",
    "build_classifier": "model.classifier",
    "build_gan": "model.gan",
    "classify_evaluate": "runs.classify",
    "classify_train": "runs.classify",
    "classify_transfer": "runs.classify",
    "evaluate": "runs.evaluate",
    "hub_models": "hub.search",
    "pull": "hub.pull",
    "push": "hub.push",
    "resume": "runs.resume",
    "search_hub": "hub.search",
    "train": "runs.train",
    "transfer": "runs.transfer",
}

__all__ = [
    "GAN",
    "Batch",
    "Callback",
    "Classifier",
    "DataError",
    "Group",
    "HubError",
    "ImageData",
    "NameTakenError",
    "Plan",
    "PluginError",
    "Preset",
    "RunView",
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
    "presets",
    "pull",
    "push",
    "resume",
    "search_hub",
    "starting_weights",
    "strategies",
    "train",
    "transfer",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'gantl_zoo' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"gantl_zoo.{_LAZY[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
