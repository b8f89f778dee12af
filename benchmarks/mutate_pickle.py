"""Mutations of files of weights: each changes the bytes of a pickle, and may leave it valid.

All randomness comes from the given `random.Random`. `benchmarks/fuzz_import.py` uses them.
"""

from __future__ import annotations

import contextlib
import io
import pickletools
import random
from collections.abc import Callable

HOSTILE = [
    b"cos\nsystem\nX\x08\x00\x00\x00echo run\x85R", b"c__builtin__\neval\nX\x03\x00\x00\x001+1\x85R",
    b"cbuiltins\ngetattr\n", b"\x8c\x02os\x8c\x06system\x93", b"cnumpy\nload\n", b"ctorch\nload\n",
    b"R", b"Q", b"b", b"}b", b")\x81", b"r\xff\xff\xff\x7f", b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"(" * 50, b"2\x86" * 50, b"]a" * 50, b"0", b".", b"J\xff\xff\xff\x7f", b"\x8a\x08" + b"\x7f" * 8,
]  # fmt: skip


def bits(chance: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 8, 64])):
        changed[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def cut(chance: random.Random, data: bytes) -> bytes:
    return data[: chance.randrange(len(data))]


def hole(chance: random.Random, data: bytes) -> bytes:
    start = chance.randrange(len(data))
    return data[:start] + data[start + chance.randrange(1, 40) :]


def moved(chance: random.Random, data: bytes) -> bytes:
    start, place = chance.randrange(len(data)), chance.randrange(len(data))
    piece = data[start : start + chance.randrange(1, 200)]
    return data[:place] + piece + data[place:]


def hostile(chance: random.Random, data: bytes) -> bytes:
    """Opcodes that no good file has, between two opcodes of a pickle, or anywhere."""
    place = chance.choice(positions(data) or [chance.randrange(len(data))])
    return data[:place] + chance.choice(HOSTILE) + data[place:]


def opcode(chance: random.Random, data: bytes) -> bytes:
    """Another opcode in the place of one."""
    place = chance.choice(positions(data) or [0])
    other = chance.choice(pickletools.opcodes).code.encode("latin-1")
    return data[:place] + other + data[place + 1 :]


def names(chance: random.Random, data: bytes) -> bytes:
    """Another name of the same length, such as `os.system`, in the place of one."""
    known = [
        b"OrderedDict",
        b"_rebuild_tensor_v2",
        b"FloatStorage",
        b"storage",
        b"collections",
        b"torch._utils",
    ]
    known += [
        b"_reconstruct_persistent_obj",
        b"torch_utils.persistence",
        b"class_name",
        b"state",
        b"_parameters",
    ]
    old = chance.choice([name for name in known if name in data] or [data[:4]])
    new = chance.choice([b"system", b"os", b"eval", b"__class__", b"\xff" * 9, b"a" * 40]).ljust(
        len(old), b"_"
    )
    return data.replace(old, new[: len(old)], chance.choice([1, -1]))


def positions(data: bytes) -> list[int]:
    """Where the opcodes of the first pickles in the data begin."""
    places: list[int] = []
    file = io.BytesIO(data)
    with contextlib.suppress(Exception):
        while len(places) < 5000:
            start = file.tell()
            places += [place for _, _, place in pickletools.genops(file) if place is not None]
            if file.tell() == start:
                break
    return places


KINDS: dict[str, Callable[[random.Random, bytes], bytes]] = {
    function.__name__: function for function in (bits, cut, hole, moved, hostile, opcode, names)
}
