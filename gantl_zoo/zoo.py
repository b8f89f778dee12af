"""Where a name is looked for, and in what order: a folder, a registered release, the Hub."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gantl_zoo.errors import HubError, UnknownNameError, UsageError, WeightsError
from gantl_zoo.registry import folder_at, models, release_folder
from gantl_zoo.strict import read_json

if TYPE_CHECKING:
    from gantl_zoo.classifier import Classifier
    from gantl_zoo.gan import GAN
    from gantl_zoo.remote.fetch import Parts

MOST = 1 << 20  # bytes of that note, which names each of up to a thousand shards
SOUND = {"repo": r"\w[\w.-]*/\w[\w.-]*", "revision": "[0-9a-f]{40}"}
ORIGIN = "pulled.json"  # beside the model in a folder that `pull --to` wrote: which repository and commit


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
    text = str(name)
    if place := folder_at(name):
        return place, pulled_from(place)
    if text not in models and "/" in text.partition("@")[0]:
        return from_hub(text, lambda config: parts_of(config, discriminator) if weights else [])
    try:
        return release_folder(text), None
    except UnknownNameError as error:
        raise UnknownNameError(f"{error}, and a model on the Hub is user/name") from None


def from_hub(name: str, parts: Parts) -> tuple[Path, dict[str, str]]:
    """The folder in the Hub's cache, and its commit. Fetches what is missing of `parts(config)`."""
    from gantl_zoo.remote import fetch

    if fetch.parse(name) is None:
        raise UnknownNameError(f"there is no folder {name}, and a model on the Hub is user/name[@revision]")
    try:
        found = fetch.fetch(name, parts)
    except HubError as error:
        raise HubError(f"{error} (neither is there a folder {name})") from error
    return found.folder, found.origin


def parts_of(config: Mapping[str, Any], discriminator: bool = True) -> list[str]:
    """The networks of a model, by the names of their weights' files."""
    if config.get("kind") == "backbone":
        return ["model"]
    return [part for part in ("generator", "discriminator")[: 1 + discriminator] if config.get(part)]


def ancestor(model: GAN | Classifier, name: str) -> dict[str, str]:
    """What lineage keeps of a base model: its name, or its repository and commit."""
    origin = model.about.get("hub")
    return (
        {"base_model": origin["repo"], "base_revision": origin["revision"]}
        if origin
        else {"base_model": name}
    )


def pinned(model: GAN | Classifier, name: str) -> str:
    """`name`, and the commit if it is one on the Hub, so that the same words find the same model again."""
    origin = model.about.get("hub")
    return f"{origin['repo']}@{origin['revision']}" if origin and not Path(name).exists() else name


def pulled_from(folder: Path) -> dict[str, str] | None:
    """Repository and commit of a folder that `pull` wrote and nobody has written since."""
    origin = pulled(folder)
    try:
        config = (folder / "config.json").read_bytes()
    except OSError:
        return None
    known = origin.get("config_sha256") == hashlib.sha256(config).hexdigest()
    return {"repo": origin["repo"], "revision": origin["revision"]} if known else None


def pulled(folder: Path) -> dict[str, Any]:
    """What `pull` noted in a folder; nothing if it did not, or if the note is none."""
    try:
        origin = read_json(folder / ORIGIN, MOST, "a note of where a model was pulled from")
    except WeightsError:
        return {}
    told = isinstance(origin, dict) and {key: origin.get(key) for key in ("repo", "revision")}
    sound = told and all(isinstance(v, str) and re.fullmatch(SOUND[k], v) for k, v in told.items())
    return origin if sound and isinstance(origin.get("files", {}), dict) else {}


def gan_named(name: str | Path, *, discriminator: bool = True) -> GAN:
    """The GAN of that name. Raises `UsageError` for a backbone, and what `load_model` raises."""
    from gantl_zoo.gan import GAN

    model = load_model(name, discriminator=discriminator)
    if not isinstance(model, GAN):
        raise UsageError(f"{name} is a backbone, not a GAN; see gantl-zoo classify")
    return model


def load_model(name: str | Path, *, discriminator: bool = True) -> GAN | Classifier:
    """The model of that name, in eval mode: a `GAN`, or a `Classifier` for a backbone.

    Looks for an existing folder, a registered release, then `user/repo` or `hf-hub:user/repo` on the Hub
    (`HF_ENDPOINT` says which), each with an optional `@revision`. `discriminator=False` fetches and loads
    what sampling needs. Raises `UnknownNameError`, `WeightsError`, `HubError`.
    """
    from gantl_zoo import weights

    folder, origin = locate(name, discriminator)
    model: GAN | Classifier
    if weights.read_config(folder)["kind"] == "gan":
        from gantl_zoo.gan import load_gan

        model = load_gan(folder, discriminator=discriminator)
    else:
        from gantl_zoo.classifier import load_classifier

        model = load_classifier(folder)
    if origin is not None:
        model.about["hub"] = origin
    return model
