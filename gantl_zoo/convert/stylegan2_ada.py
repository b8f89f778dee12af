"""The format `stylegan2-ada`: snapshots of NVIDIA's PyTorch implementations.

A snapshot is a pickle of `{"G", "D", "G_ema", …}` by StyleGAN2-ADA, or by StyleGAN3 when it trained a
StyleGAN2 network. Sizes come from the tensors, which keep their names; a few settings come from the
attributes of the pickled layers. The alias-free generators of StyleGAN3 are another family.
"""

from __future__ import annotations

import math
from typing import Any

from gantl_zoo.convert.formats import ImportedNetworks
from gantl_zoo.convert.snapshot import attribute, networks_of, number
from gantl_zoo.convert.stylegan2_shapes import (
    Tensors,
    check_filters,
    discriminator_settings,
    generator_settings,
    unsupported,
)
from gantl_zoo.convert.tree import Persisted, kind, state_dict
from gantl_zoo.errors import WeightsError
from gantl_zoo.storage.untrusted import printable

WHOLE_BATCH = 1 << 16  # larger than any batch
LEARNING_RATE_MULTIPLIER = 0.01  # of the mapping networks


class StyleGAN2ADA:
    """Snapshots of StyleGAN2-ADA, and of StyleGAN3 with a StyleGAN2 network, `network-snapshot-*.pkl`.

    The generator is `G_ema`. The discriminator `D` is left out if it isn't a residual one.
    """

    terms = "NVIDIA's own snapshots, and models trained from them, are for non-commercial use only"

    def read(self, tree: Any) -> ImportedNetworks:
        """The averaged generator and the discriminator. Raises `WeightsError`."""
        generator, discriminator = networks_of(tree, "StyleGAN2-ADA")
        check_family(generator)
        weights = state_dict(generator)
        settings = generator_settings(weights) | clamp(generator, "synthesis.b4.conv1")
        check_filters(weights)
        check_layers(generator, weights, "synthesis.b4.conv1")
        notes = ["the generator is G_ema, the one with averaged weights", *precision(generator)]
        part, part_weights, more = discriminator_part(discriminator)
        return ImportedNetworks(
            {"name": "stylegan2", "config": settings},
            weights,
            part,
            part_weights,
            latent_dim=settings["latent_dim"],
            classes=settings["num_classes"],
            notes=(*notes, *more),
        )


def discriminator_part(network: Persisted | None) -> tuple[dict[str, Any] | None, Tensors, list[str]]:
    """The discriminator and its weights, and a note if there is none that `stylegan2` has."""
    if network is None:
        return None, {}, []
    weights = state_dict(network)
    if reason := unsupported(weights):
        return None, {}, [f"the discriminator is left out: {reason}"]
    check_filters(weights)
    check_layers(network, weights, "b4.conv")
    settings = discriminator_settings(weights) | clamp(network, "b4.conv")
    settings |= group_size(network)
    return {"name": "stylegan2", "config": settings}, weights, []


def group_size(network: Persisted) -> dict[str, int]:
    """The setting `mbstd_group`; a `group_size` of None means the whole batch."""
    layers = attribute(network, "b4", "_modules")
    layer = layers.get("mbstd") if isinstance(layers, dict) else None
    if not isinstance(layer, Persisted) or "group_size" not in layer.state:
        return {}
    group = number(layer.state["group_size"], "group_size of b4.mbstd")
    return {"mbstd_group": WHOLE_BATCH if group is None else int(group)}


def precision(generator: Persisted) -> list[str]:
    """A note if the official network computes in float16."""
    count = number(attribute(generator, "synthesis", "num_fp16_res"), "num_fp16_res of synthesis")
    if not count:
        return []
    return [f"num_fp16_res {int(count)} is ignored; the images are computed in float32"]


def check_family(generator: Persisted) -> None:
    """Raise `WeightsError` for a generator that is not a StyleGAN2."""
    if attribute(generator, "synthesis.input", "_modules") is not None:
        raise WeightsError(
            "it is an alias-free StyleGAN3 generator (stylegan3-t or stylegan3-r), another family than "
            "StyleGAN2; of StyleGAN3's snapshots only those trained with --cfg=stylegan2 can be imported"
        )


def check_layers(network: Persisted, tensors: Tensors, first: str) -> None:
    """Raise `WeightsError` if layers have an activation or a learning rate that `stylegan2` doesn't have."""
    for path in (first, "mapping.fc0"):
        activation = attribute(network, path, "activation")
        if activation is not None and not (isinstance(activation, str) and activation == "lrelu"):
            shown = activation if isinstance(activation, str) else kind(activation)
            raise WeightsError(f"{path} has the activation {printable(shown)}; only lrelu is supported")
    gain = number(attribute(network, "mapping.fc0", "weight_gain"), "weight_gain of mapping.fc0")
    if gain is not None:
        multiplier = gain * math.sqrt(tensors["mapping.fc0.weight"].shape[1])
        if not math.isclose(multiplier, LEARNING_RATE_MULTIPLIER, rel_tol=1e-4):
            raise WeightsError(
                f"its mapping network has the learning rate multiplier {multiplier:.4g}; only "
                f"{LEARNING_RATE_MULTIPLIER} is supported"
            )


def clamp(network: Persisted, layer: str) -> dict[str, Any]:
    """The setting `conv_clamp`, the bound of the absolute value of each layer's output, None if unbounded."""
    return {"conv_clamp": number(attribute(network, layer, "conv_clamp"), "conv_clamp")}
