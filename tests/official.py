"""Tiny files in the layouts of other programs, with random weights, for tests of the import.

The layouts are those of the programs; their code is not needed. Each function returns plain tensors under
the program's names, or writes a file as the program does.
"""

from __future__ import annotations

import pickle
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

FILTER = torch.outer(torch.tensor([1.0, 3.0, 3.0, 1.0]), torch.tensor([1.0, 3.0, 3.0, 1.0])) / 64


def random(*shape: int) -> Tensor:
    """Random weights, from torch's global generator."""
    return torch.randn(shape)


def stylegan2_generator(
    widths: Mapping[int, int], *, channels: int = 3, z_dim: int = 6, w_dim: int = 5, layers: int = 2, classes: int = 0
) -> dict[str, Tensor]:
    """Tensors of a generator of StyleGAN2-ADA with these channels at each resolution."""
    tensors = {"mapping.w_avg": random(w_dim)}
    inputs = z_dim
    if classes:
        tensors |= {"mapping.embed.weight": random(w_dim, classes), "mapping.embed.bias": random(w_dim)}
        inputs += w_dim
    for layer in range(layers):
        weight = random(w_dim, inputs if layer == 0 else w_dim) * 100
        tensors |= {f"mapping.fc{layer}.weight": weight, f"mapping.fc{layer}.bias": random(w_dim) * 10}
    for size, width in widths.items():
        block, before = f"synthesis.b{size}", widths.get(size // 2, 0)
        tensors |= {f"{block}.const": random(width, 4, 4)} if size == 4 else {}
        tensors[f"{block}.resample_filter"] = FILTER.clone()
        for name, inside in ((("conv0", before),) if before else ()) + (("conv1", width),):
            tensors |= {
                f"{block}.{name}.weight": random(width, inside, 3, 3),
                f"{block}.{name}.noise_strength": random() * 0.1,
                f"{block}.{name}.bias": random(width) * 0.1,
                f"{block}.{name}.resample_filter": FILTER.clone(),
                f"{block}.{name}.noise_const": random(size, size),
                f"{block}.{name}.affine.weight": random(inside, w_dim),
                f"{block}.{name}.affine.bias": 1 + random(inside) * 0.1,
            }
        tensors |= {
            f"{block}.torgb.weight": random(channels, width, 1, 1),
            f"{block}.torgb.bias": random(channels) * 0.1,
            f"{block}.torgb.affine.weight": random(width, w_dim),
            f"{block}.torgb.affine.bias": 1 + random(width) * 0.1,
        }
    return tensors


def stylegan2_discriminator(
    widths: Mapping[int, int], *, channels: int = 3, classes: int = 0, skip: bool = True
) -> dict[str, Tensor]:
    """Tensors of a discriminator of StyleGAN2-ADA; without `skip` of its architecture 'orig'."""
    tensors: dict[str, Tensor] = {}
    for size in sorted(widths, reverse=True)[:-1]:
        width, after = widths[size], widths[size // 2]
        convs = {"conv0": (width, width, 3), "conv1": (after, width, 3)} | ({"skip": (after, width, 1)} if skip else {})
        if size == max(widths):
            convs["fromrgb"] = (width, channels, 1)
        tensors[f"b{size}.resample_filter"] = FILTER.clone()
        for name, (outputs, inputs, kernel) in convs.items():
            tensors[f"b{size}.{name}.weight"] = random(outputs, inputs, kernel, kernel)
            tensors[f"b{size}.{name}.resample_filter"] = FILTER.clone()
            if name != "skip":
                tensors[f"b{size}.{name}.bias"] = random(outputs) * 0.1
    last = widths[4]
    outputs = last if classes else 1
    tensors |= {
        "b4.conv.weight": random(last, last + 1, 3, 3),
        "b4.conv.bias": random(last),
        "b4.conv.resample_filter": FILTER.clone(),
        "b4.fc.weight": random(last, last * 16),
        "b4.fc.bias": random(last),
        "b4.out.weight": random(outputs, last),
        "b4.out.bias": random(outputs),
    }
    if classes:
        tensors |= {"mapping.embed.weight": random(last, classes), "mapping.embed.bias": random(last)}
        for layer in range(8):
            tensors |= {f"mapping.fc{layer}.weight": random(last, last) * 100, f"mapping.fc{layer}.bias": random(last)}
    return tensors


class Persistent:
    """An object that is pickled as `torch_utils.persistence` pickles a module: class name, source and state."""

    def __init__(self, class_name: str, state: dict[str, Any]) -> None:
        self.class_name, self.state = class_name, state

    def __reduce__(self) -> tuple[Any, ...]:
        meta = {"type": "class", "version": 6, "module_src": "raise SystemExit('the source ran')\n"}
        meta |= {"class_name": self.class_name, "state": self.state}
        return sys.modules["torch_utils.persistence"].__dict__["_reconstruct_persistent_obj"], (meta,)


def persistent(class_name: str, tensors: Mapping[str, Tensor], attributes: Mapping[str, Mapping[str, Any]]) -> Persistent:
    """A module with the tensors, and with attributes of it and the modules inside, by their paths ("" for it)."""
    inner: dict[str, dict[str, Tensor]] = {}
    parameters: dict[str, nn.Parameter] = {}
    buffers: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        first, _, rest = name.partition(".")
        if rest:
            inner.setdefault(first, {})[rest] = tensor
        elif first in ("resample_filter", "noise_const", "w_avg"):
            buffers[first] = tensor
        else:
            parameters[first] = nn.Parameter(tensor)
    for path in attributes:
        if path:
            inner.setdefault(path.split(".")[0], {})
    modules = {
        first: persistent(
            {"synthesis": "SynthesisNetwork", "mapping": "MappingNetwork"}.get(first, "Layer"),
            rest,
            {p.partition(".")[2]: found for p, found in attributes.items() if p and p.split(".")[0] == first},
        )
        for first, rest in inner.items()
    }
    state = {"training": False, "_parameters": parameters, "_buffers": buffers, "_modules": modules}
    return Persistent(class_name, state | {"_non_persistent_buffers_set": set()} | dict(attributes.get("", {})))


def write_snapshot(path: Path, content: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pickle a snapshot with a stand-in for `torch_utils.persistence`, which is gone afterwards."""

    def _reconstruct_persistent_obj(meta: Any) -> None:
        raise AssertionError("the file was unpickled freely")

    stand_in = types.ModuleType("torch_utils.persistence")
    _reconstruct_persistent_obj.__module__ = stand_in.__name__
    _reconstruct_persistent_obj.__qualname__ = "_reconstruct_persistent_obj"
    stand_in.__dict__["_reconstruct_persistent_obj"] = _reconstruct_persistent_obj
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "torch_utils", types.ModuleType("torch_utils"))
        patch.setitem(sys.modules, stand_in.__name__, stand_in)
        path.write_bytes(pickle.dumps(dict(content), protocol=4))
    return path
