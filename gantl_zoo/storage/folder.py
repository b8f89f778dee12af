"""One model folder: `config.json` and `*.safetensors`, strict both ways, never half-written.

Nothing here is executed or unpickled. Floats may lie on disk in half precision; `config.json` says so
under `dtype`, and loading gives what the network was built with (float32). A network above the shard size
lies in several files, `NAME-00001-of-00003.safetensors`, and an index in the Hub's usual layout.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save_file
from torch import Tensor, nn

from gantl_zoo.errors import UsageError, WeightsError, unknown
from gantl_zoo.storage import schema, untrusted
from gantl_zoo.storage.atomic import replace_folder
from gantl_zoo.storage.headers import INDEX, WEIGHTS, Slot, Stored, look
from gantl_zoo.storage.schema import FORMAT, read_config

__all__ = ["DTYPES", "FORMAT", "SHARD", "load_into", "read_config", "read_tensors", "sha256", "write_folder"]
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
SHARD = "5GB"  # as the Hub's libraries split


def write_folder(
    folder: str | Path,
    config: Mapping[str, Any],
    networks: Mapping[str, nn.Module],
    readme: str = "",
    max_shard_size: int | str = SHARD,
) -> Path:
    """Write `config.json`, `NAME.safetensors` or its shards for each network, `README.md`; all or nothing.

    The hashes of the weights go into the config's `files`. Other files of an existing folder stay. Raises
    `WeightsError` if the place can't be written, or what was written could not be read again.
    """
    folder = Path(folder)
    if (named := config.get("dtype", "float32")) not in DTYPES:
        raise UsageError(unknown("dtype", named, DTYPES))
    dtype = DTYPES[named]
    try:
        with replace_folder(folder, along=_is_no_network) as new:
            for name, network in networks.items():
                _write_network(_tensors(network, dtype), new, name, max_shard_size)
            files = {path.name: {"sha256": sha256(path)} for path in sorted(new.iterdir())}
            _write_config(new, folder, {**config, "files": files})
            if readme:
                (new / "README.md").write_text(readme, encoding="utf-8")
            for path in (new, *new.iterdir()):  # else only their owner could read them
                path.chmod(0o755 if path.is_dir() else 0o644)
    except (OSError, SafetensorError) as error:
        cause = getattr(error, "strerror", None) or error
        raise WeightsError(f"can't write the model folder {folder}: {cause}") from error
    return folder


def load_into(
    network: nn.Module,
    path: str | Path | Stored,
    dtype: str = "float32",
    pins: Mapping[str, Any] | None = None,
) -> None:
    """Fill `network` from NAME.safetensors, or its shards, whose floats have `dtype`.

    The files must hold exactly the network's tensors, with these shapes and dtypes, all finite, and have
    the hashes of `pins` (a config's `files`) where there are any; else `WeightsError`, and the network is
    untouched. No tensor is read before the headers fit.
    """
    stored = path if isinstance(path, Stored) else look(path)
    problems = _differences(network.state_dict(), stored.slots, dtype)
    if problems:
        shown = "; ".join(problems[:4]) + (f"; and {len(problems) - 4} more" if len(problems) > 4 else "")
        raise WeightsError(
            f"{stored.path} does not fit {type(network).__name__}: {shown}. {_likely(problems)}"
        )
    found = _read(stored)
    broken = [name for name, tensor in found.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise WeightsError(
            f"{stored.path} holds numbers that are not finite in {', '.join(broken[:4])}: the training that "
            "wrote it diverged or the file is damaged; take an earlier checkpoint"
        )
    _check_pins(stored, pins or {})
    network.load_state_dict(found, strict=True)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file. Raises `WeightsError` that says what the file really is."""
    return _read(look(path))


def sha256(path: str | Path) -> str:
    """Hex digest of a file's bytes; of a network in shards, those of all of them, in order."""
    digest = hashlib.sha256()
    path = Path(path)
    for file in [path] if path.exists() else look(path).files:
        with open(file, "rb") as opened:
            while block := opened.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _write_network(tensors: dict[str, Tensor], folder: Path, name: str, max_shard_size: int | str) -> None:
    from huggingface_hub import split_torch_state_dict_into_shards

    pattern = f"{name}{{suffix}}.safetensors"
    try:
        plan = split_torch_state_dict_into_shards(
            tensors, filename_pattern=pattern, max_shard_size=max_shard_size
        )
        if isinstance(max_shard_size, int) and max_shard_size < 1:
            raise ValueError("it must be positive")
    except (ValueError, TypeError) as error:
        raise UsageError(
            f"max_shard_size {max_shard_size!r} is no size such as '5GB' or a count of bytes: {error}"
        ) from error
    for file, names in plan.filename_to_tensors.items():
        save_file({n: tensors[n] for n in names}, folder / file, {"format": "pt"})
    if plan.is_sharded:
        index = {"metadata": plan.metadata, "weight_map": plan.tensor_to_filename}
        text = json.dumps(index, indent=2) + "\n"
        (folder / f"{name}.safetensors{INDEX}").write_text(text, encoding="utf-8")


def _write_config(place: Path, folder: Path, config: dict[str, Any]) -> None:
    """Write a config that can be read again, or raise `WeightsError`."""
    try:
        text = json.dumps(config, indent=2, allow_nan=False) + "\n"
        untrusted.walk(read := untrusted.parse(text.encode()))
    except (TypeError, ValueError, RecursionError) as error:
        raise WeightsError(f"not saved: its config can't be written as JSON: {error}") from error
    if (size := len(text.encode())) > schema.MAX_CONFIG_BYTES:
        most = f"more than {schema.MAX_CONFIG_BYTES:,} are never read"
        raise WeightsError(f"not saved: its config has {size:,} bytes, and {most}; keep less in it")
    schema.check_config(read, folder / "config.json")
    (place / "config.json").write_text(text, encoding="utf-8")


def _tensors(network: nn.Module, dtype: torch.dtype) -> dict[str, Tensor]:
    state = {name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}
    broken = [name for name, tensor in state.items() if not torch.isfinite(tensor.to(dtype)).all()]
    if broken:
        raise WeightsError(f"not saved: {', '.join(broken[:4])} would hold numbers that are not finite")
    return {
        name: (tensor.to(dtype) if tensor.is_floating_point() else tensor).clone().contiguous()
        for name, tensor in state.items()
    }


def _read(stored: Stored) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for path, names in stored.files.items():
        try:
            if untrusted.escaped(str(path)) != str(path):  # safe_open takes paths in UTF-8 only
                every = load(path.read_bytes())
                found |= {name: every[name] for name in names}
                continue
            with safe_open(path, framework="pt") as file:
                found |= {name: file.get_tensor(name) for name in names}
        except (SafetensorError, OSError, ValueError) as error:
            raise WeightsError(f"{path} is no readable safetensors file: {error}; fetch it again") from error
    return found


def _check_pins(stored: Stored, pins: Mapping[str, Any]) -> None:
    """Where the config pins files, all that were read are pinned and have their hash."""
    for path in stored.files if pins else ():
        if path.name not in pins:
            raise WeightsError(
                f"{path} is not among the 'files' of its config.json, which pins others: fetch it again"
            )
        if (found := sha256(path)) != pins[path.name]["sha256"]:
            raise WeightsError(
                f"{path} is not the file that config.json pins (sha256 {found[:12]}…, not "
                f"{pins[path.name]['sha256'][:12]}…): it was changed after it was saved; fetch it again"
            )


def _is_no_network(name: str) -> bool:
    """Whether a file is neither a model's weights nor their index, of which the new ones are all."""
    return not re.fullmatch(WEIGHTS, name)


def _differences(expected: Mapping[str, Tensor], found: Mapping[str, Slot], dtype: str) -> list[str]:
    problems = [f"missing tensor {name}" for name in expected if name not in found]
    problems += [f"unexpected tensor {name[:200]}" for name in found if name not in expected]
    for name in expected:
        if name not in found:
            continue
        want, have = expected[name], found[name]
        wanted = dtype if want.is_floating_point() else str(want.dtype)[6:]
        if tuple(want.shape) != have.shape:
            problems.append(f"{name} has shape {have.shape}, not {tuple(want.shape)}")
        elif have.dtype != wanted:
            problems.append(f"{name} has dtype {have.dtype}, not {wanted}")
    return problems


def _likely(problems: list[str]) -> str:
    kinds = {problem.split()[0] for problem in problems}
    if kinds == {"missing", "unexpected"} or ("missing" in kinds and len(kinds) > 1):
        return "Likely cause: the file belongs to another architecture than config.json names"
    if kinds == {"missing"}:
        return "Likely cause: the file was cut, or written by an older version"
    if kinds == {"unexpected"}:
        return "Likely cause: the file holds more than this network, such as an optimizer's state"
    if all("dtype" in problem for problem in problems):
        return "Likely cause: the file was converted without writing its 'dtype' into config.json"
    return "Likely cause: config.json names another size, width or channel count than the weights have"
