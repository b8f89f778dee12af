"""The weights of the layers that take a generator's latent, from which directions are computed.

A generator may have the method `latent_weights()`. It returns a list of weights (outputs, D): one for each
layer that has a latent of its own, in their order, or those of all layers if there is a single latent. For
any other generator, the layers are found by a forward pass: those whose input is the latent, up to a factor.

N batch, D size of a latent: Z, or W for a network with an intermediate space; L layers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.conv import _ConvTransposeNd

from gantl_zoo.errors import UsageError
from gantl_zoo.networks.base import eval_view, num_classes_of
from gantl_zoo.networks.mapping import map_noise, synthesize

PROBES = 2  # random latents in that forward pass
SAME = 0.999  # cosine of an input and a latent that are the same


@torch.no_grad()
def latent_weights(network: Any) -> list[Tensor]:
    """For each of L layers the weights (D, outputs), float32 on the CPU; L is 1 without a latent per layer.

    Raises `UsageError` if the layers are not found.
    """
    own = getattr(network, "latent_weights", None)
    weights = [weight.flatten(1).T for weight in own()] if callable(own) else probed(network)
    if not weights or not all(len(weight) for weight in weights):
        raise UsageError(
            f"no layer of {type(network).__name__} was found whose input is the latent: give the network a "
            "method latent_weights(), which returns the weights (outputs, latent size) of these layers"
        )
    return [weight.detach().float().cpu() for weight in weights]


def probed(network: Any) -> list[Tensor]:
    """The weights of the layers whose input is the latent in a forward pass; empty if a layer has none."""
    network = eval_view(network)
    latents, labels = probe(network)
    layers = latents.unbind(1) if latents.ndim == 3 else (latents.flatten(1),)
    collected: list[list[Tensor]] = [[] for _ in layers]
    for module in network.modules():
        weight = getattr(module, "weight", None)
        if isinstance(weight, Tensor) and weight.ndim >= 2:
            module.register_forward_pre_hook(recorder(layers, collected))
    synthesize(network, latents, labels)
    return [torch.cat(weights, 1) if weights else torch.zeros(0, 0) for weights in collected]


def probe(network: Any) -> tuple[Tensor, Tensor | None]:
    """Random latents of `map`, different in each layer, and labels for a class-conditional network."""
    weight = next(network.parameters())
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(PROBES, int(network.latent_dim), generator=generator).to(weight)
    classes = num_classes_of(network)
    labels = torch.arange(PROBES, device=weight.device) % classes if classes else None
    latents = map_noise(network, noise, labels)
    if latents.ndim == 3:
        latents = latents + torch.randn(latents.shape, generator=generator).to(weight)
    return latents, labels


def recorder(layers: tuple[Tensor, ...], collected: list[list[Tensor]]) -> Callable[[nn.Module, Any], None]:
    """A hook that appends a module's weight (D, outputs) to those of the layer whose latent it takes."""

    def record(module: Any, inputs: tuple[Any, ...]) -> None:
        given = inputs[0] if inputs and isinstance(inputs[0], Tensor) else None
        if given is None or not given.is_floating_point() or given.shape[2:].numel() != 1:
            return
        flat = given.flatten(1)  # (N, D), or (N, D + …) if something is appended to the latent
        for latent, weights in zip(layers, collected, strict=True):
            size = latent.shape[1]
            matrix = oriented(module, flat.shape[1])
            if matrix is None or flat.shape[1] < size or len(flat) != len(latent):
                continue
            if (functional.cosine_similarity(flat[:, :size].float(), latent.float()) > SAME).all():
                weights.append(matrix[:size])

    return record


def oriented(module: Any, inputs: int) -> Tensor | None:
    """A layer's weight as (inputs, outputs); None if it does not have so many inputs."""
    weight: Tensor = module.weight
    if not isinstance(module, _ConvTransposeNd):
        weight = weight.transpose(0, 1)
    return weight.flatten(1) if len(weight) == inputs else None
