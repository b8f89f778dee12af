"""ImageNet classifiers whose weights come from other packages. Each is written to the cache at first use."""

from functools import partial
from pathlib import Path

import gantl_zoo as gz
from gantl_zoo_imagenet.packages import PACKAGES


def _model(name: str) -> gz.LazyModel:
    """The released model `name`, from the file of its package."""
    description = Path(__file__).parent / "released" / name
    return gz.LazyModel(description, partial(_write, name, description), PACKAGES[name].sha256)


def _write(name: str, description: Path, folder: Path) -> None:
    from gantl_zoo_imagenet.convert import write  # imported here, because it imports torch

    write(PACKAGES[name], description, folder)


efficientnet_lite0 = _model("efficientnet-lite0-imagenet")
efficientnet_lite1 = _model("efficientnet-lite1-imagenet")
efficientnet_lite2 = _model("efficientnet-lite2-imagenet")
mobilenetv2 = _model("mobilenetv2-imagenet")
