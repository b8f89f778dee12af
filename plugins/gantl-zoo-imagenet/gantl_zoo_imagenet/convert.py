"""Read a package's weights, rename their tensors as timm does, and write a model folder.

The file is checked before it is read, and read without unpickling objects. Names in timm's network:
`blocks.S.B` is block B of stage S, while the EfficientNet-Lite files count blocks through all stages.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import gantl_zoo as gz
from gantl_zoo.storage.folder import write_folder
from gantl_zoo.storage.schema import read_config
from gantl_zoo_imagenet.packages import WeightsPackage

OUTSIDE = {  # modules outside of the blocks: in the file, in timm
    "_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier",
}  # fmt: skip
SEPARABLE = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
INVERTED = {
    "_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2",
    "_project_conv": "conv_pwl", "_bn2": "bn3",
}  # fmt: skip


def write(package: WeightsPackage, description: Path, folder: Path) -> None:
    """Write the model folder with the weights of a package. Raises `WeightsError`."""
    config, state = read_config(description), read(package)
    backbone = gz.backbones.build_empty(config["backbone"]["name"], **config["backbone"]["config"])
    network = backbone.network
    lengths = [len(stage) for stage in network.blocks]
    weights = (
        efficientnet(state, lengths)
        if "_conv_stem.weight" in state
        else in_order(state, network.state_dict())
    )
    try:
        network.load_state_dict(weights, strict=True)
    except RuntimeError as error:  # a timm whose network has changed
        raise gz.WeightsError(
            f"the weights of {package.package} don't fit timm's network: {error}"
        ) from error
    card = (description / "README.md").read_text(encoding="utf-8")
    write_folder(folder, config, {"model": backbone}, card)


def read(package: WeightsPackage) -> dict[str, Tensor]:
    """The tensors in the file of a package. Raises `WeightsError`."""
    state: dict[str, Tensor] = torch.load(
        io.BytesIO(package.checked()), map_location="cpu", weights_only=True
    )
    return state


def efficientnet(state: Mapping[str, Tensor], lengths: Iterable[int]) -> dict[str, Tensor]:
    """Weights of EfficientNet-Lite with timm's names; `lengths` are the numbers of blocks of its stages."""
    places = [(stage, block) for stage, length in enumerate(lengths) for block in range(length)]

    def renamed(key: str) -> str:
        module, _, rest = key.partition(".")
        if module != "_blocks":
            return f"{OUTSIDE[module]}.{rest}"
        number, inner, tensor = rest.split(".")
        stage, block = places[int(number)]
        names = INVERTED if stage else SEPARABLE  # the first stage does not expand
        return f"blocks.{stage}.{block}.{names[inner]}.{tensor}"

    return {renamed(key): tensor for key, tensor in state.items()}


def in_order(state: Mapping[str, Tensor], expected: Mapping[str, Any]) -> dict[str, Tensor]:
    """Weights of torchvision's MobileNetV2 with timm's names: both have the same tensors in one order."""
    return dict(zip(expected, state.values(), strict=True))
