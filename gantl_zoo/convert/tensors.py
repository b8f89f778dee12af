"""Rebuild torch's storages, tensors and parameters from a pickle, with checks of every size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gantl_zoo.convert.limits import Use
from gantl_zoo.errors import WeightsError

STORAGES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
MAX_SIDE = 1 << 40
MAX_DIMENSIONS = 16


@dataclass(frozen=True)
class Storage:
    """The values of a tensor as one row."""

    values: Tensor


def embedded(use: Use, data: Any) -> Storage:
    """A storage that is embedded as bytes. The counterpart of `torch.storage._load_from_bytes`."""
    if not isinstance(data, bytes) or use.embedded is None:
        raise WeightsError("it embeds a storage that is not bytes, or one inside another")
    use.copied(len(data))
    storage = use.embedded(data, use)
    if not isinstance(storage, Storage):
        raise WeightsError("it embeds something other than a storage")
    return storage


def tensor(use: Use, storage: Any, offset: Any, size: Any, stride: Any, *rest: Any) -> Tensor:
    """A view of a storage. The counterpart of `torch._utils._rebuild_tensor_v2`."""
    if not isinstance(storage, Storage):
        raise WeightsError("it has a tensor without a storage")
    if not sizes(size) or not sizes(stride) or not sizes((offset,)) or len(size) != len(stride):
        raise WeightsError("it has a tensor whose size is not a tuple of integers")
    values, count = storage.values, math.prod(size)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) if count else 0
    if offset > values.numel() or (count and last >= values.numel()):
        raise WeightsError("it has a tensor that is larger than its storage")
    use.tensor(count * values.element_size())
    return values.as_strided(size, stride, offset)


def parameter(use: Use, data: Any, *rest: Any) -> Tensor:
    """The tensor of a parameter. The counterpart of `torch._utils._rebuild_parameter`."""
    if not isinstance(data, Tensor):
        raise WeightsError("it has a parameter without a tensor")
    return data


def size_of(use: Use, numbers: Any = ()) -> tuple[int, ...]:
    """The counterpart of `torch.Size`."""
    if not isinstance(numbers, (list, tuple)) or len(numbers) > MAX_DIMENSIONS or not sizes(tuple(numbers)):
        raise WeightsError(f"it has a torch.Size that is not a tuple of at most {MAX_DIMENSIONS} integers")
    return tuple(numbers)


def device(use: Use, *names: Any) -> str:
    """The counterpart of `torch.device`: its name. All tensors are read to the CPU."""
    if len(names) > 2 or not all(isinstance(name, (str, int)) for name in names):
        raise WeightsError("it has a torch.device that is not a name and a number")
    return ":".join(str(name)[:20] for name in names)


def sizes(numbers: Any) -> bool:
    """Whether these are integers that the sizes of a tensor can have."""
    return (
        isinstance(numbers, tuple)
        and len(numbers) <= MAX_DIMENSIONS
        and all(type(n) is int and 0 <= n < MAX_SIDE for n in numbers)
    )
