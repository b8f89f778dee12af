"""Checks of what a network computes: its output, its gradients, and the same after copying and saving."""

from __future__ import annotations

import copy
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gantl_zoo.networks.base import eval_view, num_classes_of
from gantl_zoo.networks.contract import Probe
from gantl_zoo.networks.rebuild import rebuild
from gantl_zoo.seeding import seeded
from gantl_zoo.storage.folder import write_folder
from gantl_zoo.testing.check import Skip
from gantl_zoo.testing.network import Network, close, skip_if_mixing
from gantl_zoo.testing.probes import differing


def deterministic(subject: Network) -> str:
    """In eval mode the output depends on the inputs and the random state alone."""
    again = subject.output(subject.built)
    if torch.equal(subject.probe.output, again):
        return ""
    return "two calls with the same inputs and seed differ; keep no state between calls in eval mode"


def independent(subject: Network) -> str:
    """In eval mode the output for one input does not depend on the others of the batch."""
    skip_if_mixing(subject)
    alone = subject.output(subject.built, subject.probe.inputs[:1])
    if close(alone[0], subject.probe.output[0]):
        return ""
    remedy = (
        "set the attribute mixes_images = True" if subject.kind == "discriminators" else "compare no images"
    )
    return f"the first of two outputs changes if the second input is left out; {remedy}"


def sensitive(subject: Network) -> str:
    """Different inputs give different outputs."""
    skip_if_mixing(subject)
    first, second = subject.probe.output
    return "" if not torch.equal(first, second) else "two random inputs give the same output; use the input"


def in_order(subject: Network) -> str:
    """`blocks` are in the order of the forward pass."""
    network = eval_view(subject.built)
    called: list[int] = []  # blocks in the order of their first calls

    def note(number: int, *_: Any) -> None:
        if number not in called:
            called.append(number)

    for i, block in enumerate(network.blocks):
        for module in block.modules():
            module.register_forward_pre_hook(partial(note, i))
    subject.output(network)
    if called == sorted(called):
        return ""
    return f"they are called in the order {called}; sort them, since strategies freeze the first or last ones"


def gradients(subject: Network) -> str:
    """Each trained parameter in a block gets a finite gradient."""
    network = copy.deepcopy(subject.built).train()
    with torch.enable_grad():
        output = outputs_of_training(Probe(subject.kind, network), subject)
        output.square().sum().backward()  # type: ignore[no-untyped-call]
    named = {id(p): name for name, p in network.named_parameters()}
    for block in network.blocks:
        for parameter in (p for p in block.parameters() if p.requires_grad):
            name = named.get(id(parameter), "a parameter")
            if parameter.grad is None:
                return f"{name} gets no gradient; use it, or leave it out of blocks"
            if not parameter.grad.isfinite().all():
                return f"the gradient of {name} is not finite; check for divisions by zero and square roots"
    return ""


def outputs_of_training(probe: Probe, subject: Network) -> Tensor:
    """The output, with the terms of a discriminator's own loss."""
    if not hasattr(probe.network, "self_supervised"):
        output: Tensor = probe.forward(probe.network)
        return output
    given = (probe.inputs, probe.labels) if num_classes_of(probe.network) else (probe.inputs,)
    with seeded(0):
        logits, terms = probe.network.self_supervised(*given)
    return torch.cat([logits.flatten(), *(term.flatten() for term in terms.values())])


def self_supervised(subject: Network) -> str:
    """`self_supervised` returns the logits, and a dict of scalar loss terms."""
    if not hasattr(subject.built, "self_supervised"):
        raise Skip("it has no loss of its own")
    probe = subject.probe
    given = (probe.inputs, probe.labels) if num_classes_of(subject.built) else (probe.inputs,)
    with seeded(0):
        result = eval_view(subject.built).self_supervised(*given)
    if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], dict)):
        return f"it returns a {type(result).__name__}; return logits, {{'name': term}}"
    wrong = [name for name, term in result[1].items() if not isinstance(term, Tensor) or term.ndim]
    return f"the term {wrong[0]!r} is not a scalar tensor; take the mean" if wrong else ""


def copies(subject: Network) -> str:
    """A copy by `copy.deepcopy` computes the same."""
    output = subject.output(copy.deepcopy(subject.built))
    return "" if torch.equal(output, subject.probe.output) else "its copy computes something else"


def round_trip(subject: Network) -> str:
    """Weights that are saved and loaded again give the same output."""
    described = subject.registry.described(
        subject.name, subject.registry.configure(subject.name, **subject.config)
    )
    described["config"] = getattr(subject.built, "config", described["config"])
    config = {"format": 1, "kind": "backbone", "backbone": described}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "model")
        write_folder(folder, config, {"model": subject.built})
        with seeded(1):  # other random numbers than those of the first network
            loaded = rebuild(folder, subject.kind, "backbone", config, file="model")
    if lost := differing(subject.built.state_dict(), loaded.state_dict()):
        return f"{lost[0]} is not the same after loading"
    if torch.equal(subject.output(loaded), subject.probe.output):
        return ""
    return "the loaded network computes something else; keep all its state in parameters and buffers"
