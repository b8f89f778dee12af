"""Mutations that damage the JSON of a model folder: config.json, and the index of shards.

`KINDS` has all mutations of this file and of `benchmarks/mutate.py` by name.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

from mutate import NUMBERS, ODD, PATHS, RAW, WEIGHTS, Files, join, many, pick, split


def at(random: random.Random, tree: Any, want: Callable[[str, Any], bool]) -> tuple[Any, Any]:
    """A random position (container, key) in a tree for whose key and value `want` is true."""
    places = []
    todo = [tree]
    while todo:
        node = todo.pop()
        for key, value in list(node.items() if isinstance(node, dict) else enumerate(node)):
            if want(str(key), value):
                places.append((node, key))
            if isinstance(value, (dict, list)):
                todo.append(value)
    return random.choice(places)


def edit(random: random.Random, files: Files, want: Callable[[str, Any], bool], values: list[Any]) -> None:
    """Change a value in config.json."""
    tree = json.loads(files["config.json"])
    node, key = at(random, tree, want)
    node[key] = random.choice(values)
    json_written(files, tree)


def json_value(random: random.Random, files: Files) -> None:
    edit(random, files, lambda key, value: True, [*ODD, *NUMBERS, *PATHS])


def json_number(random: random.Random, files: Files) -> None:
    edit(
        random, files, lambda key, value: isinstance(value, (int, float)), [*NUMBERS, random.randrange(2**20)]
    )


def json_name(random: random.Random, files: Files) -> None:
    edit(random, files, lambda key, value: key in ("name", "kind", "dtype", "norm") or key in "0", PATHS)


def json_arguments(random: random.Random, files: Files) -> None:
    """Add, remove or change an argument of a builder."""
    tree = json.loads(files["config.json"])
    part = random.choice([key for key in ("generator", "discriminator", "backbone") if key in tree])
    config = tree[part]["config"]
    key = random.choice([*config, "weights", "pretrained", "self", "__class__", "name", "backbone", "extra"])
    if key in config and random.random() < 0.2:
        del config[key]
    else:
        config[key] = random.choice([*NUMBERS, *ODD, *PATHS])
    json_written(files, tree)


def json_key(random: random.Random, files: Files) -> None:
    """Add, remove or rename a key."""
    tree = json.loads(files["config.json"])
    node, key = at(random, {"": tree}, lambda key, value: isinstance(value, dict))
    node = node[key]
    if node and random.random() < 0.5:
        value = node.pop(random.choice(list(node)))
        if random.random() < 0.5:
            return json_written(files, tree)
    else:
        value = random.choice([*ODD, *NUMBERS])
    node[random.choice(["extra", "format", "__proto__", "auto_map", "torch_dtype", *PATHS])] = value
    json_written(files, tree)


def json_written(files: Files, tree: Any) -> None:
    files["config.json"] = json.dumps(tree).encode(errors="surrogatepass")


def json_twice(random: random.Random, files: Files) -> None:
    """Duplicate a key in config.json or an index, also one of thousands."""
    name = pick(random, files, ".json")
    if random.random() < 0.1:
        files[name] = files[name].rstrip()[:-1] + b"," + many(random.randrange(90_000)) + b"}"
        return
    text = files[name].decode()
    lines = [line for line in text.split("\n") if '": ' in line and not line.endswith(("{", "["))]
    line = random.choice(lines)
    files[name] = text.replace(line, line.rstrip(",") + "," + line, 1).encode()


def json_raw(random: random.Random, files: Files) -> None:
    """Insert a number that is not valid JSON, or change the encoding of the text."""
    name = pick(random, files, ".json")
    text = files[name].decode()
    if random.random() < 0.2:
        files[name] = text.encode(random.choice(["utf-16", "utf-32", "utf-8-sig"]))
        return
    numbers = [i for i, c in enumerate(text) if c.isdigit() and text[i - 1] == " "]
    place = random.choice(numbers)
    end = next(i for i in range(place, len(text)) if not (text[i].isalnum() or text[i] in ".-+"))
    files[name] = text[:place].encode() + random.choice(RAW) + text[end:].encode()


def json_deep(random: random.Random, files: Files) -> None:
    tree = json.loads(files["config.json"])
    node, key = at(random, tree, lambda key, value: True)
    node[key] = "HERE"
    deep = random.choice([20, 90, 150, 900, 5000, 100_000, 400_000])
    opening, closing = random.choice([("[", "]"), ('{"a":', "}"), ('{"base_lineage":', "}")])
    inside = opening * deep + ("{}" if opening != "[" else "") + closing * deep
    files["config.json"] = json.dumps(tree).replace('"HERE"', inside).encode()


def pins(random: random.Random, files: Files) -> None:
    """Change a hash, its file, or the layout of the hashes."""
    tree = json.loads(files["config.json"])
    pinned = tree.setdefault("files", {})
    digest = "".join(random.choice("0123456789abcdefABCDEFg") for _ in range(random.choice([64, 64, 63, 65])))
    file = random.choice([*sorted(files), *PATHS, "model.safetensors"])
    pinned[file] = random.choice(
        [{"sha256": digest}, {"sha256": digest.lower()}, {"md5": digest}, digest, None, {}]
    )
    json_written(files, tree)


def index(random: random.Random, files: Files) -> None:
    """Change positions, names, the total size or keys of an index of shards."""
    indices = sorted(name for name in files if name.endswith(".index.json"))
    if not indices:
        return pins(random, files)
    name = random.choice(indices)
    tree = json.loads(files[name])
    placed = tree["weight_map"]
    tensor = random.choice(list(placed))
    what = random.randrange(7)
    if what <= 1:
        placed[tensor] = random.choice(
            [*PATHS, *placed.values(), *ODD, "generator-00001-of-99999.safetensors"]
        )
    elif what == 2:
        placed[random.choice(["extra", *PATHS])] = (
            placed.pop(tensor) if random.random() < 0.5 else placed[tensor]
        )
    elif what == 3:
        del placed[tensor]
    elif what == 4:
        tree["metadata"]["total_size"] = random.choice([*NUMBERS, *ODD])
    elif what == 5:
        tree[random.choice(["extra", "metadata", "weight_map"])] = random.choice([*ODD, *NUMBERS])
    else:  # the tensor is in two shards
        shard = random.choice(sorted(set(placed.values())))
        header, rest = split(files[shard])
        header[tensor] = {"dtype": "U8", "shape": [4], "data_offsets": [len(rest), len(rest) + 4]}
        files[shard] = join(header, rest + b"abcd")
    files[name] = json.dumps(tree).encode(errors="surrogatepass")
    return None


JSON = (
    json_value,
    json_number,
    json_name,
    json_arguments,
    json_key,
    json_twice,
    json_raw,
    json_deep,
    pins,
    index,
)
KINDS: dict[str, Callable[[random.Random, Files], None]] = {
    mutation.__name__.replace("_", " "): mutation for mutation in (*WEIGHTS, *JSON)
}
