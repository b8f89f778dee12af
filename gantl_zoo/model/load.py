"""Load a GAN, a classifier or an adapter from a folder."""

from __future__ import annotations

from pathlib import Path

from gantl_zoo.errors import UsageError
from gantl_zoo.model.adapter import Adapter, load_adapter_folder
from gantl_zoo.model.classifier import Classifier, load_classifier
from gantl_zoo.model.gan import GAN, load_gan
from gantl_zoo.model.info import how_to_add
from gantl_zoo.registry.releases import check_name
from gantl_zoo.storage.schema import read_config


def load_folder(
    folder: str | Path, *, discriminator: bool = True, origin: dict[str, str] | None = None
) -> GAN | Classifier:
    """Load the model of a folder, in eval mode: a `GAN`, or a `Classifier` for a backbone.

    `discriminator=False` neither builds nor reads a GAN's discriminator. `origin` is the repository and the
    commit on the Hub that the folder was fetched from. Raises `WeightsError`, and `UsageError` for an
    adapter.
    """
    folder = Path(check_name(folder))
    config = read_config(folder)
    if config["kind"] == "adapter":
        raise UsageError(f"{folder} is an adapter, not a model; {how_to_add(folder, config)}")
    model: GAN | Classifier
    if config["kind"] == "gan":
        model = load_gan(folder, discriminator=discriminator)
    else:
        model = load_classifier(folder)
    if origin is not None:
        model.about["hub"] = origin
    return model


def load_any(folder: str | Path) -> GAN | Classifier | Adapter:
    """Load the model or the adapter of a folder, for example to check it. Raises `WeightsError`."""
    adapter = read_config(folder)["kind"] == "adapter"
    return load_adapter_folder(folder) if adapter else load_folder(folder)
