"""Checks of model folders: those of released models, and others."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from gantl_zoo.model.classifier import Classifier
from gantl_zoo.model.gan import GAN
from gantl_zoo.registry.releases import release_folder
from gantl_zoo.storage.schema import read_config
from gantl_zoo.testing.check import Skip, Suite
from gantl_zoo.testing.subject import Subject
from gantl_zoo.zoo import load_model

SUITE = Suite()
LIVELY = 1e-3  # the smallest mean deviation of the pixels of different seeds, as a share of their size


@dataclass
class ModelFolder(Subject):
    """A model folder, by its path or its name."""

    kind: str = "models"
    name: str = ""

    def __str__(self) -> str:
        return super().__str__() if self.name in self.registry else f"model {self.name}"

    @cached_property
    def folder(self) -> Path:
        """The folder, which a plug-in may write to the cache now."""
        return release_folder(self.name)

    @cached_property
    def stated(self) -> dict[str, Any]:
        """The content of config.json."""
        return read_config(self.folder)

    @cached_property
    def model(self) -> GAN | Classifier:
        """The loaded model."""
        return load_model(self.name)


@SUITE.check("folder")
def folder(subject: ModelFolder) -> str:
    """A released model is the path of a folder with a valid config.json."""
    return "" if subject.stated else "config.json is empty"


@SUITE.check("loads", "folder")
def loads(subject: ModelFolder) -> str:
    """Its files have exactly the tensors of its networks, all finite."""
    return "" if subject.model.num_parameters() else "it has no parameters"


@SUITE.check("works", "loads")
def works(subject: ModelFolder) -> str:
    """A GAN makes different images of different seeds, a classifier different logits."""
    model = subject.model
    if isinstance(model, Classifier):
        logits = model(torch.rand(2, model.channels, 32, 32) * 2 - 1)
        return "" if logits.isfinite().all() else "its logits are not finite"
    images = model.generate(8)
    if not images.isfinite().all():
        return "its images are not finite"
    alike = float(images.std(0).mean()) <= LIVELY * float(images.abs().mean())
    return "eight seeds give the same image; train it again" if alike else ""


@SUITE.check("same-seed", "works")
def same_seed(subject: ModelFolder) -> str:
    """A seed gives the same image each time."""
    model = subject.model
    if isinstance(model, Classifier):
        raise Skip("it is a classifier")
    return "" if torch.equal(model.generate(2, seed=3), model.generate(2, seed=3)) else "it gives others"


@SUITE.check("licence", "folder")
def licence(subject: ModelFolder) -> str:
    """A released model states its licence."""
    if subject.stated.get("license"):
        return ""
    return "config.json states none; set gan.license = 'mit', or another id, and save it again"


@SUITE.check("requires", "loads")
def requires(subject: ModelFolder) -> str:
    """`requires` names each plug-in that its networks come from."""
    stated, needed = set(subject.stated.get("requires", {})), set(subject.model.config()["requires"])
    missing = sorted(needed - stated)
    return f"it does not name {missing[0]}; save the model again" if missing else ""
