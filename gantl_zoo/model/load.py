"""`load_folder`: load a GAN or a classifier from a folder."""

from __future__ import annotations

from pathlib import Path

from gantl_zoo.model.classifier import Classifier, load_classifier
from gantl_zoo.model.gan import GAN, load_gan
from gantl_zoo.registry.releases import check_name
from gantl_zoo.storage.schema import read_config


def load_folder(
    folder: str | Path, *, discriminator: bool = True, origin: dict[str, str] | None = None
) -> GAN | Classifier:
    """Load the model of a folder, in eval mode: a `GAN`, or a `Classifier` for a backbone.

    `discriminator=False` neither builds nor reads a GAN's discriminator. `origin` is the repository and the
    commit on the Hub that the folder was fetched from. Raises `WeightsError`.
    """
    folder = Path(check_name(folder))
    model: GAN | Classifier
    if read_config(folder)["kind"] == "gan":
        model = load_gan(folder, discriminator=discriminator)
    else:
        model = load_classifier(folder)
    if origin is not None:
        model.about["hub"] = origin
    return model
