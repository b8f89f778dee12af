"""A stand-in for CUDA graphs on the CPU: records the kernels of a part, replays them on the same memory.

As on a GPU, Python does not run in a replay, numbers are those of the capture, random numbers come from the
generator's state at the replay, and nothing may wait for a result.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from gantl_zoo.seeding import seeded
from gantl_zoo.training import checkpoint
from gantl_zoo.training.modes import training_modes
from gantl_zoo.training.trainer import Trainer

Result = TypeVar("Result")
aten = torch.ops.aten
PARTS = 4  # of a step: statistics, discriminator, generator, undo
WAITING = {
    aten._local_scalar_dense, aten.equal, aten.nonzero, aten.masked_select, aten._unique2, aten.bincount,
    aten.unique_dim, aten.unique_consecutive, aten.repeat_interleave,
    aten.lift_fresh,  # a tensor of numbers in Python: a copy to the device
}  # fmt: skip


def waits(function: Any, arguments: Any) -> bool:
    """Whether a host would wait for the device, or the shape of the result depends on values."""
    packet = function.overloadpacket
    if packet in (aten.index, aten.index_put, aten.index_put_):
        return any(one is not None and one.dtype in (torch.bool, torch.uint8) for one in arguments[1])
    return packet in WAITING


def tensors(values: Any) -> list[Tensor]:
    return [one for one in tree_leaves(values) if isinstance(one, Tensor)]


def alias(value: Any) -> Any:
    """The same memory without a history, for tensors."""
    return value.data if isinstance(value, Tensor) else value


def memory(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


class Watch(TorchDispatchMode):
    """Notes whether anything waits."""

    waited = ""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.waited = self.waited or (str(func) if waits(func, args) else "")
        return func(*args, **(kwargs or {}))


class Record(TorchDispatchMode):
    """Records all kernels. `undo` restores the memory that existed before: a capture computes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, list[Tensor | None]]] = []
        self.own: set[int] = set()  # memory that was allocated since
        self.before: dict[int, tuple[Any, Any]] = {}  # all other memory, and a copy of it

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if waits(func, args):
            raise RuntimeError(f"operation not permitted when stream is capturing: {func}")
        given = {memory(one): one for one in tensors((args, kwargs))}
        for key, one in given.items():
            if key not in self.own and key not in self.before:
                storage = one.untyped_storage()
                self.before[key] = storage, storage.clone()
        result = func(*args, **kwargs)
        results = tensors(result)
        places = [None if memory(one) in given else alias(one) for one in results]
        self.own |= {memory(one) for one in places if one is not None}
        if func._schema.is_mutable or any(one is not None for one in places):  # else they are views
            self.calls.append((func, *tree_map(alias, (args, kwargs)), places))
        return result

    def undo(self) -> None:
        for storage, copied in self.before.values():
            storage.copy_(copied)

    @torch.no_grad()
    def replay(self) -> None:
        for func, args, kwargs, places in self.calls:
            results = tensors(func(*args, **kwargs))
            for place, result in zip(places, results, strict=True):
                if place is not None:
                    place.copy_(result)


class Recorded:
    """The backend of `Graphs` for tests."""

    def __init__(self) -> None:
        self.warm_ups = self.captures = self.replays = 0
        self.waited = ""  # the operation for which a host would have waited

    def warm_up(self, part: Callable[[], Result]) -> tuple[Result, bool]:
        """Compute a part. From the second step on, tensors must be created on the device."""
        self.warm_ups += 1
        elsewhere = torch.device("meta") if self.warm_ups > PARTS else contextlib.nullcontext()
        with elsewhere, Watch() as watch:
            result = part()
        self.waited = watch.waited or self.waited
        return result, bool(watch.waited)

    def capture(self, part: Callable[[], Result]) -> tuple[Callable[[], object], Result]:
        self.captures += 1
        chance = torch.get_rng_state()
        with Record() as record:
            result = part()
        record.undo()
        torch.set_rng_state(chance)

        def replay() -> None:
            self.replays += 1
            record.replay()

        return replay, result


def run_steps(trainer: Trainer, start: int = 0, stop: int = 8) -> list[dict[str, float]]:
    """Train the steps from `start` to `stop`. Returns the losses of each."""
    rows = []
    with training_modes(), seeded(0):
        for step in range(start, stop):
            losses = trainer.step(step, torch.arange(step, step + 4) % len(trainer.batches.pixels))
            rows.append({name: float(value) for name, value in losses.items()})
    return rows


def assert_same(one: Trainer, other: Trainer) -> None:
    """Check that all tensors of a checkpoint are equal bit for bit."""
    first, second = checkpoint.gather(one.contents), checkpoint.gather(other.contents)
    assert first.keys() == second.keys()
    assert not [name for name, tensor in first.items() if not torch.equal(tensor, second[name])]
    assert torch.equal(one.guard.skipped, other.guard.skipped)
