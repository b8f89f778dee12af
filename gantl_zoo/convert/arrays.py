"""Rebuild NumPy's arrays, scalars and dtypes from a pickle: numbers only, little-endian."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from gantl_zoo.convert.limits import Use
from gantl_zoo.convert.tensors import sizes
from gantl_zoo.errors import WeightsError

NUMBER = re.compile(r"[<|=]?(b1|[iu][1248]|f[248])", re.A)


def dtype(use: Use, name: Any, *rest: Any) -> np.dtype[Any]:
    """A dtype of numbers."""
    if not isinstance(name, str) or not NUMBER.fullmatch(name):
        shown = repr(name[:40]) if isinstance(name, str) else "of an unknown kind"
        raise WeightsError(f"it has the NumPy dtype {shown}; numbers in little-endian are read")
    return np.dtype(name)


def check_dtype(state: Any) -> None:
    """Raise `WeightsError` unless the state of a dtype says little-endian, which needs no change."""
    if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ("<", "|", "="):
        raise WeightsError("it has a NumPy dtype that is not little-endian")


def scalar(use: Use, kind: Any, data: Any) -> int | float | bool:
    """A number."""
    if not isinstance(kind, np.dtype) or not isinstance(data, bytes) or len(data) != kind.itemsize:
        raise WeightsError("it has a NumPy scalar whose bytes don't fit its dtype")
    number: int | float | bool = np.frombuffer(data, kind)[0].item()
    return number


def empty(use: Use, *rest: Any) -> np.ndarray[Any, Any]:
    """An array without content, which `set_content` gets."""
    return np.empty(0)


def set_content(use: Use, array: np.ndarray[Any, Any], state: Any) -> None:
    """Set dtype, shape and values of an array in place. Raises `WeightsError`."""
    if not isinstance(state, tuple) or len(state) != 5:
        raise WeightsError("it has a NumPy array without content")
    shape, kind, fortran, data = state[1:]
    check_content(use, shape, kind, data)
    state = (1, shape, kind, bool(fortran), data)
    array.__setstate__(state)


def from_buffer(use: Use, data: Any, kind: Any, shape: Any, order: Any) -> np.ndarray[Any, Any]:
    """An array, as protocol 5 stores it."""
    check_content(use, shape, kind, data)
    return np.frombuffer(data, kind).reshape(shape, order="F" if order == "F" else "C").copy()


def check_content(use: Use, shape: Any, kind: Any, data: Any) -> None:
    """Raise `WeightsError` unless the bytes fill an array of this shape and dtype."""
    fits = isinstance(kind, np.dtype) and isinstance(data, (bytes, bytearray)) and sizes(shape)
    if not fits or len(data) != math.prod(shape) * kind.itemsize:
        raise WeightsError("it has a NumPy array whose bytes don't fit its shape")
    use.copy(len(data))


def encoded(use: Use, text: Any, encoding: Any = "latin1") -> bytes:
    """Bytes that protocol 2 stores as text. The counterpart of `_codecs.encode`."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise WeightsError("it has bytes that are not stored as Latin-1")
    use.copy(len(text))
    return text.encode("latin-1")
