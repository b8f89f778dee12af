"""What a model's lineage keeps of the model that it was made from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gantl_zoo.registry.releases import folder_at

if TYPE_CHECKING:
    from gantl_zoo.model.classifier import Classifier
    from gantl_zoo.model.gan import GAN


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
    return f"{origin['repo']}@{origin['revision']}" if origin and not folder_at(name) else name
