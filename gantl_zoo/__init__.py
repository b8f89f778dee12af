"""A zoo of pretrained GANs with names, and strategies that adapt them to your images."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from gantl_zoo.errors import (
    DataError,
    ExportError,
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
from gantl_zoo.registry.builtins import (
    augmentations,
    backbones,
    datasets,
    discriminators,
    formats,
    generators,
    losses,
    models,
    presets,
    regularizers,
    strategies,
    weights,
)
from gantl_zoo.registry.releases import LazyModel
from gantl_zoo.version import VERSION
from gantl_zoo.zoo import list_models, load_adapter, load_model

if TYPE_CHECKING:
    from gantl_zoo import latent
    from gantl_zoo.convert.imported import import_weights
    from gantl_zoo.data import ImageData, check_data, load as load_data
    from gantl_zoo.export.runtime import OnnxClassifier, OnnxGAN, runtime
    from gantl_zoo.hub.pull import pull
    from gantl_zoo.hub.push import push
    from gantl_zoo.hub.search import HubModel, hub_models, search_hub
    from gantl_zoo.metrics.report import Report
    from gantl_zoo.metrics.result import Result
    from gantl_zoo.model.adapter import Adapter
    from gantl_zoo.model.classifier import Classifier, build_classifier
    from gantl_zoo.model.exported import Exported
    from gantl_zoo.model.gan import GAN, build_gan
    from gantl_zoo.networks.base import Discriminator, Generator
    from gantl_zoo.registry.model_info import ModelInfo
    from gantl_zoo.runs.classify import classify_evaluate, classify_train, classify_transfer
    from gantl_zoo.runs.classify_report import ClassifierReport
    from gantl_zoo.runs.diagnosis.diagnosis import Diagnosis, Finding, diagnose as doctor
    from gantl_zoo.runs.evaluate import evaluate
    from gantl_zoo.runs.resume import resume
    from gantl_zoo.runs.spec import DataSpec
    from gantl_zoo.runs.train import train
    from gantl_zoo.runs.transfer import transfer
    from gantl_zoo.strategy.base import Batch, Group, Plan, TransferStrategy
    from gantl_zoo.strategy.combine import build_strategy
    from gantl_zoo.training.augment.base import Augment
    from gantl_zoo.training.callback import Callback, RunView
    from gantl_zoo.training.classifier_recipe import ClassifierRecipe
    from gantl_zoo.training.presets import Formula, Preset
    from gantl_zoo.training.recipe import Recipe
    from gantl_zoo.training.regularizers.base import Regularizer
    from gantl_zoo.viz.images import Images

__version__ = VERSION

# Modules that import torch are imported on first use, so that listing names stays fast.
_LAZY = {
    "Adapter": "model.adapter",
    "Augment": "training.augment.base",
    "Batch": "strategy.base",
    "Callback": "training.callback",
    "Classifier": "model.classifier",
    "ClassifierRecipe": "training.classifier_recipe",
    "ClassifierReport": "runs.classify_report",
    "DataSpec": "runs.spec",
    "Diagnosis": "runs.diagnosis.diagnosis",
    "Discriminator": "networks.base",
    "Exported": "model.exported",
    "Finding": "runs.diagnosis.diagnosis",
    "Formula": "training.presets",
    "GAN": "model.gan",
    "Generator": "networks.base",
    "Group": "strategy.base",
    "HubModel": "hub.search",
    "ImageData": "data",
    "Images": "viz.images",
    "ModelInfo": "registry.model_info",
    "OnnxClassifier": "export.runtime",
    "OnnxGAN": "export.runtime",
    "Plan": "strategy.base",
    "Recipe": "training.recipe",
    "Regularizer": "training.regularizers.base",
    "Report": "metrics.report",
    "Result": "metrics.result",
    "Preset": "training.presets",
    "RunView": "training.callback",
    "TransferStrategy": "strategy.base",
    "build_classifier": "model.classifier",
    "build_gan": "model.gan",
    "build_strategy": "strategy.combine",
    "check_data": "data",
    "classify_evaluate": "runs.classify",
    "classify_train": "runs.classify",
    "classify_transfer": "runs.classify",
    "doctor": "runs.diagnosis.diagnosis",
    "evaluate": "runs.evaluate",
    "hub_models": "hub.search",
    "import_weights": "convert.imported",
    "latent": "latent",
    "load_data": "data",
    "pull": "hub.pull",
    "push": "hub.push",
    "resume": "runs.resume",
    "runtime": "export.runtime",
    "search_hub": "hub.search",
    "train": "runs.train",
    "transfer": "runs.transfer",
}
_RENAMED = {"doctor": "diagnose", "load_data": "load"}

__all__ = [
    "GAN",
    "Adapter",
    "Augment",
    "Batch",
    "Callback",
    "Classifier",
    "ClassifierRecipe",
    "ClassifierReport",
    "DataError",
    "DataSpec",
    "Diagnosis",
    "Discriminator",
    "ExportError",
    "Exported",
    "Finding",
    "Formula",
    "Generator",
    "Group",
    "HubError",
    "HubModel",
    "ImageData",
    "Images",
    "LazyModel",
    "ModelInfo",
    "NameTakenError",
    "OnnxClassifier",
    "OnnxGAN",
    "Plan",
    "PluginError",
    "Preset",
    "Recipe",
    "Regularizer",
    "Report",
    "Result",
    "RunView",
    "TrainingError",
    "TransferStrategy",
    "UnknownNameError",
    "UsageError",
    "WeightsError",
    "ZooError",
    "augmentations",
    "backbones",
    "build_classifier",
    "build_gan",
    "build_strategy",
    "check_data",
    "classify_evaluate",
    "classify_train",
    "classify_transfer",
    "datasets",
    "discriminators",
    "doctor",
    "evaluate",
    "formats",
    "generators",
    "hub_models",
    "import_weights",
    "latent",
    "list_models",
    "load_adapter",
    "load_data",
    "load_model",
    "losses",
    "models",
    "presets",
    "pull",
    "push",
    "regularizers",
    "resume",
    "runtime",
    "search_hub",
    "starting_weights",
    "strategies",
    "train",
    "transfer",
    "weights",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'gantl_zoo' has no attribute {name!r}")
    module = importlib.import_module(f"gantl_zoo.{_LAZY[name]}")
    value = module if name == _LAZY[name] else getattr(module, _RENAMED.get(name, name))
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
