"""Read a file of weights as data: a pickle, what `torch.save` wrote, or safetensors.

Nothing in the file is run or imported. The pickle is interpreted by `machine.py`, which refuses all names but
those in the tables of `rebuild.py`; sizes are checked before memory is allocated.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from gantl_zoo.convert.limits import COUNTS, MAX_BYTES, Use
from gantl_zoo.convert.located import FileError
from gantl_zoo.convert.machine import Machine
from gantl_zoo.convert.torch_file import MAGIC, read_legacy, read_zip
from gantl_zoo.convert.tree import check_depth
from gantl_zoo.errors import WeightsError
from gantl_zoo.storage.folder import read_tensors
from gantl_zoo.storage.untrusted import ONLY, size_of, sniff

ZIP = b"PK\x03\x04"
PICKLE = b"\x80"
LEGACY = b"\x8a\x0a" + MAGIC.to_bytes(10, "little")  # after the two bytes of the pickle's protocol


def read(path: str | Path) -> Any:
    """The content of a file of weights, as a tree of plain data.

    dict, list, tuple, set, str, int, float, bool, None, bytes; `torch.Tensor` on the CPU; NumPy arrays; and
    `Persisted` for each module that was pickled whole. An `argparse.Namespace` is a dict.

    Raises `WeightsError` in one line: the file is missing or damaged, or has what is refused.
    """
    path = Path(path)
    if not path.exists():
        raise FileError(f"{path} does not exist: give the file with the weights")
    try:
        size = size_of(path, MAX_BYTES, "a file of weights")
    except WeightsError as error:
        raise FileError(str(error)) from error
    try:
        with path.open("rb") as file:
            start = file.read(64)
            if start[8:9] == b"{":
                return read_tensors(path)
            data = start + file.read(size)
    except OSError as error:
        raise FileError(f"{path} can't be read: {error.strerror}") from error
    try:
        return parse(data)
    except WeightsError as error:
        raise FileError(f"{path} can't be imported: {error}") from error
    except Exception as error:  # a damaged pickle or zip may raise any exception
        cause = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise FileError(f"{path} is damaged ({cause}); download it again") from error


def parse(data: bytes) -> Any:
    """The tree in the bytes of a file. Raises `WeightsError`, and others if it is damaged."""
    use = Use(len(data), embedded=embedded)
    if data.startswith(ZIP):
        tree = read_zip(data, use)
    elif data[2:].startswith(LEGACY):
        tree = read_legacy(data, use)
    elif data.startswith(PICKLE):
        tree = Machine(io.BytesIO(data), use).load()
    else:
        likely = sniff(data[:64]) or "it is neither a pickle nor a file of torch.save"
        raise WeightsError(likely.replace(ONLY, "save its tensors as safetensors or with torch.save"))
    check_depth(tree)
    return tree


def embedded(data: bytes, use: Use) -> Any:
    """A storage that a pickle embeds as bytes, in torch's older format; it may not embed another one."""
    if not data[2:].startswith(LEGACY):
        raise WeightsError("it embeds something other than a storage")
    inner = Use(use.size)
    vars(inner).update({count: getattr(use, count) for count in COUNTS})
    value = read_legacy(data, inner)
    vars(use).update({count: getattr(inner, count) for count in COUNTS})
    return value
