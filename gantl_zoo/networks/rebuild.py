"""Build the network that a folder's config describes, no larger than its files, and fill it.

Whatever is wrong with it is a `WeightsError`: who loads a folder did not write it.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from gantl_zoo import registry
from gantl_zoo.errors import PluginError, UnknownNameError, UsageError, WeightsError
from gantl_zoo.registry.plugins import normalise, singular
from gantl_zoo.storage.folder import load_into
from gantl_zoo.storage.headers import Stored, look

LIKELY = "Likely cause: config.json is damaged or was changed by hand; fetch the folder again"
SIZES = ("image_size", "channels", "width", "latent_dim")
SPARE_NUMBERS = 1 << 20  # beyond twice the file's, for buffers that aren't stored
SPARE_CALLS = 1000  # beyond twenty a stored tensor
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
    """The network of `config[part]`, filled from the folder, in eval mode. Raises `WeightsError`.

    Where its builder takes `channels` and `image_size`, they must be those of `images` (C, H, W).
    """
    described = config[part]
    source = registry.REGISTRIES[kind]
    name = described["name"] = answering(source, described["name"], config.get("requires", {}))
    described["config"] = settled(source, described["config"], config.get("requires", {}))
    needed = ", ".join(f"{package}=={version}" for package, version in config.get("requires", {}).items())
    remedy = f"if you trust the plug-in that it comes with: pip install {needed}"
    if needed and not source.lookup(name):
        raise WeightsError(f"{folder} needs {singular(kind)} {name!r}, which is not installed; {remedy}")
    stored = look(Path(folder) / f"{file or part}.safetensors")
    try:
        network = build(source, name, described["config"], stored, f"{folder}: {part}", images)
    except UnknownNameError as error:  # of a network inside
        more = f"; {remedy}" if needed else ""
        raise WeightsError(f"{folder}: {part} can't be built: {error}{more}") from error
    load_into(network, stored, config.get("dtype", "float32"), config.get("files"))
    return network.eval()


def answering(source: registry.Registry, name: str, requires: Mapping[str, str]) -> str:
    """The name; of several plug-ins that bring it, with the one that the folder requires."""
    found, wanted = source.lookup(name), {normalise(package) for package in requires}
    owned = [entry.qualified for entry in found if normalise(entry.owner) in wanted]
    return owned[0] if len(found) > 1 and len(owned) == 1 else name


def settled(
    source: registry.Registry, config: Mapping[str, Any], requires: Mapping[str, str]
) -> dict[str, Any]:
    """A builder's arguments, with the names of networks inside as `answering` gives them, at any depth."""
    found = dict(config)
    for key, inside, name, own in source.parts(config):
        found[key] = answering(inside, name, requires)
        if found.get(f"{key}_config") is not None:
            found[f"{key}_config"] = settled(inside, own, requires)
    return found


def build(
    source: registry.Registry,
    name: str,
    config: dict[str, Any],
    stored: Stored,
    where: str,
    images: tuple[int, int, int] | None = None,
) -> Any:
    """`build_empty`, within what the files hold. Errors are `WeightsError`, but for a broken plug-in and an
    unknown name.
    """
    try:
        takes = source.configure(name, **config)
        for key in SIZES:
            if type(takes.get(key)) is int and takes[key] < 1:
                raise UsageError(f"{key} must be at least 1, not {takes[key]}")
        for key, wanted in zip(("channels", "image_size"), images or (), strict=False):
            if type(takes.get(key)) is int and takes[key] != wanted:
                raise UsageError(f"its {key} is {takes[key]}, but the generator makes images of {wanted}")
        # loading draws no numbers that the caller would miss
        with torch.random.fork_rng(devices=[]), float32(), Bounded(stored, math.prod(images or ())):
            return source.build_empty(name, **config)
    except (PluginError, WeightsError, UnknownNameError):
        raise
    except UsageError as error:
        raise WeightsError(f"{where} can't be built: {error}. {LIKELY}") from error
    except Exception as error:  # from torch or a plug-in's builder
        raise WeightsError(
            f"{where} can't be built, {name!r} with {str(config)[:300]}: {type(error).__name__}: "
            f"{str(error)[:500]}. {LIKELY}"
        ) from error


@contextlib.contextmanager
def float32() -> Iterator[None]:
    """Networks built inside are float32, whatever default the caller has set."""
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(dtype)


class Bounded(TorchFunctionMode):
    """Within it, this thread can't create much larger tensors, or many more, than the files hold.

    A config may ask for a million channels; it is refused before the memory is taken. `more` numbers may be
    created besides: an image, say.
    """

    def __init__(self, stored: Stored, more: int = 0) -> None:
        super().__init__()
        self.path, self.numbers, self.tensors = stored.path, stored.numbers, len(stored.slots)
        self.most = 2 * self.numbers + SPARE_NUMBERS + more
        self.calls = 20 * self.tensors + SPARE_CALLS

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if function in FACTORIES:
            self.most -= asked(args, kwargs or {})
            self.calls -= 1
            if self.most < 0 or self.calls < 0:
                raise WeightsError(
                    f"config.json asks for a network much larger than {self.path} holds ({self.numbers:,} "
                    f"numbers in {self.tensors:,} tensors): they don't belong together"
                )
        return function(*args, **(kwargs or {}))


def asked(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> int:
    """How many numbers a call of a factory asks for."""
    sizes = [a for a in args if not isinstance(a, torch.Tensor)] or [kwargs.get("size", ())]
    sizes = list(sizes[0]) if isinstance(sizes[0], (tuple, list)) else [s for s in sizes if type(s) is int]
    return abs(math.prod(int(size) for size in sizes))
