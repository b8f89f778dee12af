"""Replace the last block of a classifier, for other classes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from gantl_zoo import registry, seeding
from gantl_zoo.model.classifier import Classifier
from gantl_zoo.networks.base import blocks

# Mixed into the seed. With the same seed as the source's training, the new head would be initialised like the
# source's head, which is worse than random for other classes.
STREAM = 0x48454144


def fitted_head(
    base: Classifier, classes: Sequence[str], seed: int, *, zero: bool = False
) -> tuple[Classifier, list[str]]:
    """Return a copy of `base` for `classes`, and the classes that it shares with `base`.

    Shared classes keep their rows of the last block. All other rows are random, or zero if `zero`. Zeros suit
    a frozen body: random rows would have to be unlearned first. For a trainable body use random rows: it gets
    no gradients through zeros.
    """
    part = base.parts["backbone"]
    config = part["config"] | {"num_classes": len(classes)}
    with seeding.seeded(seeding.mixed(seed, STREAM)):
        network = registry.backbones.build_empty(part["name"], **config)
    *body, head = blocks(network)
    *old_body, old_head = blocks(base.backbone)
    for new_block, old_block in zip(body, old_body, strict=True):
        new_block.load_state_dict(old_block.state_dict())
    if zero:
        zero_outputs(head, len(classes))
    named = list(base.about.get("training", {}).get("classes") or ())
    kept = shared(named, classes) if len(named) == base.num_classes else []
    if kept:
        rows = [(named.index(name), list(classes).index(name)) for name in kept]
        keep_rows(head, old_head, rows, (base.num_classes, len(classes)))
    return Classifier(network.eval(), {"backbone": {"name": part["name"], "config": config}}), kept


def shared(old: Sequence[str], new: Sequence[str]) -> list[str]:
    """Names of the classes that two data sets share.

    Numbers are shared only if both lists are equal: "3" may be a digit in one set and a shoe in the other.
    """
    if list(old) == list(new):
        return list(new)
    return [name for name in new if name in old and not name.strip().isdecimal()]


@torch.no_grad()
def zero_outputs(head: nn.Module, count: int) -> None:
    """Set weights and biases of the layers with `count` outputs to zero."""
    for layer in head.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d) and len(layer.weight) == count:
            layer.weight.zero_()
            if layer.bias is not None:
                layer.bias.zero_()


@torch.no_grad()
def keep_rows(
    head: nn.Module, old_head: nn.Module, rows: Sequence[tuple[int, int]], counts: tuple[int, int]
) -> None:
    """Copy `rows` (from, to) of the tensors with one row per class, and all other tensors whole.

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
