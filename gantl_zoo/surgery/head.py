"""Give a classifier a fresh head for other classes."""

from __future__ import annotations

from gantl_zoo import registry, seeding
from gantl_zoo.model.classifier import Classifier
from gantl_zoo.networks.base import blocks


def fresh_head(base: Classifier, num_classes: int, seed: int) -> Classifier:
    """A copy of `base` whose last block starts anew, for `num_classes` classes."""
    part = base.parts["backbone"]
    config = part["config"] | {"num_classes": num_classes}
    with seeding.seeded(seed):
        network = registry.backbones.build_empty(part["name"], **config)
    old, new = (blocks(n)[:-1] for n in (base.backbone, network))
    for ours, theirs in zip(new, old, strict=True):
        ours.load_state_dict(theirs.state_dict())
    return Classifier(network.eval(), {"backbone": {"name": part["name"], "config": config}})
