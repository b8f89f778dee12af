"""What is exported: modules with named inputs and one named output, and examples of the inputs.

N batch, Z latent size, C channels, H, W image size.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from gantl_zoo.errors import UsageError
from gantl_zoo.export.metadata import IMAGES, INNER, LABELS, LATENTS, LOGITS, TRUNCATION
from gantl_zoo.model.sampling import drawn_classes, latents
from gantl_zoo.networks import mapping
from gantl_zoo.networks.base import num_classes_of
from gantl_zoo.networks.mapping import MappedGenerator

if TYPE_CHECKING:
    from gantl_zoo.model.classifier import Classifier
    from gantl_zoo.model.gan import GAN

TOLERANCE = 1e-5  # largest difference from torch: of images in [-1, 1], or relative to larger values
MAPPED_TOLERANCE = 1e-4  # of generators with an intermediate latent space, which are deeper


@dataclass(frozen=True)
class Graph:
    """A part of a model that becomes a file: `module(*inputs.values())` computes its `output`."""

    part: str
    module: nn.Module
    names: tuple[str, ...]  # of the inputs, in order
    output: str
    about: Mapping[str, Any]  # sizes that the model's metadata has
    tolerance: float = TOLERANCE

    def inputs(self, seeds: range, truncation: float = 1.0) -> dict[str, Tensor]:
        """Examples of the inputs, one row for each seed."""
        inputs: dict[str, Tensor] = {}
        for name in self.names:
            inputs[name] = self.example(name, seeds, truncation)
        return inputs

    def example(self, name: str, seeds: range, truncation: float) -> Tensor:
        """The example of one input."""
        if name == TRUNCATION:
            return torch.tensor(truncation)
        if name == LABELS:
            return drawn_classes(seeds, self.about["num_classes"])
        if name == LATENTS:
            return latents(seeds, self.about["latent_dim"])
        shape = self.about["image"] if name == IMAGES else self.about["inner"]
        values = torch.empty(len(seeds), *shape)
        for row, seed in zip(values, seeds, strict=True):
            generator = torch.Generator().manual_seed(seed)
            if name == IMAGES:
                row.uniform_(-1, 1, generator=generator)
            else:
                row.normal_(generator=generator)
        return values

    @torch.no_grad()
    def expected(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """The output that torch computes."""
        result: Tensor = self.module(*inputs.values())
        return result

    @cached_property
    def exact(self) -> nn.Module:
        """The module in float64."""
        return copy.deepcopy(self.module).double()

    @torch.no_grad()
    def reference(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """The output that torch computes in float64; in float32 if the code of a network allows no other."""
        wider = [one.double() if one.is_floating_point() else one for one in inputs.values()]
        try:
            result: Tensor = self.exact(*wider)
        except (RuntimeError, TypeError):
            return self.expected(inputs)
        return result


class Whole(nn.Module):
    """Latents (N, Z), labels (N,) if class-conditional, a truncation -> images (N, C, H, W) in [-1, 1]."""

    def __init__(self, network: nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.network, self.names = network, names
        self.eval()

    def forward(self, *inputs: Tensor) -> Tensor:
        given = dict(zip(self.names, inputs, strict=True))
        labels = given.get(LABELS)
        inner = mapping.map_noise(self.network, given[LATENTS], labels)
        if TRUNCATION in given:
            inner = self.network.truncate(inner, given[TRUNCATION])  # type: ignore[operator]
        return mapping.synthesize(self.network, inner, labels).clamp(-1, 1)


class ToInner(nn.Module):
    """Latents (N, Z), and labels (N,) if class-conditional -> intermediate latents (N, …)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.eval()

    def forward(self, *inputs: Tensor) -> Tensor:
        return mapping.map_noise(self.network, inputs[0], inputs[1] if len(inputs) > 1 else None)


class FromInner(nn.Module):
    """Intermediate latents (N, …) and a truncation -> images (N, C, H, W) in [-1, 1]."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.eval()

    def forward(self, *inputs: Tensor) -> Tensor:
        inner = self.network.truncate(*inputs)  # type: ignore[operator]
        return mapping.synthesize(self.network, inner, None).clamp(-1, 1)


def generator_graphs(gan: GAN, split: bool) -> list[Graph]:
    """The graph of a GAN's generator; with `split` those of its two halves, too.

    Raises `UsageError` if it is to be split and has no intermediate latent space.
    """
    network = frozen(gan.generator)
    mapped = isinstance(network, MappedGenerator)
    if split and not mapped:
        raise UsageError(
            f"{gan.name} has no mapping network: its generator {gan.parts['generator']['name']!r} maps "
            "latents to images directly; leave split out"
        )
    labels = (LABELS,) if num_classes_of(network) else ()
    names = (LATENTS, *labels, *((TRUNCATION,) if mapped else ()))
    about: dict[str, Any] = {"latent_dim": gan.latent_dim, "num_classes": gan.num_classes}
    about |= {"image": list(gan.image_shape)}
    if mapped:
        half = ToInner(network)
        rows = latents(range(1), gan.latent_dim), *([drawn_classes([0], gan.num_classes)] if labels else [])
        with torch.no_grad():
            about["inner"] = list(half(*rows).shape[1:])
    tolerance = MAPPED_TOLERANCE if mapped else TOLERANCE
    graphs = [Graph("generator", Whole(network, names), names, IMAGES, about, tolerance)]
    if split:
        graphs += [
            Graph("mapping", half, (LATENTS, *labels), INNER, about, tolerance),
            Graph("synthesis", FromInner(network), (INNER, TRUNCATION), IMAGES, about, tolerance),
        ]
    return graphs


def classifier_graph(classifier: Classifier, image_size: int | None) -> Graph:
    """The graph of a classifier: images (N, C, H, W) in [-1, 1] -> logits (N, L).

    Raises `UsageError` if the size of its images is not known.
    """
    stated = classifier.info().image_shape
    shape = (classifier.channels, image_size, image_size) if image_size else stated
    if shape is None:
        raise UsageError(
            f"{classifier.name} does not state the size of its training images: give the size of the "
            "images that it is to classify, such as --image-size 224 (image_size=224)"
        )
    about = {"image": list(shape), "num_classes": classifier.num_classes}
    return Graph("classifier", frozen(classifier.backbone), (IMAGES,), LOGITS, about)


def frozen(network: nn.Module) -> nn.Module:
    """A copy in eval mode, in float32 on the CPU, whose weights are plain tensors without gradients.

    A parametrization, such as spectral norm, is replaced by the weight that it computes.
    """
    twin = copy.deepcopy(network).float().cpu().eval()
    with torch.no_grad():
        for module in list(twin.modules()):
            for name in list(getattr(module, "parametrizations", ())):
                parametrize.remove_parametrizations(module, name, leave_parametrized=True)
    return twin.requires_grad_(False)
