"""The base model in a model's lineage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gantl_zoo.registry.releases import folder_at

if TYPE_CHECKING:
    from gantl_zoo.model.classifier import Classifier
    from gantl_zoo.model.gan import GAN


def ancestor(model: GAN | Classifier, name: str) -> dict[str, str]:
    """A base model's entry in the lineage: its name, or its repository and commit on the Hub; its licence."""
    origin = model.about.get("hub")
    licence = {"base_license": model.license} if model.license else {}
    if origin:
        return {"base_model": origin["repo"], "base_revision": origin["revision"], **licence}
    return {"base_model": name, **licence}


def pinned(model: GAN | Classifier, name: str) -> str:
    """A name that always means this model: `name`, or the repository and commit of a model on the Hub."""
    origin = model.about.get("hub")
    return f"{origin['repo']}@{origin['revision']}" if origin and not folder_at(name) else name
