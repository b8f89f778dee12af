"""The names that a file of weights may have, and what each of them builds. Nothing else is built.

`CALLS` maps the functions that pickles of torch, NumPy and `torch_utils.persistence` call to ours, which
check their arguments. An object of a pickled network's class is data: `Persisted`, with its attributes.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from gantl_zoo.convert import arrays, tensors
from gantl_zoo.convert.limits import ITEM, Use
from gantl_zoo.convert.tree import Persisted, key, kind
from gantl_zoo.errors import WeightsError
from gantl_zoo.storage.untrusted import printable

# Classes of pickled modules, which become data: those of torch, and of the networks whose formats we read.
MODULE = re.compile(r"torch\.nn\.modules\.\w+|training\.networks\w*|R3GAN(\.\w+)*", re.A)
HOSTILE = {  # packages whose functions run programs or code, or read and write files
    *("os", "posix", "nt", "builtins", "__builtin__", "subprocess", "commands", "sys", "io", "_io", "socket"),
    *("shutil", "pickle", "_pickle", "importlib", "runpy", "pty", "ctypes", "code", "codecs", "_codecs"),
    *("operator", "_operator", "functools", "types", "marshal", "webbrowser", "urllib", "tempfile"),
}
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
    full = Name(module, name)
    if (module, name) in CALLS or (module, name) in CLASSES or is_module(full) or is_type(full):
        return full
    if module.startswith("dnnlib.tflib"):
        raise WeightsError(
            "it is a TensorFlow pickle; convert it with legacy.py of NVIDIA's stylegan2-ada-pytorch"
        )
    raise WeightsError(f"it names {full}, which is refused: files of weights don't need it; {advice(full)}")


def advice(name: Name) -> str:
    """What to do about a name that is refused."""
    package = name.module.partition(".")[0]
    if package in HOSTILE:
        return "the file may be hostile"
    if package == "torch" and not CLASS.fullmatch(name.name.lstrip("_")):
        return "convert its tensors to dense float32 and save a state_dict()"
    if CLASS.fullmatch(name.name) and package not in sys.stdlib_module_names:
        return "if it is a network, save its state_dict() instead"
    return "if you trust the file, save it again without that object"


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
    use.copied(ITEM * len(arguments))
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


def fill(value: Any, state: Any, use: Use) -> None:
    """Set the attributes of an object, or the content of an array. Calls nothing of the object's class."""
    if isinstance(value, np.ndarray):
        arrays.set_content(value, state, use)
    elif isinstance(value, np.dtype):
        arrays.check_dtype(state)
    elif isinstance(value, (Persisted, Fields)) and isinstance(state, dict):
        use.copied(ITEM * len(state))
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
    rows = listed(items, use)
    if not all(isinstance(row, (list, tuple)) and len(row) == 2 for row in rows):
        raise WeightsError("it has an OrderedDict that is not of pairs")
    return {key(name): value for name, value in rows}


def unordered(use: Use, items: Any = ()) -> set[Any]:
    """A set."""
    return {key(item) for item in listed(items, use)}


def listed(items: Any, use: Use) -> list[Any] | tuple[Any, ...]:
    """The items of a list or a tuple, which are counted. Raises `WeightsError` for anything else."""
    if not isinstance(items, (list, tuple)):
        raise WeightsError(f"it has a {kind(items)} where a list belongs")
    use.copied(ITEM * len(items))
    return items


def default(use: Use, *factory: Any) -> dict[Any, Any]:
    """An empty dict, for a `defaultdict`."""
    return {}


def path(use: Use, *parts: Any) -> str:
    """A path of the system where the file was written, as text."""
    if not all(isinstance(part, str) for part in parts):
        raise WeightsError("it has a path that is not of texts")
    use.copied(sum(map(len, parts)))
    windows = any(part.endswith("\\") for part in parts[:1])
    return str((PureWindowsPath if windows else PurePosixPath)(*parts))


def subclassed(use: Use, function: Any, kind: Any, arguments: Any, *state: Any) -> Any:
    """A tensor without its Python attributes. The counterpart of `torch._tensor._rebuild_from_type_v2`."""
    if not isinstance(function, Name) or function.module != "torch._utils":
        raise WeightsError("it rebuilds a tensor in a way that is refused")
    return call(function, arguments, use)


PATHS = ("Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath")
NUMPY = ("numpy.core", "numpy._core")  # before and since NumPy 2
CALLS: dict[tuple[str, str], Callable[..., Any]] = {
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): persisted,
    ("torch._utils", "_rebuild_parameter"): tensors.parameter,
    ("torch._utils", "_rebuild_tensor"): tensors.tensor,
    ("torch._utils", "_rebuild_tensor_v2"): tensors.tensor,
    ("torch._utils", "_rebuild_parameter_with_state"): tensors.parameter,
    ("torch._tensor", "_rebuild_from_type_v2"): subclassed,
    ("torch.storage", "_load_from_bytes"): tensors.embedded,
    ("torch", "Size"): tensors.size_of,
    ("torch", "device"): tensors.device,
    ("collections", "OrderedDict"): ordered,
    ("collections", "defaultdict"): default,
    ("builtins", "set"): unordered,
    ("__builtin__", "set"): unordered,
    ("numpy", "dtype"): arrays.dtype,
    ("_codecs", "encode"): arrays.encoded,
    **{(room, name): path for room in ("pathlib", "pathlib._local") for name in PATHS},
    **{(f"{room}.multiarray", "scalar"): arrays.scalar for room in NUMPY},
    **{(f"{room}.multiarray", "_reconstruct"): arrays.empty for room in NUMPY},
    **{(f"{room}.numeric", "_frombuffer"): arrays.from_buffer for room in NUMPY},
}
# Classes whose objects become dicts, and names that occur as arguments only.
CLASSES = {
    ("dnnlib.util", "EasyDict"),
    ("argparse", "Namespace"),
    ("numpy", "ndarray"),
    ("torch", "Tensor"),
    ("torch.nn.parameter", "Parameter"),
    ("torch.nn.parameter", "Buffer"),
    ("builtins", "dict"),
    ("__builtin__", "dict"),
}
