"""Where a name is looked for, and in what order: a folder, a registered release, the Hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gantl_zoo.errors import HubError, UnknownNameError, UsageError
from gantl_zoo.registry.builtins import models
from gantl_zoo.registry.releases import NEITHER, check_name, folder_at, is_path, no_folder, release_folder

if TYPE_CHECKING:
    from gantl_zoo.hub.fetch import Parts
    from gantl_zoo.model.classifier import Classifier
    from gantl_zoo.model.gan import GAN


def list_models(pattern: str = "*") -> list[str]:
    """Sorted names of the released models that match the shell `pattern`. Imports nothing heavy."""
    return models.names(pattern)


def find(name: str | Path, *, discriminator: bool = True) -> Path:
    """The model folder of `name`. Raises `UnknownNameError`, `HubError` that say where it was sought."""
    return locate(name, discriminator)[0]


def locate(
    name: str | Path, discriminator: bool = True, *, weights: bool = True
) -> tuple[Path, dict[str, str] | None]:
    """The model folder of `name`; and repository and commit, if it comes from the Hub.

    From there come all weights, those but the `discriminator`'s, or, without `weights`, config.json alone.
    """
    from gantl_zoo.storage.origin import pulled_from  # here, since listing names needs neither
    from gantl_zoo.storage.schema import parts_of

    text = check_name(name)
    if place := folder_at(name):
        return place, pulled_from(place)
    if not is_path(name) and text not in models and "/" in text.partition("@")[0]:
        return from_hub(text, lambda config: parts_of(config, discriminator) if weights else [])
    try:
        return release_folder(name), None
    except UnknownNameError as error:
        raise UnknownNameError(f"{error}, and a model on the Hub is user/name[@revision]") from None


def from_hub(name: str, parts: Parts) -> tuple[Path, dict[str, str]]:
    """The folder in the Hub's cache, and its commit. Fetches what is missing of `parts(config)`."""
    from gantl_zoo.hub import fetch

    if fetch.parse(name) is None:
        raise UnknownNameError(f"{no_folder(name)}, and a model on the Hub is user/name[@revision]")
    try:
        found = fetch.fetch(name, parts)
    except HubError as error:
        raise HubError(f"{error} ({no_folder(name, NEITHER)})") from error
    return found.folder, found.origin


def gan_named(name: str | Path | GAN, *, discriminator: bool = True) -> GAN:
    """The GAN of that name, or one that is given. Raises `UsageError` for a backbone, also for a
    `Classifier`, and what `load_model` raises.
    """
    from gantl_zoo.model.base import Model
    from gantl_zoo.model.gan import GAN

    model = name if isinstance(name, Model) else load_model(name, discriminator=discriminator)
    if not isinstance(model, GAN):
        given = model.name if isinstance(name, Model) else name
        raise UsageError(f"{given} is a backbone, not a GAN; see gantl-zoo classify")
    return model


def load_model(name: str | Path, *, discriminator: bool = True) -> GAN | Classifier:
    """The model of that name, in eval mode: a `GAN`, or a `Classifier` for a backbone.

    Looks for an existing model folder, a registered release, then `user/repo` or `hf-hub:user/repo` on the
    Hub (`HF_ENDPOINT` says which), each with an optional `@revision`. `./NAME` and `~/NAME` mean a folder,
    `gantl_zoo:NAME` (or another owner's) means the release. `discriminator=False` fetches and loads what
    sampling needs. Raises `UnknownNameError`, `WeightsError`, `HubError`.
    """
    from gantl_zoo.model.load import load_folder

    folder, origin = locate(name, discriminator)
    return load_folder(folder, discriminator=discriminator, origin=origin)
