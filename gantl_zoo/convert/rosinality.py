"""The format `rosinality`: StyleGAN2 checkpoints of rosinality/stylegan2-pytorch.

A training checkpoint is `{"g", "d", "g_ema", "g_optim", "d_optim", "args", "ada_aug_p"}`; the project's
converter writes `{"g_ema", "latent_avg"}`, with `d` if asked. The networks compute what NVIDIA's do, whose
names the tensors get here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from gantl_zoo.convert.formats import ImportedNetworks
from gantl_zoo.convert.low_pass import check_filter
from gantl_zoo.convert.snapshot import other_format
from gantl_zoo.convert.stylegan2_shapes import (
    Tensors,
    discriminator_settings,
    generator_settings,
    with_filters,
)
from gantl_zoo.convert.tree import kind
from gantl_zoo.errors import WeightsError
from gantl_zoo.storage.untrusted import printable

LAYER = {
    "conv.weight": "weight",
    "conv.modulation.weight": "affine.weight",
    "conv.modulation.bias": "affine.bias",
    "noise.weight": "noise_strength",
    "activate.bias": "bias",
    "bias": "bias",  # of a layer to RGB
    "conv.blur.kernel": "resample_filter",
    "upsample.kernel": "",  # of the block, not the layer
}
BLOCK = {
    "conv1.0.weight": "conv0.weight",
    "conv1.1.bias": "conv0.bias",
    "conv2.0.kernel": "conv1.resample_filter",
    "conv2.1.weight": "conv1.weight",
    "conv2.2.bias": "conv1.bias",
    "skip.0.kernel": "skip.resample_filter",
    "skip.1.weight": "skip.weight",
}
HEAD = {
    "final_conv.0.weight": "conv.weight",
    "final_conv.1.bias": "conv.bias",
    "final_linear.0.weight": "fc.weight",
    "final_linear.0.bias": "fc.bias",
    "final_linear.1.weight": "out.weight",
    "final_linear.1.bias": "out.bias",
}
EPSILON_MATTERS = 0.03  # root mean square weight below which adding 1e-8 changes a channel by over 5e-6
LARGEST = 1 << 14  # numbers of a latent, of which 10,000 are mapped
MEAN_OF = 10_000  # latents that estimate the mean intermediate latent
STDDEV_GROUP = 4  # images of a group in the minibatch standard deviation, a constant of that program


class Rosinality:
    """StyleGAN2 checkpoints of rosinality/stylegan2-pytorch, such as `550000.pt`, or of its converter.

    The generator is `g_ema`. The mean latent of a training checkpoint is estimated.
    """

    terms = "weights converted from NVIDIA's snapshots are for non-commercial use only"

    def read(self, tree: Any) -> ImportedNetworks:
        """The averaged generator, and the discriminator if the file has one. Raises `WeightsError`."""
        weights, changed = with_own_epsilon(converted_generator(state_of(tree, "g_ema")))
        config = generator_settings(weights)
        notes = ["the generator is g_ema, the one with averaged weights"]
        if changed:
            notes.append(f"tiny weights of {', '.join(changed)} are divided by √fan-in to keep the images")
        weights["mapping.w_avg"], more = mean_latent(tree, config, weights)
        part, part_weights = None, dict[str, Tensor]()
        if isinstance(tree.get("d"), Mapping):
            part_weights = converted_discriminator(state_of(tree, "d"))
            own = discriminator_settings(part_weights) | {"mbstd_group": STDDEV_GROUP}
            part = {"name": "stylegan2", "config": own}
        return ImportedNetworks(
            {"name": "stylegan2", "config": config},
            weights,
            part,
            part_weights,
            latent_dim=config["latent_dim"],
            notes=(*notes, *more),
        )


def state_of(tree: Any, key: str) -> dict[str, Tensor]:
    """The state dict of a network in a checkpoint. Raises `WeightsError`."""
    if not isinstance(tree, Mapping) or not isinstance(tree.get(key), Mapping):
        keys = printable(", ".join(map(str, list(tree)[:8]))) if isinstance(tree, Mapping) else kind(tree)
        hint = other_format(tree) if isinstance(tree, Mapping) else ""
        raise WeightsError(
            f"it is not a checkpoint of rosinality's StyleGAN2: it has {keys}, but not {key}{hint}"
        )
    for name, tensor in tree[key].items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise WeightsError(f"{key} is not a state dict: {printable(str(name))} is a {kind(tensor)}")
    return dict(tree[key])


def mean_latent(
    tree: Mapping[Any, Any], config: Mapping[str, Any], weights: Tensors
) -> tuple[Tensor, list[str]]:
    """The mean intermediate latent (W,), and a note if it is an estimate."""
    stored = tree.get("latent_avg")
    if isinstance(stored, Tensor):
        return stored.flatten(), []
    note = f"the file has no latent_avg: the mean of {MEAN_OF:,} mapped latents, seed 0, takes its place"
    return mapped_mean(config, weights), [note]


@torch.no_grad()
def mapped_mean(config: Mapping[str, Any], weights: Tensors) -> Tensor:
    """The mean (W,) of intermediate latents, estimated from `MEAN_OF` latents."""
    from gantl_zoo.networks.stylegan2 import Mapping as MappingNetwork

    latent_dim, w_dim = config["latent_dim"], config["w_dim"]
    if max(latent_dim, w_dim) > LARGEST:
        raise WeightsError(f"its latents have more than {LARGEST:,} numbers")
    with torch.device("meta"):  # allocates nothing before the shapes are compared
        network = MappingNetwork(latent_dim, 0, w_dim, config["mapping_layers"], average=False)
    network.load_state_dict(inner(weights, "mapping."), assign=True)
    noise = torch.randn(MEAN_OF, latent_dim, generator=torch.Generator().manual_seed(0))
    mean: Tensor = network(noise).mean(0)  # (10,000, Z) -> (W,)
    return mean


def inner(weights: Tensors, prefix: str) -> dict[str, Tensor]:
    """The tensors of the module with this prefix, without it, in float32."""
    tensors = {name: tensor for name, tensor in weights.items() if name.startswith(prefix)}
    return {name.removeprefix(prefix): tensor.float() for name, tensor in tensors.items()}


def generator_name(name: str) -> str:
    """NVIDIA's name of a tensor of the generator. Raises `WeightsError` for other names."""
    if name == "input.input":
        return "synthesis.b4.const"
    if match := re.fullmatch(r"style\.([1-9]\d*)\.(weight|bias)", name):
        return f"mapping.fc{int(match[1]) - 1}.{match[2]}"
    if match := re.fullmatch(r"noises\.noise_(\d{1,2})", name):
        return f"synthesis.{layer_after(int(match[1]) - 1)}.noise_const"
    if match := re.fullmatch(r"(conv1|convs\.\d{1,2}|to_rgb1|to_rgbs\.\d{1,2})\.(.+)", name):
        kind, _, number = match[1].partition(".")
        index = int(number) if number else -1
        if match[2] == "upsample.kernel" and kind == "to_rgbs":
            return f"synthesis.b{8 << index}.resample_filter"
        layer = layer_after(index) if kind.startswith("conv") else f"b{8 << index if number else 4}.torgb"
        if LAYER.get(match[2]):
            return f"synthesis.{layer}.{LAYER[match[2]]}"
    raise WeightsError(f"{printable(name)} is not a tensor of rosinality's generator")


def layer_after(index: int) -> str:
    """The block and layer of `convs.index`, or those of the first convolution for -1."""
    return "b4.conv1" if index < 0 else f"b{8 << index // 2}.conv{index % 2}"


def discriminator_name(name: str, image_size: int) -> str:
    """NVIDIA's name of a tensor of the discriminator for images of this size. Raises `WeightsError`."""
    if name in HEAD:
        return f"b4.{HEAD[name]}"
    if match := re.fullmatch(r"convs\.0\.(0\.weight|1\.bias)", name):
        return f"b{image_size}.fromrgb.{match[1][2:]}"
    if (match := re.fullmatch(r"convs\.([1-9]\d*)\.(.+)", name)) and match[2] in BLOCK:
        return f"b{2 * image_size >> int(match[1])}.{BLOCK[match[2]]}"
    raise WeightsError(f"{printable(name)} is not a tensor of rosinality's discriminator")


def converted_generator(tensors: Tensors) -> dict[str, Tensor]:
    """The generator's tensors under NVIDIA's names, in their shapes. Raises `WeightsError`."""
    return converted(tensors, generator_name)


def converted_discriminator(tensors: Tensors) -> dict[str, Tensor]:
    """The discriminator's tensors under NVIDIA's names. Raises `WeightsError`."""
    blocks = {int(match[1]) for name in tensors if (match := re.match(r"convs\.(\d+)\.", name))}
    image_size = 4 << max(len(blocks) - 1, 0)
    return converted(tensors, lambda name: discriminator_name(name, image_size))


def converted(tensors: Tensors, rename: Callable[[str], str]) -> dict[str, Tensor]:
    """Tensors under new names and with their shapes, and a low-pass filter for each layer."""
    ours: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        new = rename(name)
        if new.endswith("resample_filter"):
            check_filter(name, tensor, gain=4 if new.startswith("synthesis") else 1)
            continue
        ours[new] = squeezed(name, tensor, axes_of(new))
    return with_filters(ours)


def axes_of(name: str) -> int | None:
    """The number of axes of a tensor by NVIDIA's name; None if rosinality has the same shape."""
    if not name.startswith("synthesis"):
        return None
    ends = {
        "noise_strength": 0,
        "torgb.bias": 1,
        "noise_const": 2,
        "const": 3,
        "affine.weight": None,
        "weight": 4,
    }
    return next((axes for end, axes in ends.items() if name.endswith(end)), None)


def squeezed(name: str, tensor: Tensor, axes: int | None) -> Tensor:
    """The tensor without its leading axes of length 1; a bias is flattened. Raises `WeightsError`."""
    if axes is None:
        return tensor
    result = tensor.flatten() if axes == 1 else tensor
    while result.dim() > axes and result.shape[0] == 1:
        result = result[0]
    if result.dim() != axes:
        raise WeightsError(
            f"{name} has the shape {tuple(tensor.shape)}, not one that rosinality's networks have"
        )
    return result.contiguous()


def with_own_epsilon(tensors: Tensors) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors, tiny demodulated weights divided by √fan-in, and the names of those tensors.

    Demodulation divides by the norm of a channel's weights and adds 1e-8: rosinality to the mean square,
    NVIDIA to the sum of squares. For channels of tiny weights that differs. Divided weights give the same
    image. Other channels keep their weights, because the size of weights sets how fast they train.
    """
    ours, changed = dict(tensors), list[str]()
    for name, weight in tensors.items():
        if re.fullmatch(r"synthesis\.b\d+\.conv[01]\.weight", name):
            square = weight.square().mean((1, 2, 3), keepdim=True)  # (O, I, k, k) -> (O, 1, 1, 1)
            if (tiny := square < EPSILON_MATTERS**2).any():
                ours[name] = torch.where(tiny, weight / weight[0].numel() ** 0.5, weight)
                changed.append(name)
    return ours, changed
