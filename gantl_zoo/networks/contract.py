"""What every network must have, as rules that cost a forward pass of two images.

A network that breaks a rule would train to a wrong result, or fail later elsewhere. All rules are checked
when a network is built (with images of more than `AT_ONCE` pixels, before it is trained), and those without a
forward pass when a model is loaded. They are also part of the suite in `gantl_zoo.testing`.

N batch, C channels, H, W image size, Z latent size, L classes, D embedding size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from gantl_zoo.errors import PluginError
from gantl_zoo.networks.base import call, evaluating, num_classes_of
from gantl_zoo.registry.builtins import REGISTRIES
from gantl_zoo.registry.plugins import guide, singular
from gantl_zoo.seeding import seeded

COUNT = 2  # images in a pass
AT_ONCE = 256 * 256  # pixels of an image up to which a pass takes little time and memory
LARGEST = (
    16.0  # the largest absolute value in an image; networks without a bounded last layer may leave [-1, 1]
)
ATTRIBUTES = {
    "generators": ("blocks", "image_shape", "latent_dim", "num_classes"),
    "discriminators": ("blocks", "image_shape", "num_classes"),
    "backbones": ("blocks", "channels", "embedding_dim", "num_classes"),
}
METHODS = {"generators": (), "discriminators": (), "backbones": ("embed", "pyramid")}


@dataclass
class Probe:
    """A network and its output for `COUNT` random inputs, computed once in eval mode."""

    kind: str
    network: Any

    @cached_property
    def weight(self) -> Tensor:
        """A parameter, whose device and dtype the inputs get."""
        return next(self.network.parameters(), torch.zeros(()))

    @cached_property
    def labels(self) -> Tensor:
        """A label (N,) for each input."""
        return torch.arange(COUNT, device=self.weight.device) % max(1, num_classes_of(self.network))

    @property
    def image_shape(self) -> tuple[int, ...]:
        """The shape (C, H, W) of images; a backbone takes any size."""
        if self.kind == "backbones":
            return (self.network.channels, 32, 32)
        return tuple(self.network.image_shape)

    @cached_property
    def inputs(self) -> Tensor:
        """Noise (N, Z) for a generator, images (N, C, H, W) in [-1, 1] for other networks."""
        random = torch.Generator().manual_seed(0)
        if self.kind == "generators":
            values = torch.randn(COUNT, self.network.latent_dim, generator=random)
        else:
            values = torch.rand(COUNT, *self.image_shape, generator=random) * 2 - 1
        return values.to(self.weight)

    @cached_property
    def output(self) -> Any:
        """Images (N, C, H, W) of a generator, else logits."""
        with torch.no_grad():
            return self.forward(evaluating(self.network))

    def forward(self, network: Any) -> Any:
        """The output of a network for the inputs, with the same random numbers each time."""
        with seeded(0):
            return (
                network(self.inputs) if self.kind == "backbones" else call(network, self.inputs, self.labels)
            )

    @cached_property
    def pyramid(self) -> Any:
        """The feature maps of a backbone."""
        with torch.no_grad(), seeded(0):
            return evaluating(self.network).pyramid(self.inputs)


@dataclass(frozen=True)
class Rule:
    """A convention of networks. `broken` returns what was found and what to do, or "".

    `kinds` are the registries whose networks it holds for, `needs` the rules without which it has no meaning.
    """

    name: str
    convention: str
    broken: Callable[[Probe], str]
    kinds: tuple[str, ...] = ("generators", "discriminators", "backbones")
    needs: tuple[str, ...] = ("attributes",)
    forward: bool = True  # whether it needs a forward pass


def attributes(probe: Probe) -> str:
    network, kind = probe.network, probe.kind
    if not isinstance(network, nn.Module):
        return f"it is a {type(network).__name__}; return a torch.nn.Module from the builder"
    absent = [n for n in (*ATTRIBUTES[kind], *METHODS[kind]) if not hasattr(network, n)]
    if absent:
        return f"it has no {' and no '.join(absent)}; set them in its constructor, or define them as methods"
    numbers = [n for n in ATTRIBUTES[kind] if n not in ("blocks", "image_shape")]
    wrong = [n for n in numbers if not whole(getattr(network, n), 0 if n == "num_classes" else 1)]
    if wrong:
        return f"its {wrong[0]} is {getattr(network, wrong[0])!r:.60}; it must be a whole number"
    shape = getattr(network, "image_shape", (1, 1, 1))
    if not (isinstance(shape, tuple | list) and len(shape) == 3 and all(whole(side, 1) for side in shape)):
        return f"its image_shape is {shape!r:.60}; it must be (channels, height, width)"
    return ""


def whole(value: Any, least: int) -> bool:
    """Whether a value is a whole number of at least `least`."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def listed(probe: Probe) -> str:
    try:
        blocks = list(probe.network.blocks)
    except TypeError:
        return f"its blocks are a {type(probe.network.blocks).__name__}; use a torch.nn.ModuleList"
    other = [type(block).__name__ for block in blocks if not isinstance(block, nn.Module)]
    if other:
        return f"its blocks contain a {other[0]}; each block must be a torch.nn.Module"
    return "" if blocks else "its blocks are empty; list its layers there, in their order"


def in_one_block(probe: Probe) -> str:
    count = Counter(id(p) for block in probe.network.blocks for p in block.parameters())
    names = [name for name, p in probe.network.named_parameters() if count[id(p)] > 1]
    return f"{some(names)} in two blocks; put each into one" if names else ""


def outside_blocks(probe: Probe) -> str:
    held = {id(p) for block in probe.network.blocks for p in block.parameters()}
    named = {n: p for n, p in probe.network.named_parameters() if p.requires_grad and id(p) not in held}
    if not named:
        return ""
    with torch.enable_grad():
        output = probe.forward(evaluating(probe.network))
        if not output.requires_grad:
            return ""
        gradients = torch.autograd.grad(output.sum(), list(named.values()), allow_unused=True)
    names = [name for name, gradient in zip(named, gradients, strict=True) if gradient is not None]
    text = "in no block, so training never changes it; move it into a block"
    return f"{some(names)} {text}, or set requires_grad to False if it stays as it is" if names else ""


def some(names: list[str]) -> str:
    """The first names, and how many more, with "is" or "are"."""
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return f"{', '.join(names[:2])}{more} {'is' if len(names) == 1 else 'are'}"


def output_shape(probe: Probe) -> str:
    output, network = probe.output, probe.network
    if not isinstance(output, Tensor):
        return f"it returns a {type(output).__name__}; return a tensor"
    shape = tuple(output.shape)
    if probe.kind == "generators" and shape != (expected := (COUNT, *network.image_shape)):
        return f"{COUNT} latents give {shape} instead of {expected}; change its layers or its image_shape"
    if probe.kind == "backbones" and shape != (expected := (COUNT, network.num_classes)):
        return f"{COUNT} images give {shape} instead of {expected}; change its last layer or its num_classes"
    if shape[:1] != (COUNT,):
        return f"{COUNT} images give {shape}; return one logit for each image, (N,), or several, (N, …)"
    return ""


def finite(probe: Probe) -> str:
    count = int((~probe.output.isfinite()).sum())
    total = probe.output.numel()
    where = f"{count:,} of {total:,} values are NaN or infinite with its first weights"
    return f"{where}; check its initialisation and divisions" if count else ""


def in_range(probe: Probe) -> str:
    largest = float(probe.output.abs().max())
    if largest <= LARGEST:
        return ""
    return f"its values reach {largest:.3g}; end it with nn.Tanh(), and do not scale images to 0…255"


def pyramid(probe: Probe) -> str:
    maps = probe.pyramid
    tensors = isinstance(maps, list | tuple) and all(isinstance(m, Tensor) and m.ndim == 4 for m in maps)
    if not maps or not tensors:
        return "pyramid does not return a list of feature maps (N, K, h, w); return one for each stage"
    heights = [one.shape[-1] for one in maps]
    if heights != sorted(heights, reverse=True):
        return f"its feature maps have the widths {heights}; return them from fine to coarse"
    return ""


def embedding(probe: Probe) -> str:
    with torch.no_grad(), seeded(0):
        vectors = evaluating(probe.network).embed(probe.inputs)
    expected = (COUNT, probe.network.embedding_dim)
    if not isinstance(vectors, Tensor) or tuple(vectors.shape) != expected:
        shape = tuple(vectors.shape) if isinstance(vectors, Tensor) else type(vectors).__name__
        return f"embed gives {shape} for {COUNT} images instead of {expected}; change it or its embedding_dim"
    return ""


READY = ("attributes", "blocks")
SHAPED = (*READY, "output-shape")
RULES = (
    Rule("attributes", "a network has the attributes and methods of its kind", attributes, needs=(),
         forward=False),
    Rule("blocks", "`blocks` lists the modules of a network in their order", listed, forward=False),
    Rule("one-block", "no parameter is in two blocks", in_one_block, needs=READY, forward=False),
    Rule("output-shape", "the output has the shape that the attributes state", output_shape),
    Rule("all-in-blocks", "each parameter that is trained is in a block", outside_blocks, needs=SHAPED),
    Rule("output-finite", "the output has no NaN and no infinity", finite, needs=SHAPED),
    Rule("output-range", "images have values in about [-1, 1]", in_range, kinds=("generators",),
         needs=(*SHAPED, "output-finite")),
    Rule("pyramid", "`pyramid` returns feature maps, fine to coarse", pyramid, kinds=("backbones",)),
    Rule("embedding", "`embed` returns the input of the classifier (N, D)", embedding, kinds=("backbones",)),
)  # fmt: skip


def rules_for(kind: str) -> list[Rule]:
    """The rules of a registry's networks, in the order in which they are checked."""
    return [rule for rule in RULES if kind in rule.kinds]


def check_built(kind: str, name: str, network: Any) -> None:
    """`check_network` for a network that was just built: without a forward pass if its images are large."""
    check_network(kind, name, network, forward=False)
    shape = getattr(network, "image_shape", (1, 1, 1))
    if shape[1] * shape[2] <= AT_ONCE:
        check_network(kind, name, network)


def check_network(kind: str, name: str, network: Any, *, forward: bool = True) -> None:
    """Raise `PluginError` if a network breaks a rule of its kind, such as "generators".

    `name` is its registered name, for the message. `forward=False` runs no forward pass. Keeps the state of
    the random number generators, the modes and the buffers of the network.
    """
    probe = Probe(kind, network)
    for rule in rules_for(kind):
        if rule.forward and not forward:
            continue
        try:
            wrong = rule.broken(probe)
        except Exception as error:  # in a network of a plug-in or a script
            wrong = f"{type(error).__name__}: {str(error)[:300]}"
        if wrong:
            what = f"{owned(kind, name)} fails the check {rule.name}"
            raise PluginError(f"{what}: {rule.convention}, but {wrong} ({guide(kind)})")


def owned(kind: str, name: str) -> str:
    """A name with its plug-in and version, for a message."""
    entries = REGISTRIES[kind].lookup(name)
    what = f"{singular(kind)} {name!r}"
    if not entries or entries[0].owner in ("gantl_zoo", "script"):
        return what
    return f"plug-in {entries[0].owner} {entries[0].version}: {what}"
