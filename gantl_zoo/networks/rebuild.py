"""Build the network that a model folder describes, limited by the size of its files, and load its weights.

The folder may come from anywhere, so all errors in its config are `WeightsError`.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from gantl_zoo import registry
from gantl_zoo.errors import PluginError, UnknownNameError, UsageError, WeightsError
from gantl_zoo.networks.contract import check_network
from gantl_zoo.networks.requirements import check_ranges, hint
from gantl_zoo.registry.plugins import normalise, singular
from gantl_zoo.storage.folder import load_into
from gantl_zoo.storage.headers import Stored, look
from gantl_zoo.storage.requirements import install_line

LIKELY = "Likely cause: config.json is damaged or was changed by hand; fetch the folder again"
SIZES = ("image_size", "channels", "width", "latent_dim")
SPARE_NUMBERS = 1 << 20  # in addition to twice the numbers in the file; for buffers that aren't stored
SPARE_CALLS = 1000  # in addition to twenty per stored tensor
FACTORIES = {getattr(torch, name) for name in ("empty", "zeros", "ones", "rand", "randn", "full")}
FACTORIES |= {getattr(torch.Tensor, f"new_{name}") for name in ("empty", "zeros", "ones", "full")}


def rebuild(
    folder: str | Path,
    kind: str,
    part: str,
    config: Mapping[str, Any],
    *,
    file: str = "",
    images: tuple[int, int, int] | None = None,
) -> Any:
    """Build the network `config[part]` and load its weights from the folder. Returns it in eval mode.

    If its builder takes `channels` or `image_size`, they must match `images` (C, H, W). Raises
    `WeightsError`.
    """
    described, requires = config[part], config.get("requires", {})
    source = registry.REGISTRIES[kind]
    name = described["name"] = qualified_name(source, described["name"], requires)
    described["config"] = with_qualified_names(source, described["config"], requires)
    remedy = f"if you trust the plug-in that it comes with: {install_line(requires)}"
    if requires and not source.lookup(name):
        raise WeightsError(f"{folder} needs {singular(kind)} {name!r}, which is not installed; {remedy}")
    check_ranges(folder, requires)
    try:
        stored = look(Path(folder) / f"{file or part}.safetensors")
        network = build(source, name, described["config"], stored, f"{folder}: {part}", images)
        check_network(kind, name, network, forward=False)
        load_into(network, stored, config.get("dtype", "float32"), config.get("files"))
    except UnknownNameError as error:  # the name of a nested network
        more = f"; {remedy}" if requires else ""
        raise WeightsError(f"{folder}: {part} can't be built: {error}{more}") from error
    except WeightsError as error:
        if not (more := hint(requires)):
            raise
        raise WeightsError(f"{error}{more}") from error
    return network.eval()


def qualified_name(source: registry.Registry, name: str, requires: Mapping[str, str]) -> str:
    """The name, with its owner if several plug-ins register it and the folder requires one of them."""
    entries, required = source.lookup(name), {normalise(package) for package in requires}
    owned = [entry.qualified for entry in entries if normalise(entry.owner) in required]
    return owned[0] if len(entries) > 1 and len(owned) == 1 else name


def with_qualified_names(
    source: registry.Registry, config: Mapping[str, Any], requires: Mapping[str, str]
) -> dict[str, Any]:
    """A builder's arguments with `qualified_name` applied to the names of nested networks, at any depth."""
    result = dict(config)
    for key, nested, name, own in source.parts(config):
        result[key] = qualified_name(nested, name, requires)
        if result.get(f"{key}_config") is not None:
            result[f"{key}_config"] = with_qualified_names(nested, own, requires)
    return result


def build(
    source: registry.Registry,
    name: str,
    config: dict[str, Any],
    stored: Stored,
    where: str,
    images: tuple[int, int, int] | None = None,
) -> Any:
    """Build an empty network that is not much larger than the `stored` tensors.

    Raises `PluginError` for a broken plug-in, `UnknownNameError` for an unknown name, else `WeightsError`.
    """
    try:
        takes = source.configure(name, **config)
        for key in SIZES:
            if type(takes.get(key)) is int and takes[key] < 1:
                raise UsageError(f"{key} must be at least 1, not {takes[key]}")
        for key, expected in zip(("channels", "image_size"), images or (), strict=False):
            if type(takes.get(key)) is int and takes[key] != expected:
                raise UsageError(f"its {key} is {takes[key]}, but the generator makes images of {expected}")
        # loading a model must not change the state of the caller's random number generator
        limit = AllocationLimit(stored, math.prod(images or ()), referenced(source, config))
        with torch.random.fork_rng(devices=[]), float32_default(), limit:
            return source.build_empty(name, **config)
    except (PluginError, WeightsError, UnknownNameError):
        raise
    except UsageError as error:
        raise WeightsError(f"{where} can't be built: {error}. {LIKELY}") from error
    except Exception as error:  # from torch or a plug-in's builder
        raise WeightsError(
            f"{where} can't be built: {name!r} with {str(config)[:300]} raises {type(error).__name__}: "
            f"{str(error)[:500]}. {LIKELY}"
        ) from error


def referenced(source: registry.Registry, config: Mapping[str, Any]) -> list[Stored]:
    """The weights of the released models that a network contains, which its own file leaves out."""
    return [
        look(registry.release_folder(name) / "model.safetensors")
        for _, nested, name, _ in source.parts(config)
        if nested is registry.models
    ]


@contextlib.contextmanager
def float32_default() -> Iterator[None]:
    """Set the default dtype to float32 inside, and restore it afterwards."""
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(dtype)


class AllocationLimit(TorchFunctionMode):
    """Limits the tensors that this thread may create inside to about the size of the weights file.

    So a config that asks for a million channels raises `WeightsError` before memory is allocated. `more` is
    an additional number of elements, for example an image. `inside` are the files of released models that the
    network contains.
    """

    def __init__(self, stored: Stored, more: int = 0, inside: Sequence[Stored] = ()) -> None:
        super().__init__()
        self.path, self.numbers, self.tensors = stored.path, stored.numbers, len(stored.slots)
        numbers = self.numbers + sum(one.numbers for one in inside)
        self.most = 2 * numbers + SPARE_NUMBERS + more
        self.calls = 20 * (self.tensors + sum(len(one.slots) for one in inside)) + SPARE_CALLS

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if function in FACTORIES:
            self.most -= elements(args, kwargs or {})
            self.calls -= 1
            if self.most < 0 or self.calls < 0:
                raise WeightsError(
                    f"config.json asks for a network much larger than {self.path} holds ({self.numbers:,} "
                    f"numbers in {self.tensors:,} tensors): they don't belong together"
                )
        return function(*args, **(kwargs or {}))


def elements(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> int:
    """The number of elements that a call of a factory function allocates."""
    sizes = [a for a in args if not isinstance(a, torch.Tensor)] or [kwargs.get("size", ())]
    sizes = list(sizes[0]) if isinstance(sizes[0], (tuple, list)) else [s for s in sizes if type(s) is int]
    return abs(math.prod(int(size) for size in sizes))
