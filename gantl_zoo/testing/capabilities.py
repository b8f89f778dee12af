"""Checks of what a network declares: classes, channels, an intermediate latent space; and its training."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from gantl_zoo.model.gan import GAN
from gantl_zoo.networks.base import blocks, call, eval_view, num_classes_of
from gantl_zoo.networks.contract import Probe
from gantl_zoo.networks.mapping import MappedGenerator, StagedGenerator, map_noise, stage_images
from gantl_zoo.registry.plugins import singular
from gantl_zoo.seeding import seeded
from gantl_zoo.testing.check import Skip
from gantl_zoo.testing.network import Network, close
from gantl_zoo.testing.probes import classifier_trainer_of, differing, train, trainer_of, with_partner
from gantl_zoo.training.learner import Learner

CLASSES = 3  # of class-conditional networks


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
    expected = tuple(subject.probe.output.shape)
    return "" if shape == expected else f"with labels the output has the shape {shape} instead of {expected}"


def channels(subject: Network) -> str:
    """A network that takes `channels` works for grey and for RGB images."""
    if not subject.takes("channels"):
        raise Skip("it does not take channels")
    for count in (1, 3):
        network = subject.build(channels=count).eval()
        actual = network.channels if subject.kind == "backbones" else network.image_shape[0]
        if actual != count:
            return f"with channels={count} it has {actual}; pass the argument on"
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
    first, second = (gan.generate(seeds=pair, labels=labels, batch_size=2) for pair in ([5, 6], [6, 7]))
    if torch.equal(first[1], second[0]):
        return ""
    return "the image of seed 6 changes; in eval mode draw no random numbers, or draw them with a fixed seed"


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


def stages(subject: Network) -> str:
    """`stage_images` gives images of rising sizes, and the last ones are those of `forward`."""
    network = eval_view(subject.built)
    if not isinstance(network, StagedGenerator):
        raise Skip("it has no images of its stages")
    with torch.no_grad(), seeded(0):
        latents = map_noise(network, subject.probe.inputs, subject.probe.labels)
        images = stage_images(network, latents, subject.probe.labels)
    sides = [one.shape[-1] for one in images]
    if sorted(set(sides)) != sides:
        return f"its images have the sizes {sides}; return them from coarse to fine, one for each size"
    same = close(images[-1], subject.probe.output)
    return "" if same else "the last images differ from those of forward; return the same ones last"


def trains(subject: Network) -> str:
    """Two steps of training give finite losses and change the weights of every block."""
    network = subject.build()
    if subject.kind == "backbones":
        trainer: Learner = classifier_trainer_of(network)
    else:
        gan = with_partner(subject.kind, subject.name, subject.config, network)
        trainer = trainer_of(gan, lr=1e-2, batch=2)
    network = trainer.networks[singular(subject.kind)]
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    losses = train(trainer)
    if wrong := [name for name, value in losses.items() if not math.isfinite(value)]:
        return f"the loss of {wrong[0]} is not finite after two steps"
    changed = set(differing(before, network.state_dict()))
    names = {id(p): name for name, p in network.named_parameters()}
    for i, block in enumerate(blocks(network)):
        own = {names[id(p)] for p in block.parameters() if id(p) in names and p.requires_grad}
        if own and not own & changed:
            return f"block {i} has not changed"
    return ""
