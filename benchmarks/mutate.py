"""Mutations that damage the files of a model folder, `{file name: bytes}`, in place.

All randomness comes from the given `random.Random`. `None` in place of bytes makes a sub-folder of that name.
A mutation may leave a folder valid; `benchmarks/fuzz.py` finds out.
"""

from __future__ import annotations

import gzip
import json
import pickle
import random
from typing import Any

Files = dict[str, Any]
PATHS = [
    "../x", "..", "a/../../b", "/etc/passwd", "\\\\host\\share", "C:\\x", "c:x", "a\\b", "./x", "~/x", "a/b",
    "", "generator.safetensors/../config.json", "x\u0000y", "..\\x", "file:///x", "timm:../x", "timm:/x",
    "x:y:z", "timm:resnet18", "timm:nothing", "gone:net", "con", "-rf", "\ud800", "\x1b[31m", "a" * 70000,
]  # fmt: skip
NUMBERS = [
    0, -1, 1, 2, 3, 5, 7, 16, 64, 100, 255, 4096, 65535, 65536, 65537, 10**6, -(10**6), 2**31, 2**53, 2**63,
    2**64, 10**30, 10**400, 0.5, -0.5, 4.0, 1e-9, 1e9, 1e308, True, False,
]  # fmt: skip
ODD = [
    None,
    [],
    {},
    [1],
    [[[]]],
    {"a": 1},
    "",
    "4",
    "none",
    "batch",
    "spectral",
    [4, 8],
    [8] * 300,
    [4] * 5000,
]
RAW = [
    b"NaN",
    b"Infinity",
    b"-Infinity",
    b"1e999",
    b"9" * 5000,
    b"-0",
    b"0x10",
    b"1_000",
    b"'a'",
    b"nan",
    b"01",
]
MARKS = [
    b"<!doctype html><title>404</title>", b"version https://git-lfs.github.com/spec/v1\noid sha256:0",
    b"PK\x03\x04" + bytes(200), pickle.dumps({"a": 1}), gzip.compress(b"x" * 99, mtime=0), b"BZh91AY",
    b"\xfd7zXZ\0", b"\x89HDF\r\n", b"\x93NUMPY", b"GGUF", b"", b"\0", bytes(8), bytes(4096), b"{}", b"[]",
    b"null", b'{"error": "x"}', b"\xff" * 64,
    (2).to_bytes(8, "little") + b"{}", (2**63).to_bytes(8, "little") + b"{}",
]  # fmt: skip


def pick(random: random.Random, files: Files, ending: str) -> str:
    return random.choice(sorted(name for name in files if name.endswith(ending)))


def split(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Split a safetensors file into its header and the tensors' bytes."""
    end = 8 + int.from_bytes(data[:8], "little")
    return json.loads(data[8:end]), data[end:]


def join(header: Any, rest: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode(errors="surrogatepass")
    return len(text).to_bytes(8, "little") + text + rest


def many(count: int) -> bytes:
    """The inside of a JSON object with `count` keys, the last of them duplicated."""
    return b",".join(b'"%d":0' % key for key in [*range(count), max(count - 1, 0)])


def flip(random: random.Random, data: bytes, low: int = 0, high: int | None = None) -> bytes:
    """Flip some bits of `data[low:high]`."""
    changed = bytearray(data)
    for _ in range(random.choice([1, 1, 1, 2, 8])):
        changed[random.randrange(low, high or len(data))] ^= 1 << random.randrange(8)
    return bytes(changed)


def bits_of_values(random: random.Random, files: Files) -> None:
    name = pick(random, files, ".safetensors")
    files[name] = flip(random, files[name], 8 + int.from_bytes(files[name][:8], "little"))


def bits_of_header(random: random.Random, files: Files) -> None:
    name = pick(random, files, ".safetensors")
    files[name] = flip(random, files[name], 0, 8 + int.from_bytes(files[name][:8], "little"))


def bits_of_json(random: random.Random, files: Files) -> None:
    name = pick(random, files, ".json")
    files[name] = flip(random, files[name])


def cut(random: random.Random, files: Files) -> None:
    name = random.choice(sorted(files))
    files[name] = files[name][: random.randrange(len(files[name]))]


def grow(random: random.Random, files: Files) -> None:
    name = random.choice(sorted(files))
    more = random.choice([b"\0", b" ", b"}", random.randbytes(64), files[name]])
    files[name] = files[name] + more if random.random() < 0.7 else more + files[name]


def exchange_files(random: random.Random, files: Files) -> None:
    one, other = random.sample(sorted(files), 2)
    files[one], files[other] = files[other], files[one]


def exchange_tensors(random: random.Random, files: Files) -> None:
    """Swap the offsets, shapes or dtypes of two tensors of a file, or all three."""
    name = pick(random, files, ".safetensors")
    header, rest = split(files[name])
    names = [key for key in header if key != "__metadata__"]
    if len(names) < 2:
        return cut(random, files)
    one, other = random.sample(names, 2)
    for key in random.choice([["data_offsets"], ["shape"], ["dtype"], ["shape", "dtype", "data_offsets"]]):
        header[one][key], header[other][key] = header[other][key], header[one][key]
    files[name] = join(header, rest)


def header_entry(random: random.Random, files: Files) -> None:
    """Change a dtype, a shape, an offset or a name in a header."""
    name = pick(random, files, ".safetensors")
    header, rest = split(files[name])
    key = random.choice(list(header))
    entry = header[key]
    what = random.choice(["dtype", "shape", "data_offsets", "name", "value", "more", "gone"])
    if what == "name":
        header[random.choice([*PATHS, "blocks.0.linear.weight", key + "x"])] = header.pop(key)
    elif what == "value" or key == "__metadata__":
        header[key] = random.choice([*ODD, *NUMBERS, *PATHS])
    elif what == "more":
        header[random.choice(["extra", "__metadata__", *PATHS])] = dict(entry)
    elif what == "gone":
        rest = (
            rest[: entry["data_offsets"][0]] + rest[entry["data_offsets"][1] :]
            if random.random() < 0.5
            else rest
        )
        del header[key]
    elif what == "dtype":
        entry[what] = random.choice(
            ["F64", "F16", "BF16", "I32", "F8_E4M3", "f32", "U8", "BOOL", *ODD, *NUMBERS]
        )
    elif entry[what] and random.random() < 0.8:
        entry[what][random.randrange(len(entry[what]))] = random.choice([*NUMBERS, *ODD])
    else:
        entry[what] = random.choice(ODD)
    files[name] = join(header, rest)


def header_length(random: random.Random, files: Files) -> None:
    name = pick(random, files, ".safetensors")
    length = random.choice(
        [0, 1, 7, 8, 100, 2**22, 2**22 + 1, 10**8, 2**32, 2**63, 2**64 - 1, random.getrandbits(64)]
    )
    files[name] = length.to_bytes(8, "little") + files[name][8:]


def header_json(random: random.Random, files: Files) -> None:
    """Replace a header by one that is long, deeply nested, has a duplicate key, or is not an object."""
    name = pick(random, files, ".safetensors")
    header, rest = split(files[name])
    text = json.dumps(header).encode()
    deep = random.choice([50, 500, 20_000, 1_000_000])
    key = json.dumps(random.choice(list(header)))
    text = random.choice([
        b"[" * deep + b"]" * deep, b'{"a":' * deep + b"1" + b"}" * deep, text + b" " * 4096, text[:-1],
        text[:-1] + b"," + key.encode() + b':{"dtype":"F32","shape":[],"data_offsets":[0,4]}}', b" " + text,
        text.replace(b'"dtype"', b'"dtype":"F32","dtype"', 1), text.replace(b"[0", b"[-0", 1), b"", b"{}",
        b"[]", text.replace(b"[0", b"[" + random.choice(RAW), 1), text.decode().encode("utf-16"),
        b"\xef\xbb\xbf" + text, b'{"a":[' + b"[]," * 1_200_000 + b"[]]}",
        text[:-1] + b',"__metadata__":{"a":"' + b"b" * (1 << 21) + b'"}}',
        text[:-1] + b"," + many(180_000) + b"}",
    ])  # fmt: skip
    files[name] = join(text, rest)


def not_finite(random: random.Random, files: Files) -> None:
    name = pick(random, files, ".safetensors")
    header, rest = split(files[name])
    entry = header[random.choice([key for key in header if key != "__metadata__"])]
    low, high = entry["data_offsets"]
    wide = {"F32": 4, "F16": 2}.get(entry["dtype"], 8)
    bits = random.choice(
        [b"\x7f\x80", b"\xff\x80", b"\x7f\xc0"] if wide == 4 else [b"\x7c\x00", b"\xfc\x00", b"\x7e\x01"]
    )
    place = low + wide * random.randrange((high - low) // wide)
    new = bits[::-1].rjust(wide, b"\0")
    files[name] = join(header, rest[:place] + new + rest[place + wide :])


def other_file(random: random.Random, files: Files) -> None:
    files[random.choice(sorted(files))] = random.choice(MARKS)


def files_there(random: random.Random, files: Files) -> None:
    """Remove, rename or copy a file, or replace it by a folder."""
    name = random.choice(sorted(files))
    what = random.randrange(4)
    data = files[name] if what == 3 else files.pop(name)
    if what == 1:
        files[name] = None
    elif what >= 2:
        names = ["generator.safetensors", "model.safetensors", "generator-00001-of-00001.safetensors",
                 "generator.safetensors.index.json", "discriminator-00001-of-00002.safetensors"]  # fmt: skip
        files[random.choice(names)] = data


WEIGHTS = (
    bits_of_values,
    bits_of_header,
    bits_of_json,
    cut,
    grow,
    exchange_files,
    exchange_tensors,
    header_entry,
    header_length,
    header_json,
    not_finite,
    other_file,
    files_there,
)
