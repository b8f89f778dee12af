"""Where a name is looked for, and in what order: a folder, a registered release, the Hub."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from gantl_zoo.errors import UnknownNameError
from gantl_zoo.registry import models

if TYPE_CHECKING:
    from gantl_zoo.classifier import Classifier
    from gantl_zoo.gan import GAN


def list_models(pattern: str = "*") -> list[str]:
    """Sorted names of the released models that match the shell `pattern`. Imports nothing heavy."""
    return models.names(pattern)


def find(name: str | Path) -> Path:
    """The model folder of `name`. Raises `UnknownNameError` that says where it was looked for."""
    folder = Path(name)
    for place in (folder / "model", folder):  # a run folder has a config.json of its own
        if (place / "config.json").is_file():
            return place
    text = str(name)
    if folder.is_dir():
        raise UnknownNameError(f"{text} is a folder, but no model or run folder: it has no config.json")
    if re.fullmatch(r"(hf-hub:)?[\w.-]+/[\w.-]+(@\S+)?", text):
        raise UnknownNameError(
            f"no folder {text}; this version doesn't pull from the Hub yet: download the repository "
            "(hf download) and give its folder"
        )
    try:
        return Path(models.load(text))
    except UnknownNameError as error:
        raise UnknownNameError(f"{error}; neither is there a folder {text}") from None


def load_model(name: str | Path, *, discriminator: bool = True) -> GAN | Classifier:
    """The model of that name, in eval mode: a `GAN`, or a `Classifier` for a backbone.

    Looks for an existing folder, then a registered release. `discriminator=False` loads what sampling
    needs. Raises `UnknownNameError`, `WeightsError`.
    """
    from gantl_zoo import weights

    folder = find(name)
    if weights.read_config(folder)["kind"] == "gan":
        from gantl_zoo.gan import load_gan

        return load_gan(folder, discriminator=discriminator)
    from gantl_zoo.classifier import load_classifier

    return load_classifier(folder)
