"""Any timm model as a backbone: `timm:resnet18`, `timm:mobilenetv3_small_050`, ...

For grey images timm (https://github.com/huggingface/pytorch-image-models) sums the colour kernels of the
first convolution (`in_chans`). So grey images are normalised with the mean of the colours' statistics.

N batch, C channels, H, W image size, D embedding size, L classes.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from gantl_zoo import registry
from gantl_zoo.errors import UnknownNameError, UsageError, closest
from gantl_zoo.networks.weights import build_pretrained, configuration
from gantl_zoo.registry.arguments import starting_weights

STRIDE = 32  # total stride of nearly all timm models
LARGEST = 1024  # maximum value of `resize`, in pixels
EXAMPLES = ("resnet18", "mobilenetv3_small_050")
ENLARGED = 128  # pixels; features of smaller images are much better if the images are enlarged to this size
ENLARGED_BEFORE = 64  # the same size in folders of earlier versions, whose `resize` is null


class TimmBackbone(nn.Module):
    """A timm model that maps images (N, C, H, W) in [-1, 1] to logits (N, L).

    `config` has the arguments that build it again.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: Any,
        channels: int,
        resize: int | Literal["auto"] | None = "auto",
        interpolation: Literal["auto", "bicubic", "bilinear"] = "auto",
    ) -> None:
        super().__init__()
        self.network = network
        self.channels, self.num_classes = channels, network.num_classes
        self.embedding_dim: int = network.head_hidden_size
        settings = network.pretrained_cfg
        self.own_side: int = settings["input_size"][-1]
        self.fixed = bool(settings.get("fixed_input_size"))
        if self.fixed and resize not in ("auto", None, self.own_side):
            raise UsageError(
                f"timm:{settings['architecture']} takes images of {self.own_side} pixels only, so resize "
                f"must be {self.own_side} or 'auto', not {resize}"
            )
        self.resize = resize
        usual = "bilinear" if resize is None or settings["interpolation"] != "bicubic" else "bicubic"
        self.interpolation = usual if interpolation == "auto" else interpolation
        self.config = {
            "channels": channels,
            "num_classes": self.num_classes,
            "resize": resize,
            "interpolation": self.interpolation,
        }
        for name in ("mean", "std"):
            values = torch.tensor(settings[name])
            values = values if channels == len(values) else values.mean().expand(channels)
            self.register_buffer(name, values.view(1, -1, 1, 1).clone(), persistent=False)  # (1, C, 1, 1)

    @property
    def blocks(self) -> list[nn.Module]:
        """Trainable modules from the image to the logits; each layer of a `Sequential` is a block."""
        direct = _DirectParameters(dict(self.network.named_parameters(recurse=False)))
        blocks: list[nn.Module] = [direct]
        for child in self.network.children():
            blocks += list(child) if isinstance(child, (nn.Sequential, nn.ModuleList)) else [child]
        return [block for block in blocks if any(True for _ in block.parameters())]

    def prepare(self, images: Tensor) -> Tensor:
        """Resize images (N, C, H, W) in [-1, 1] and normalise them as in the network's training."""
        side = self.side(max(images.shape[-2:]))
        images = resized(images, side, self.interpolation)  # (N, C, H, W) -> (N, C, side, side)
        return ((images + 1) / 2 - self.mean) / self.std

    def side(self, longer: int) -> int:
        """The side in pixels to which images are resized whose longer side is `longer`."""
        if isinstance(self.resize, int):
            return self.resize
        if self.fixed:
            return self.own_side
        multiple = math.ceil(longer / STRIDE) * STRIDE
        if self.resize is None:
            return max(ENLARGED_BEFORE, multiple)
        return min(max(ENLARGED, multiple), max(ENLARGED, self.own_side))

    def pyramid(self, images: Tensor) -> list[Tensor]:
        """Feature maps (N, K, h, w), fine to coarse: the last one of each size, or four depths of a ViT.

        They equal the maps of timm's `features_only`, but come from the classifier's own network.
        """
        if not hasattr(self.network, "forward_intermediates"):
            name = self.network.default_cfg["architecture"]
            raise UsageError(
                f"timm:{name} can't return feature maps; choose another backbone, such as {EXAMPLES[0]}"
            )
        maps: list[Tensor] = self.network.forward_intermediates(
            self.prepare(images), intermediates_only=True, output_fmt="NCHW"
        )
        by_size = {tuple(features.shape[-2:]): features for features in maps}
        if len(by_size) > 1:
            return list(by_size.values())
        return maps[len(maps) // 4 - 1 :: max(1, len(maps) // 4)] if len(maps) > 4 else maps

    def embed(self, images: Tensor) -> Tensor:
        """Embeddings (N, D): the input of the classifier."""
        features = self.network.forward_features(self.prepare(images))
        embedding: Tensor = self.network.forward_head(features, pre_logits=True)
        return embedding.flatten(1)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(self.prepare(images))  # (N, C, H, W) -> (N, L)
        return logits


def resized(images: Tensor, side: int, mode: str) -> Tensor:
    """Images (N, C, H, W) as (N, C, side, side), as `interpolate` with antialiasing does.

    Both directions are products with small matrices: with its gradient this is faster on a CPU.
    """
    if images.shape[-2:] == (side, side):
        return images
    with torch.autocast(images.device.type, enabled=False):
        rows, columns = (resizing(n, side, mode, images.dtype, images.device) for n in images.shape[-2:])
        return rows @ images @ columns.T


@cache
def resizing(size: int, side: int, mode: str, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The matrix (side, size) that resizes a column of pixels."""
    with torch.inference_mode(False):
        exact = torch.float64 if dtype == torch.float64 else torch.float32
        unit = torch.eye(size, dtype=exact)[None, None]  # (1, 1, size, size)
        matrix = functional.interpolate(unit, size=(side, size), mode=mode, antialias=True)[0, 0]
        return matrix.to(device, dtype)


class HardSigmoid(nn.Module):
    """relu6(x + 3) / 6: `nn.Hardsigmoid` with the second derivative that R1 needs."""

    def forward(self, features: Tensor) -> Tensor:
        return functional.relu6(features + 3) / 6


def twice_differentiable(network: nn.Module) -> None:
    """Replace each `nn.Hardsigmoid`, whose gradient is not differentiable, by `HardSigmoid`."""
    for name, child in network.named_children():
        if isinstance(child, nn.Hardsigmoid):
            setattr(network, name, HardSigmoid())
        twice_differentiable(child)


class _DirectParameters(nn.Module):
    """A block of the parameters that belong to a network itself, such as class tokens and positions."""

    def __init__(self, parameters: dict[str, nn.Parameter]) -> None:
        super().__init__()
        for name, parameter in parameters.items():
            self.register_parameter(name, parameter)


def current_name(name: str) -> str:
    """timm's current name of a model; also accepts deprecated names such as `tf_efficientnet_b0_ns`.

    Raises `UnknownNameError` with the closest names if timm has no such model, or no such weights for it.
    A tag that timm uses for another model is valid: weights may come from elsewhere.
    """
    import timm
    from timm.models import get_deprecated_models

    deprecated = get_deprecated_models()
    name = deprecated.get(name) or name
    models = timm.list_models()
    architecture, dot, tag = name.partition(".")
    if architecture not in models:
        close = closest(name, [*models, *timm.list_pretrained(), *deprecated]) or EXAMPLES
        raise UnknownNameError(f"timm has no model {name[:80]!r}; it has for example {', '.join(close)}")
    tagged = timm.list_models(f"{architecture}.*", include_tags=True)
    tagged += registry.weights.names(f"{architecture}.*")
    if (
        dot
        and name not in tagged
        and tag not in {other.partition(".")[2] for other in timm.list_pretrained()}
    ):
        has = ", ".join(closest(name, tagged, 5) or tagged) or "none"
        raise UnknownNameError(f"timm has no weights {tag[:80]!r} of {architecture!r}; it has {has}")
    return name


@starting_weights(pretrained=False)
def backbone(
    *,
    name: str,
    channels: int = 3,
    num_classes: int = 10,
    pretrained: bool = True,
    resize: int | Literal["auto"] | None = "auto",
    interpolation: Literal["auto", "bicubic", "bilinear"] = "auto",
) -> TimmBackbone:
    """Classifier of PyTorch Image Models (timm), such as `timm:resnet18`.

    `name`: name of the model in timm.
    `channels`: number of channels of the images; 1 for grey, 3 for RGB.
    `num_classes`: number of classes.
    `pretrained`: whether pretrained weights are loaded: those of an installed package, of the folder
        GANTL_ZOO_WEIGHTS_DIR, or timm's own, which are downloaded at first use.
    `resize`: height and width to which images are resized, from 1 to 1,024 pixels. "auto" means at least 128:
        the next multiple of 32, at most the model's usual size, or its fixed size. None means the next
        multiple of 32 from 64 on, bilinear, as in earlier versions.
    `interpolation`: "bicubic" or "bilinear"; "auto" means that of timm's configuration.

    Raises `UnknownNameError` if timm has no such model, and `WeightsError` if its pretrained weights can't be
    loaded (for example offline, if no place on this machine has them).
    """
    import timm  # here, because it takes 4 s

    name = current_name(name)
    if isinstance(resize, int) and not 1 <= resize <= LARGEST:
        raise UsageError(f"timm:{name}: resize must be from 1 to {LARGEST} pixels, not {resize}")
    if pretrained:
        network = build_pretrained(name, channels, num_classes)
    else:
        known = name if configuration(name) else name.partition(".")[0]
        try:
            network = timm.create_model(known, in_chans=channels, num_classes=num_classes)
        except Exception as error:
            raise UsageError(f"timm can't build {name!r} with {channels} channels: {error}") from error
    twice_differentiable(network)
    return TimmBackbone(network, channels, resize, interpolation)
