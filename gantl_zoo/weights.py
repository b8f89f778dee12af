"""One model folder: `config.json` and `*.safetensors`, strict both ways, never half-written.

Nothing here is executed or unpickled. Floats may lie on disk in half precision; `config.json` says so
under `dtype`, and loading gives what the network was built with (float32).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from gantl_zoo.errors import WeightsError

FORMAT = 1
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
KINDS = ("gan", "backbone")
MAX_CONFIG_BYTES = 1 << 20  # a config is a page of JSON; a megabyte of it is somebody's mistake

# The first bytes of what people download in place of weights.
SIGNATURES = {
    b"<": "it is an HTML or XML page: the download went to a web page, not to the file",
    b"version https://git-lfs": "it is a Git LFS pointer: fetch the real file with `git lfs pull`",
    b"PK\x03\x04": "it is a zip, as torch.save writes: only safetensors are read",
    b"\x80": "it is a pickle: only safetensors are read",
}


def write_folder(
    folder: str | Path, config: Mapping[str, Any], networks: Mapping[str, nn.Module], readme: str = ""
) -> Path:
    """Write `config.json`, one `NAME.safetensors` a network and `README.md`, all or nothing.

    Other files of an existing folder stay. Raises `WeightsError` if the place can't be written.
    """
    folder = Path(folder)
    dtype = DTYPES[config.get("dtype", "float32")]
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            for name, network in networks.items():
                save_file(_tensors(network, dtype), beside / f"{name}.safetensors", {"format": "pt"})
            (beside / "config.json").write_text(json.dumps(config, indent=2, allow_nan=False) + "\n")
            if readme:
                (beside / "README.md").write_text(readme)
            for path in (beside, *beside.iterdir()):  # else only their owner could read them
                path.chmod(0o755 if path.is_dir() else 0o644)
            _move_into_place(beside, folder)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    except (OSError, SafetensorError) as error:
        cause = getattr(error, "strerror", None) or error
        raise WeightsError(f"can't write the model folder {folder}: {cause}") from error
    return folder


def read_config(folder: str | Path) -> dict[str, Any]:
    """The checked `config.json` of a model folder. Raises `WeightsError`."""
    path = Path(folder) / "config.json"
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise WeightsError(f"{path} is larger than {MAX_CONFIG_BYTES} bytes: that is no model's config")
        config = json.loads(path.read_text())
    except FileNotFoundError:
        raise WeightsError(f"{path.parent} is no model folder: it has no config.json") from None
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path} can't be read as JSON: {error}") from error
    if not isinstance(config, dict) or config.get("kind") not in KINDS:
        raise WeightsError(f"{path} describes no gantl_zoo model: 'kind' must be one of {', '.join(KINDS)}")
    if config.get("format") != FORMAT:
        raise WeightsError(
            f"{path} has format {config.get('format')!r}, this version reads {FORMAT}; upgrade gantl_zoo"
        )
    if config.get("dtype", "float32") not in DTYPES:
        raise WeightsError(f"{path}: dtype {config['dtype']!r} is none of {', '.join(DTYPES)}")
    for part in ("generator", "discriminator") if config["kind"] == "gan" else ("backbone",):
        described = config.get(part)
        if described is None and part == "discriminator":
            continue
        if not isinstance(described, dict) or not isinstance(described.get("name"), str):
            raise WeightsError(f"{path}: {part!r} must be an object with a 'name' and a 'config'")
        if not isinstance(described.get("config", {}), dict):
            raise WeightsError(f"{path}: the 'config' of {part!r} must be an object")
    return config


def load_into(network: nn.Module, path: str | Path, dtype: str = "float32") -> None:
    """Fill `network` from a safetensors file whose floats have `dtype`.

    The file must hold exactly the network's tensors, with these shapes and dtypes, all finite; else
    `WeightsError`, and the network is untouched.
    """
    path = Path(path)
    expected = network.state_dict()
    found = read_tensors(path)
    problems = _differences(expected, found, DTYPES[dtype])
    if problems:
        shown = "; ".join(problems[:4]) + (f"; and {len(problems) - 4} more" if len(problems) > 4 else "")
        raise WeightsError(f"{path} does not fit {type(network).__name__}: {shown}. {_likely(problems)}")
    broken = [name for name, tensor in found.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise WeightsError(
            f"{path} holds numbers that are not finite in {', '.join(broken[:4])}: the training that wrote "
            "it diverged or the file is damaged; take an earlier checkpoint"
        )
    network.load_state_dict({n: t.to(expected[n].dtype) for n, t in found.items()}, strict=True)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file. Raises `WeightsError` that says what the file really is."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except FileNotFoundError:
        raise WeightsError(f"{path} is missing: the model folder is incomplete; fetch it again") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{path} is no readable safetensors file: {_diagnose(path, error)}") from error


def sha256(path: str | Path) -> str:
    """Hex digest of a file's bytes."""
    with open(path, "rb") as file:
        return (
            hashlib.file_digest(file, "sha256").hexdigest()
            if hasattr(hashlib, "file_digest")
            else (hashlib.sha256(file.read()).hexdigest())
        )


def _tensors(network: nn.Module, dtype: torch.dtype) -> dict[str, Tensor]:
    state = {name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}
    broken = [name for name, tensor in state.items() if not torch.isfinite(tensor.to(dtype)).all()]
    if broken:
        raise WeightsError(f"not saved: {', '.join(broken[:4])} would hold numbers that are not finite")
    return {
        name: (tensor.to(dtype) if tensor.is_floating_point() else tensor).clone().contiguous()
        for name, tensor in state.items()
    }


def _move_into_place(new: Path, folder: Path) -> None:
    """Rename `new` to `folder`; what `folder` held besides moves along."""
    if not folder.exists():
        os.rename(new, folder)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{folder.name}-old-", dir=folder.parent)) / folder.name
    os.rename(folder, old)
    os.rename(new, folder)
    for other in old.iterdir():
        if not (folder / other.name).exists() and other.suffix != ".safetensors":
            os.rename(other, folder / other.name)
    shutil.rmtree(old.parent)


def _differences(
    expected: Mapping[str, Tensor], found: Mapping[str, Tensor], dtype: torch.dtype
) -> list[str]:
    problems = [f"missing tensor {name}" for name in expected if name not in found]
    problems += [f"unexpected tensor {name}" for name in found if name not in expected]
    for name in expected:
        if name not in found:
            continue
        want, have = expected[name], found[name]
        wanted = dtype if want.is_floating_point() else want.dtype
        if want.shape != have.shape:
            problems.append(f"{name} has shape {tuple(have.shape)}, not {tuple(want.shape)}")
        elif have.dtype != wanted:
            problems.append(f"{name} has dtype {str(have.dtype)[6:]}, not {str(wanted)[6:]}")
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


def _diagnose(path: Path, error: Exception) -> str:
    if path.is_dir():
        return "it is a folder"
    start = path.read_bytes()[:64] if path.is_file() else b""
    for signature, meaning in SIGNATURES.items():
        if start.lstrip().startswith(signature):
            return meaning
    return f"it is damaged or was cut in the download ({error}); fetch it again"
