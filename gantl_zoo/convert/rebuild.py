"""The names that a file of weights may have, and what each of them builds. Nothing else is built.

`CALLS` maps the functions that pickles of torch, NumPy and `torch_utils.persistence` call to ours, which
check their arguments. An object of a pickled network's class is data: `Persisted`, with its attributes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gantl_zoo.convert import arrays, tensors
from gantl_zoo.convert.limits import Use
from gantl_zoo.convert.tree import Persisted, key, kind
from gantl_zoo.errors import WeightsError
from gantl_zoo.storage.untrusted import printable

# Classes of pickled modules, which become data: those of torch, and of the networks whose formats we read.
MODULE = re.compile(r"torch\.nn\.modules\.\w+|training\.networks\w*|R3GAN(\.\w+)*", re.A)
CLASS = re.compile(r"[A-Z]\w{0,63}", re.A)


@dataclass(frozen=True)
class Name:
    """A name in a pickle, as text."""

    module: str
    name: str

    def __str__(self) -> str:
        return printable(f"{self.module}.{self.name}", 120)


class Fields(dict[str, Any]):
    """The attributes of an `argparse.Namespace`, or the items of an `EasyDict`."""


def name_of(module: Any, name: Any) -> Name:
    """The name, if a file of weights may have it. Raises `WeightsError`."""
    if not isinstance(module, str) or not isinstance(name, str):
        raise WeightsError("it has a name that is not text")
    found = Name(module, name)
    if (module, name) in CALLS or (module, name) in CLASSES or is_module(found) or is_type(found):
        return found
    whole = CLASS.fullmatch(name) and module != "torch"
    hint = "if it is a network, save its state_dict() instead" if whole else "the file may be hostile"
    raise WeightsError(f"it names {found}, which is refused: files of weights don't need it; {hint}")


def is_module(name: Name) -> bool:
    """Whether the name is that of a class of modules."""
    return bool(MODULE.fullmatch(name.module) and CLASS.fullmatch(name.name))


def is_type(name: Name) -> bool:
    """Whether the name is that of a torch storage or dtype."""
    kinds = {str(dtype) for dtype in tensors.STORAGES.values()}
    return str(name) in kinds or (name.module in ("torch", "torch.cuda") and name.name in tensors.STORAGES)


def call(function: Any, arguments: Any, use: Use) -> Any:
    """What our function for this name returns. Raises `WeightsError`."""
    ours = CALLS.get((function.module, function.name)) if isinstance(function, Name) else None
    if ours is None or not isinstance(arguments, tuple):
        shown = function if isinstance(function, Name) else f"a {kind(function)}"
        raise WeightsError(f"it calls {shown}, which is refused")
    return ours(use, *arguments)


def construct(of: Any, arguments: Any) -> Any:
    """A new, empty object of a class. Raises `WeightsError`."""
    if isinstance(of, Name) and arguments == ():
        if (of.module, of.name) in CLASSES:
            return Fields()
        if is_module(of):
            return Persisted(of.name, {})
    shown = of if isinstance(of, Name) else f"a {kind(of)}"
    raise WeightsError(f"it creates an object of {shown}, which is refused")


def fill(use: Use, value: Any, state: Any) -> None:
    """Set the attributes of an object, or the content of an array. Calls nothing of the object's class."""
    if isinstance(value, np.ndarray):
        arrays.set_content(use, value, state)
    elif isinstance(value, np.dtype):
        arrays.check_dtype(state)
    elif isinstance(value, (Persisted, Fields)) and isinstance(state, dict):
        use.copy_items(state)
        (value.state if isinstance(value, Persisted) else value).update(state)
    elif not isinstance(value, dict):  # an OrderedDict has nothing there but the modules' versions
        raise WeightsError(f"it sets attributes of a {kind(value)}, which is refused")


def persisted(use: Use, meta: Any) -> Persisted:
    """A module of `torch_utils.persistence` as data; its embedded source is ignored."""
    state = meta.get("state") if isinstance(meta, dict) else None
    if not isinstance(state, dict) or not isinstance(meta.get("class_name"), str):
        raise WeightsError("it has a persistent object without a class_name and a state")
    return Persisted(printable(meta["class_name"], 64), state)


def ordered(use: Use, items: Any = ()) -> dict[Any, Any]:
    """A dict of pairs."""
    use.copy_items(items)
    return {key(name): value for name, value in items}


def unordered(use: Use, items: Any = ()) -> set[Any]:
    """A set."""
    use.copy_items(items)
    return {key(item) for item in items}


def default(use: Use, *factory: Any) -> dict[Any, Any]:
    """An empty dict, for a `defaultdict`."""
    return {}


NUMPY = ("numpy.core", "numpy._core")  # before and since NumPy 2
CALLS: dict[tuple[str, str], Callable[..., Any]] = {
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): persisted,
    ("torch._utils", "_rebuild_parameter"): tensors.parameter,
    ("torch._utils", "_rebuild_tensor"): tensors.tensor,
    ("torch._utils", "_rebuild_tensor_v2"): tensors.tensor,
    ("torch.storage", "_load_from_bytes"): tensors.embedded,
    ("torch", "Size"): tensors.size_of,
    ("torch", "device"): tensors.device,
    ("collections", "OrderedDict"): ordered,
    ("collections", "defaultdict"): default,
    ("builtins", "set"): unordered,
    ("__builtin__", "set"): unordered,
    ("numpy", "dtype"): arrays.dtype,
    ("_codecs", "encode"): arrays.encoded,
    **{(f"{room}.multiarray", "scalar"): arrays.scalar for room in NUMPY},
    **{(f"{room}.multiarray", "_reconstruct"): arrays.empty for room in NUMPY},
    **{(f"{room}.numeric", "_frombuffer"): arrays.from_buffer for room in NUMPY},
}
# Classes whose objects become dicts, and names that occur as arguments only.
CLASSES = {
    ("dnnlib.util", "EasyDict"),
    ("argparse", "Namespace"),
    ("numpy", "ndarray"),
    ("builtins", "dict"),
    ("__builtin__", "dict"),
}
