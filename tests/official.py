"""Tiny files in the layouts of other programs, with random weights, for tests of the import.

The layouts are those of the programs; their code is not needed. Each function returns plain tensors under
the program's names, or writes a file as the program does.
"""

from __future__ import annotations

import os
import pickle
import sys
import types
from collections import OrderedDict
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
    widths: Mapping[int, int],
    *,
    channels: int = 3,
    z_dim: int = 6,
    w_dim: int = 5,
    layers: int = 2,
    classes: int = 0,
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
        convs = {"conv0": (width, width, 3), "conv1": (after, width, 3)} | (
            {"skip": (after, width, 1)} if skip else {}
        )
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
            tensors |= {
                f"mapping.fc{layer}.weight": random(last, last) * 100,
                f"mapping.fc{layer}.bias": random(last),
            }
    return tensors


class Persistent:
    """An object that is pickled as `torch_utils.persistence` does: class name, source and state."""

    def __init__(self, class_name: str, state: dict[str, Any]) -> None:
        self.class_name, self.state = class_name, state

    def __reduce__(self) -> tuple[Any, ...]:
        meta = {"type": "class", "version": 6, "module_src": "raise SystemExit('the source ran')\n"}
        meta |= {"class_name": self.class_name, "state": self.state}
        return _reconstruct_persistent_obj, (meta,)


def persistent(
    class_name: str, tensors: Mapping[str, Tensor], attributes: Mapping[str, Mapping[str, Any]]
) -> Persistent:
    """A module with the tensors, and attributes of it and the modules inside, by their paths ("" for it)."""
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
    state = {
        "training": False,
        "_parameters": OrderedDict(parameters),
        "_buffers": OrderedDict(buffers),
        "_modules": OrderedDict(modules),
        "_non_persistent_buffers_set": set(),
        "_init_args": (),
        "_init_kwargs": EasyDict(synthesis_kwargs=EasyDict(channel_base=64)),
    }
    return Persistent(class_name, state | dict(attributes.get("", {})))


def dump(
    path: Path, content: Any, names: Mapping[tuple[str, str], Any], monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Pickle content whose classes and functions are in modules that don't exist afterwards."""
    with monkeypatch.context() as patch:
        for (place, name), value in names.items():
            for parent in (place.split(".")[0], place):
                if parent not in sys.modules:
                    patch.setitem(sys.modules, parent, types.ModuleType(parent))
            patch.setattr(sys.modules[place], name, value, raising=False)
        path.write_bytes(pickle.dumps(content, protocol=4))
    return path


def _reconstruct_persistent_obj(meta: Any) -> None:
    """The stand-in for the function of `torch_utils.persistence`."""
    raise AssertionError("the file was unpickled freely")


_reconstruct_persistent_obj.__module__ = "torch_utils.persistence"


class EasyDict(dict[str, Any]):
    """The stand-in for the dict of `dnnlib`."""


EasyDict.__module__ = "dnnlib.util"


def write_snapshot(path: Path, content: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pickle a snapshot of StyleGAN2-ADA."""
    names = {
        ("torch_utils.persistence", "_reconstruct_persistent_obj"): _reconstruct_persistent_obj,
        ("dnnlib.util", "EasyDict"): EasyDict,
    }
    return dump(path, dict(content), names, monkeypatch)


def rosinality_generator(widths: Mapping[int, int], *, w_dim: int = 5, layers: int = 2) -> dict[str, Tensor]:
    """Tensors of a generator of rosinality/stylegan2-pytorch with these channels at each resolution."""

    def layer(name: str, outputs: int, inputs: int, kernel: int) -> dict[str, Tensor]:
        return {
            f"{name}.conv.weight": random(1, outputs, inputs, kernel, kernel),
            f"{name}.conv.modulation.weight": random(inputs, w_dim),
            f"{name}.conv.modulation.bias": 1 + random(inputs) * 0.1,
        }

    def styled(name: str, outputs: int, inputs: int) -> dict[str, Tensor]:
        more = {f"{name}.noise.weight": random(1), f"{name}.activate.bias": random(outputs)}
        return layer(name, outputs, inputs, 3) | more

    tensors: dict[str, Tensor] = {}
    for number in range(layers):
        tensors[f"style.{number + 1}.weight"] = random(w_dim, w_dim) * 100
        tensors[f"style.{number + 1}.bias"] = random(w_dim) * 10
    tensors |= {"input.input": random(1, widths[4], 4, 4)} | styled("conv1", widths[4], widths[4])
    tensors |= layer("to_rgb1", 3, widths[4], 1) | {"to_rgb1.bias": random(1, 3, 1, 1)}
    tensors["noises.noise_0"] = random(1, 1, 4, 4)
    for j, size in enumerate(sorted(widths)[1:]):
        tensors |= styled(f"convs.{2 * j}", widths[size], widths[size // 2])
        tensors |= styled(f"convs.{2 * j + 1}", widths[size], widths[size])
        tensors |= layer(f"to_rgbs.{j}", 3, widths[size], 1) | {f"to_rgbs.{j}.bias": random(1, 3, 1, 1)}
        tensors |= {f"convs.{2 * j}.conv.blur.kernel": FILTER * 4, f"to_rgbs.{j}.upsample.kernel": FILTER * 4}
        tensors |= {f"noises.noise_{2 * j + n}": random(1, 1, size, size) for n in (1, 2)}
    return tensors


def rosinality_discriminator(widths: Mapping[int, int]) -> dict[str, Tensor]:
    """Tensors of a discriminator of rosinality/stylegan2-pytorch with these channels at each resolution."""
    order = sorted(widths, reverse=True)
    tensors = {
        "convs.0.0.weight": random(widths[order[0]], 3, 1, 1),
        "convs.0.1.bias": random(widths[order[0]]),
    }
    for number, size in enumerate(order[:-1], 1):
        width, after, name = widths[size], widths[size // 2], f"convs.{number}"
        tensors |= {
            f"{name}.conv1.0.weight": random(width, width, 3, 3),
            f"{name}.conv1.1.bias": random(width),
            f"{name}.conv2.0.kernel": FILTER.clone(),
            f"{name}.conv2.1.weight": random(after, width, 3, 3),
            f"{name}.conv2.2.bias": random(after),
            f"{name}.skip.0.kernel": FILTER.clone(),
            f"{name}.skip.1.weight": random(after, width, 1, 1),
        }
    last = widths[4]
    tensors |= {"final_conv.0.weight": random(last, last + 1, 3, 3), "final_conv.1.bias": random(last)}
    tensors |= {"final_linear.0.weight": random(last, last * 16), "final_linear.0.bias": random(last)}
    return tensors | {"final_linear.1.weight": random(1, last), "final_linear.1.bias": random(1)}


def r3gan(
    part: str, widths: list[int], groups: list[int], blocks: list[int], *, noise: int = 6, classes: int = 0
) -> dict[str, Tensor]:
    """Tensors of an R3GAN generator or discriminator; the lists run from 4×4 on."""
    generator, last = part == "generator", len(widths) - 1
    tensors: dict[str, Tensor] = {}
    for stage, (width, group, count) in enumerate(zip(widths, groups, blocks, strict=True)):
        place = f"MainLayers.{stage if generator else last - stage}.Layers"
        end = f"{place}.{0 if generator else count}"  # before the blocks, or after them
        if stage == 0:
            inputs = noise * (2 if classes else 1)
            outputs = width if classes else 1
            tensors[f"{end}.Basis" + ("" if generator else ".weight")] = random(
                width, *((4, 4) if generator else (1, 4, 4))
            )
            tensors[f"{end}.LinearLayer.weight"] = random(
                *((width, inputs) if generator else (outputs, width))
            )
        else:
            tensors[f"{end}.Resampler.Kernel"] = FILTER.clone()
            if width != (before := widths[stage - 1]):
                shape = (width, before, 1, 1) if generator else (before, width, 1, 1)
                tensors[f"{end}.LinearLayer.Layer.weight"] = random(*shape)
        for block in range(count):
            name = f"{place}.{block + generator}"
            tensors |= {
                f"{name}.LinearLayer1.Layer.weight": random(2 * width, width, 1, 1),
                f"{name}.NonLinearity1.Bias": random(2 * width),
                f"{name}.LinearLayer2.Layer.weight": random(2 * width, 2 * width // group, 3, 3),
                f"{name}.NonLinearity2.Bias": random(2 * width),
                f"{name}.LinearLayer3.Layer.weight": random(width, 2 * width, 1, 1),
            }
    shape = (3, widths[-1], 1, 1) if generator else (widths[-1], 3, 1, 1)
    tensors[("AggregationLayer" if generator else "ExtractionLayer") + ".Layer.weight"] = random(*shape)
    if classes:
        tensors["EmbeddingLayer.weight"] = random(noise if generator else widths[0], classes)
    return tensors


def module(
    place: str, class_name: str, tensors: Mapping[str, Tensor], classes: dict[tuple[str, str], type]
) -> nn.Module:
    """A `torch.nn.Module` of a class that another program has, and modules inside for dotted names."""
    kind = classes.setdefault((place, class_name), type(class_name, (nn.Module,), {"__module__": place}))
    result: nn.Module = kind()
    inner: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        first, _, rest = name.partition(".")
        if rest:
            inner.setdefault(first, {})[rest] = tensor
        elif first == "Kernel":
            result.register_buffer(first, tensor)
        else:
            result.register_parameter(first, nn.Parameter(tensor))
    for name, rest in inner.items():
        own = "R3GAN.Networks", "Generator" if name == "Model" else "Layer"
        result.add_module(name, module(*own, rest, classes))
    return result


def write_r3gan(
    path: Path, networks: Mapping[str, Mapping[str, Tensor]], monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Pickle a snapshot of R3GAN: whole modules of classes that don't exist afterwards."""
    classes: dict[tuple[str, str], type] = {}
    content: dict[str, Any] = {"training_set_kwargs": {"resolution": 16}, "cur_nimg": 1000}
    for key, tensors in networks.items():
        named = {f"Model.{name}": tensor for name, tensor in tensors.items()}
        content[key] = module(
            "training.networks", "Discriminator" if key == "D" else "Generator", named, classes
        )
        content[key].DataType = torch.bfloat16
    return dump(path, content, classes, monkeypatch)


def load_into(found: Any) -> tuple[nn.Module, nn.Module | None]:
    """The networks of what a format found, with its weights, in eval mode."""
    import gantl_zoo as gz

    parts = ((gz.generators, found.generator, found.generator_weights),)
    if found.discriminator:
        parts += ((gz.discriminators, found.discriminator, found.discriminator_weights),)
    networks = []
    for kind, spec, weights in parts:
        networks.append(kind.build(spec["name"], **spec["config"]).eval())
        networks[-1].load_state_dict(dict(weights))
    return networks[0], networks[1] if found.discriminator else None


def close(actual: Tensor, expected: Tensor, tolerance: float) -> None:
    """Check that tensors agree to a part of the expected one's standard deviation."""
    assert actual.shape == expected.shape
    assert (actual.detach() - expected).abs().max() < tolerance * expected.std()


def reference(name: str) -> Path:
    """A file with outputs of the original networks; skips the test without the folder of those files."""
    folder = os.environ.get("GANTL_ZOO_REFERENCE_VECTORS", "")
    if not folder or not (Path(folder) / name).is_file():
        pytest.skip("GANTL_ZOO_REFERENCE_VECTORS is not a folder with outputs of the original networks")
    return Path(folder) / name
