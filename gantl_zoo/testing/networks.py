"""Checks of generators, discriminators and backbones. The first ones are the rules of `networks/contract.py`.

N batch, C channels, H, W image size, Z latent size, L classes.
"""

from __future__ import annotations

import copy
import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gantl_zoo.model.gan import GAN
from gantl_zoo.networks.base import call, eval_view, num_classes_of
from gantl_zoo.networks.contract import Probe, Rule, rules_for
from gantl_zoo.networks.mapping import MappedGenerator
from gantl_zoo.networks.rebuild import rebuild
from gantl_zoo.seeding import seeded
from gantl_zoo.storage.folder import write_folder
from gantl_zoo.testing.check import Check, Skip, Suite
from gantl_zoo.testing.probes import TOLERANCE, differing, train, trainer_of, with_partner
from gantl_zoo.testing.subject import Subject, begun

CLASSES = 3  # of class-conditional networks


@dataclass
class Network(Subject):
    """A registered network."""

    @cached_property
    def probe(self) -> Probe:
        """The network in eval mode, and its output for two inputs."""
        return Probe(self.kind, self.built.eval())

    def output(self, network: Any, inputs: Tensor | None = None) -> Tensor:
        """The output of another network for the same inputs, or for others, without gradients."""
        probe = Probe(self.kind, network)
        probe.inputs = self.probe.inputs if inputs is None else inputs
        probe.labels = self.probe.labels[: len(probe.inputs)]
        found: Tensor = probe.output
        return found


def followed(rule: Rule) -> Callable[[Network], str]:
    """A rule of `networks/contract.py` as the function of a check."""
    return lambda subject: rule.broken(subject.probe)


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


def skip_if_mixing(subject: Network) -> None:
    """Raise `Skip` if the output for an input depends on the others of the batch, and the network says so."""
    if any(getattr(module, "mixes_images", False) for module in subject.built.modules()):
        raise Skip("it declares mixes_images")


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
        output.square().sum().backward()
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
    return torch.cat([logits.flatten(), torch.stack(list(terms.values()))])


def self_supervised(subject: Network) -> str:
    """`self_supervised` returns the logits, and a dict of scalar loss terms."""
    if not hasattr(subject.built, "self_supervised"):
        raise Skip("it has no loss of its own")
    probe = subject.probe
    given = (probe.inputs, probe.labels) if num_classes_of(subject.built) else (probe.inputs,)
    with seeded(0):
        found = eval_view(subject.built).self_supervised(*given)
    if not (isinstance(found, tuple) and len(found) == 2 and isinstance(found[1], dict)):
        return f"it returns a {type(found).__name__}; return logits, {{'name': term}}"
    wrong = [name for name, term in found[1].items() if not isinstance(term, Tensor) or term.ndim]
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
        loaded = rebuild(folder, subject.kind, "backbone", config, file="model")
    if lost := differing(subject.built.state_dict(), loaded.state_dict()):
        return f"{lost[0]} is not the same after loading"
    if torch.equal(subject.output(loaded), subject.probe.output):
        return ""
    return "the loaded network computes something else; keep all its state in parameters and buffers"


def classes(subject: Network) -> str:
    """A network that takes `num_classes` is conditioned on so many classes, and others on none."""
    if subject.kind == "backbones":
        network = subject.build(num_classes=CLASSES)
        return "" if network.num_classes == CLASSES else f"its num_classes is {network.num_classes}"
    if not subject.takes("num_classes"):
        count = num_classes_of(subject.built)
        return f"its num_classes is {count}, and it does not take that argument; add it" if count else ""
    network = subject.build(num_classes=CLASSES).eval()
    if num_classes_of(network) != CLASSES:
        return f"with num_classes={CLASSES} its attribute is {num_classes_of(network)}; set it"
    labels = torch.arange(len(subject.probe.inputs)) % CLASSES
    with torch.no_grad(), seeded(0):
        shape = tuple(call(network, subject.probe.inputs, labels).shape)
    wanted = tuple(subject.probe.output.shape)
    return "" if shape == wanted else f"with labels the output has the shape {shape} instead of {wanted}"


def channels(subject: Network) -> str:
    """A network that takes `channels` works for grey and for RGB images."""
    if not subject.takes("channels"):
        raise Skip("it does not take channels")
    for count in (1, 3):
        network = subject.build(channels=count).eval()
        found = network.channels if subject.kind == "backbones" else network.image_shape[0]
        if found != count:
            return f"with channels={count} it has {found}; pass the argument on"
        with torch.no_grad():
            output: Tensor = Probe(subject.kind, network).output
        if subject.kind == "generators" and output.shape[1] != count:
            return f"with channels={count} its images have {output.shape[1]}; change its last layer"
    return ""


def any_size(subject: Network) -> str:
    """A backbone takes images of any size of 28 pixels and more."""
    images = torch.zeros(1, subject.built.channels, 28, 28)
    with torch.no_grad(), seeded(0):
        for size in (28, 45):
            shape = tuple(eval_view(subject.built)(nn.functional.interpolate(images, size)).shape)
            if shape != (1, subject.built.num_classes):
                return (
                    f"for {size}×{size} pixels the logits have the shape {shape}; pool before the last layer"
                )
    return ""


def by_seed(subject: Network) -> str:
    """An image depends on its seed alone."""
    part = {"name": subject.name, "config": dict(subject.config)}
    gan = GAN(subject.built, None, {"generator": part})
    labels = [0, 0] if gan.num_classes else None
    many, one = gan.generate(2, seed=5, labels=labels), gan.generate(1, seed=6, labels=labels and labels[:1])
    if torch.equal(many[1], one[0]):
        return ""
    return "the image of seed 6 changes with the images beside it; draw random numbers only from torch"


def mapped(subject: Network) -> str:
    """`synthesize(map(noise))` gives the images of `forward`, and `truncate` with 1 changes nothing."""
    network = eval_view(subject.built)
    if not isinstance(network, MappedGenerator):
        raise Skip("it has no intermediate latent space")
    given = (subject.probe.inputs, subject.probe.labels)[: 1 + bool(num_classes_of(network))]
    with torch.no_grad(), seeded(0):
        latents = network.map(*given)
        same = close(network.truncate(latents, 1.0), latents)
    with torch.no_grad(), seeded(0):
        images = network.synthesize(latents)
    if not close(images, subject.probe.output):
        return "synthesize(map(noise)) gives other images than forward; call both in forward"
    return "" if same else "truncate(latents, 1) changes the latents; scale the distance to their mean by psi"


def trains(subject: Network) -> str:
    """Two steps of training give finite losses and change the weights of every block."""
    network = subject.build()
    gan = with_partner(subject.kind, subject.name, subject.config, network)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    trainer = trainer_of(gan, lr=1e-2, batch=2)
    losses = train(trainer)
    if wrong := [name for name, value in losses.items() if not math.isfinite(value)]:
        return f"the loss of {wrong[0]} is not finite after two steps"
    changed = set(differing(before, network.state_dict()))
    names = {id(p): name for name, p in network.named_parameters()}
    for i, block in enumerate(network.blocks):
        own = {names[id(p)] for p in block.parameters() if id(p) in names and p.requires_grad}
        if own and not own & changed:
            return f"block {i} has not changed"
    return ""


def close(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are equal up to rounding, relative to their largest value."""
    scale = float(other.abs().max()) or 1.0
    return one.shape == other.shape and float((one - other).abs().max()) <= TOLERANCE * scale


def suite(kind: str) -> Suite:
    """The suite of a registry of networks."""
    found = begun()
    for rule in rules_for(kind):
        needs = ("builds", *rule.needs)
        found.checks.append(Check(rule.name, rule.convention, followed(rule), needs))
    sound = "one-block output-finite" + (" output-range" if kind == "generators" else "")
    for name, function in (("deterministic", deterministic), ("copies", copies), ("round-trip", round_trip)):
        found.check(name, sound)(function)
    found.check("input-matters", "deterministic")(sensitive)
    found.check("independent", "deterministic")(independent)
    found.check("block-order", "deterministic")(in_order)
    found.check("gradients", "deterministic all-in-blocks")(gradients)
    found.check("classes", sound)(classes)
    found.check("channels", sound)(channels)
    return found


GENERATORS, DISCRIMINATORS, BACKBONES = map(suite, ("generators", "discriminators", "backbones"))
GENERATORS.check("by-seed", "independent")(by_seed)
GENERATORS.check("mapped", "deterministic")(mapped)
GENERATORS.check("trains", "gradients")(trains)
DISCRIMINATORS.check("self-supervised", "deterministic")(self_supervised)
DISCRIMINATORS.check("trains", "gradients")(trains)
BACKBONES.check("any-size", "deterministic")(any_size)
