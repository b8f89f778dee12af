"""The last block of a classifier for other classes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from gantl_zoo import registry, seeding
from gantl_zoo.model.classifier import Classifier
from gantl_zoo.networks.base import blocks

# A network trained from scratch by the same seed began with that seed's numbers: a head that is drawn from
# them again points where the source's head does, which is worse than random for other classes.
STREAM = 0x48454144


def fitted_head(
    base: Classifier, classes: Sequence[str], seed: int, *, zero: bool = False
) -> tuple[Classifier, list[str]]:
    """A copy of `base` for `classes`, and the classes that it shares with the base.

    These keep their rows of the last block. All other rows are fresh: random, or `zero`, which suits a
    body that is frozen: with it random rows have to be unlearned first. A body that learns gets no gradient
    through rows of zeros.
    """
    part = base.parts["backbone"]
    config = part["config"] | {"num_classes": len(classes)}
    with seeding.seeded(seeding.mixed(seed, STREAM)):
        network = registry.backbones.build_empty(part["name"], **config)
    *body, head = blocks(network)
    *old_body, old_head = blocks(base.backbone)
    for ours, theirs in zip(body, old_body, strict=True):
        ours.load_state_dict(theirs.state_dict())
    if zero:
        start_at_zero(head, len(classes))
    named = list(base.about.get("training", {}).get("classes") or ())
    kept = shared(named, classes) if len(named) == base.num_classes else []
    if kept:
        rows = [(named.index(name), list(classes).index(name)) for name in kept]
        keep_rows(head, old_head, rows, (base.num_classes, len(classes)))
    return Classifier(network.eval(), {"backbone": {"name": part["name"], "config": config}}), kept


def shared(old: Sequence[str], new: Sequence[str]) -> list[str]:
    """The classes that two data sets have in common, by name.

    A mere number names no thing: "3" is a digit here and a kind of shoe there. So numbers count only where
    both lists are the same.
    """
    if list(old) == list(new):
        return list(new)
    return [name for name in new if name in old and not name.strip().isdecimal()]


@torch.no_grad()
def start_at_zero(head: nn.Module, count: int) -> None:
    """Set the layers with one output for each of `count` classes to zero."""
    for layer in head.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d) and len(layer.weight) == count:
            layer.weight.zero_()
            if layer.bias is not None:
                layer.bias.zero_()


@torch.no_grad()
def keep_rows(
    head: nn.Module, old_head: nn.Module, rows: Sequence[tuple[int, int]], counts: tuple[int, int]
) -> None:
    """Copy the rows (from, to) of each tensor that has one a class, and the other tensors as they are;
    `counts` are the numbers of classes before and after.
    """
    old = old_head.state_dict()
    for name, tensor in head.state_dict().items():
        before, after = (len(t) if t.ndim else 0 for t in (old[name], tensor))
        if (before, after) == counts and old[name].shape[1:] == tensor.shape[1:]:
            for source, target in rows:
                tensor[target] = old[name][source]
        elif old[name].shape == tensor.shape:
            tensor.copy_(old[name])
