"""Write and read model folders: `config.json` and `*.safetensors`.

Reading executes and unpickles nothing, and accepts exactly the tensors that the network has. Writing is
atomic. Floats may be stored in half precision (`dtype` in `config.json`); loading converts them to the
network's own dtype, float32. A network larger than the shard size is split into files
`NAME-00001-of-00003.safetensors` with an index, in the Hub's usual layout.
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
SHARD = "5GB"  # the default of the Hub's libraries


def write_folder(
    folder: str | Path,
    config: Mapping[str, Any],
    networks: Mapping[str, nn.Module | Mapping[str, Tensor]],
    readme: str = "",
    max_shard_size: int | str = SHARD,
) -> Path:
    """Write `config.json`, `README.md` and each network's `NAME.safetensors` or shards; all or nothing.

    A mapping of tensors is written like a network that has them. Adds the SHA-256 of each weights file to the
    config's `files`. Other files of an existing folder are kept. Raises `WeightsError` if the folder can't be
    written, or if reading would reject its content.
    """
    folder = Path(folder)
    if (named := config.get("dtype", "float32")) not in DTYPES:
        raise UsageError(unknown("dtype", named, DTYPES))
    dtype = DTYPES[named]
    try:
        with replace_folder(folder, along=_is_not_weights) as new:
            for name, network in networks.items():
                _write_network(_tensors(network, dtype), new, name, max_shard_size)
            files = {path.name: {"sha256": sha256(path)} for path in sorted(new.iterdir())}
            _write_config(new, folder, {**config, "files": files})
            if readme:
                (new / "README.md").write_text(readme, encoding="utf-8")
            for path in (new, *new.iterdir()):  # mkdtemp makes folders that only their owner can read
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
    """Load NAME.safetensors, or its shards, whose floats are stored as `dtype`, into `network`.

    Checks the headers before reading any tensor. Raises `WeightsError`, and leaves the network unchanged,
    unless the files hold exactly the network's tensors with the same shapes and dtypes, all values finite,
    and the files match the hashes in `pins` (the config's `files`), if given.
    """
    stored = path if isinstance(path, Stored) else look(path)
    problems = _differences(network.state_dict(), stored.slots, dtype)
    if problems:
        shown = "; ".join(problems[:4]) + (f"; and {len(problems) - 4} more" if len(problems) > 4 else "")
        raise WeightsError(
            f"{stored.path} does not fit {type(network).__name__}: {shown}. {_likely(problems)}"
        )
    network.load_state_dict(read_valid(stored, pins), strict=True)


def read_valid(path: str | Path | Stored, pins: Mapping[str, Any] | None = None) -> dict[str, Tensor]:
    """All tensors of NAME.safetensors or its shards. Raises `WeightsError` unless all values are finite and
    the files match the hashes in `pins` (the config's `files`), if given.
    """
    stored = path if isinstance(path, Stored) else look(path)
    tensors = _read(stored)
    broken = [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise WeightsError(
            f"{stored.path} has NaN or infinite values in {', '.join(broken[:4])}: the training diverged or "
            "the file is damaged; load an earlier checkpoint"
        )
    _check_pins(stored, pins or {})
    return tensors


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file. Raises `WeightsError`, which says what any other file is."""
    return _read(look(path))


def sha256(path: str | Path) -> str:
    """The hex digest of a file, or of a network's shards in order."""
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
            f"max_shard_size {max_shard_size!r} is not a valid size: {error}; give bytes or '5GB'"
        ) from error
    for file, names in plan.filename_to_tensors.items():
        save_file({n: tensors[n] for n in names}, folder / file, {"format": "pt"})
    if plan.is_sharded:
        index = {"metadata": plan.metadata, "weight_map": plan.tensor_to_filename}
        text = json.dumps(index, indent=2) + "\n"
        (folder / f"{name}.safetensors{INDEX}").write_text(text, encoding="utf-8")


def _write_config(place: Path, folder: Path, config: dict[str, Any]) -> None:
    """Write the config. Raises `WeightsError` if `read_config` would reject it."""
    try:
        text = json.dumps(config, indent=2, allow_nan=False) + "\n"
        untrusted.walk(read := untrusted.parse(text.encode()))
    except (TypeError, ValueError, RecursionError) as error:
        raise WeightsError(f"not saved: the config can't be written as JSON: {error}") from error
    if (size := len(text.encode())) > schema.MAX_CONFIG_BYTES:
        limit = f"the limit is {schema.MAX_CONFIG_BYTES:,}"
        raise WeightsError(f"not saved: the config has {size:,} bytes, {limit}; store less in it")
    schema.check_config(read, folder / "config.json")
    (place / "config.json").write_text(text, encoding="utf-8")


def _tensors(network: nn.Module | Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    tensors = network.state_dict() if isinstance(network, nn.Module) else network
    state = {name: tensor.detach().cpu() for name, tensor in tensors.items()}
    broken = [name for name, tensor in state.items() if not torch.isfinite(tensor.to(dtype)).all()]
    if broken:
        raise WeightsError(f"not saved: {', '.join(broken[:4])} would have NaN or infinite values")
    return {
        name: (tensor.to(dtype) if tensor.is_floating_point() else tensor).clone().contiguous()
        for name, tensor in state.items()
    }


def _read(stored: Stored) -> dict[str, Tensor]:
    result: dict[str, Tensor] = {}
    for path, names in stored.files.items():
        try:
            if untrusted.escaped(str(path)) != str(path):  # safe_open accepts UTF-8 paths only
                tensors = load(path.read_bytes())
                result |= {name: tensors[name] for name in names}
                continue
            with safe_open(path, framework="pt") as file:
                result |= {name: file.get_tensor(name) for name in names}
        except (SafetensorError, OSError, ValueError) as error:
            raise WeightsError(
                f"{path} is not a readable safetensors file: {error}; download it again"
            ) from error
    return result


def _check_pins(stored: Stored, pins: Mapping[str, Any]) -> None:
    """Raise `WeightsError` unless every file is in `pins` with its SHA-256. Empty pins accept all."""
    for path in stored.files if pins else ():
        if path.name not in pins:
            raise WeightsError(
                f"{path} is not listed in the 'files' of config.json, which has others; download it again"
            )
        if (actual := sha256(path)) != pins[path.name]["sha256"]:
            raise WeightsError(
                f"{path} does not match its SHA-256 in config.json ({actual[:12]}…, not "
                f"{pins[path.name]['sha256'][:12]}…): it was changed after it was saved; download it again"
            )


def _is_not_weights(name: str) -> bool:
    """Whether a file is neither weights nor their index, so that it is kept when a model is saved again."""
    return not re.fullmatch(WEIGHTS, name)


def _differences(expected: Mapping[str, Tensor], slots: Mapping[str, Slot], dtype: str) -> list[str]:
    problems = [f"missing tensor {name}" for name in expected if name not in slots]
    problems += [f"unexpected tensor {name[:200]}" for name in slots if name not in expected]
    for name in expected:
        if name not in slots:
            continue
        ours, stored = expected[name], slots[name]
        expected_dtype = dtype if ours.is_floating_point() else str(ours.dtype)[6:]
        if tuple(ours.shape) != stored.shape:
            problems.append(f"{name} has shape {stored.shape}, not {tuple(ours.shape)}")
        elif stored.dtype != expected_dtype:
            problems.append(f"{name} has dtype {stored.dtype}, not {expected_dtype}")
    return problems


def _likely(problems: list[str]) -> str:
    kinds = {problem.split()[0] for problem in problems}
    if kinds == {"missing", "unexpected"} or ("missing" in kinds and len(kinds) > 1):
        return "Likely cause: the weights are of another architecture than config.json names"
    if kinds == {"missing"}:
        return "Likely cause: the file is truncated, or an older version wrote it"
    if kinds == {"unexpected"}:
        return "Likely cause: the file has more than this network, such as an optimizer's state"
    if all("dtype" in problem for problem in problems):
        return "Likely cause: the file was converted, but 'dtype' in config.json was not updated"
    return "Likely cause: config.json has another image size, width or channel count than the weights"
