"""Checkpoints: the whole state of a run as safetensors and JSON, written atomically.

The last two checkpoints and that of the best step are kept. Noise, augmentation and data order depend only on
seed and step (`seeding.seed_step`), so a checkpoint needs no state of random number generators.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from gantl_zoo.console import warn
from gantl_zoo.errors import TrainingError, WeightsError
from gantl_zoo.networks.base import digest
from gantl_zoo.storage.atomic import replace_folder
from gantl_zoo.storage.folder import read_tensors
from gantl_zoo.strategy.base import TransferStrategy
from gantl_zoo.training.processes import Processes
from gantl_zoo.training.step import Player

KEPT = 2


@dataclass
class Contents:
    """Everything whose tensors are saved in a checkpoint."""

    modules: dict[str, nn.Module]  # by the prefix of their tensors' names
    players: tuple[Player, ...]
    strategy: TransferStrategy
    processes: Processes


def save(folder: Path, contents: Contents, state: dict[str, Any], keep: Collection[int] = ()) -> Path:
    """Write `checkpoints/STEP/` into the run `folder`. `state` is saved as JSON and must contain "step".

    Then remove all checkpoints but the last two and those of the steps in `keep`. If writing fails, raises
    `TrainingError` and leaves existing checkpoints unchanged.
    """
    parent = folder / "checkpoints"
    final = parent / f"{state['step']:08d}"
    state = state | {"scalers": {p.role: p.scaler.state_dict() for p in contents.players}}
    state |= {"frozen": frozen_hashes(contents)}
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for partial in parent.glob(".*-*"):  # left by a run that was killed while writing
            shutil.rmtree(partial, ignore_errors=True)
        with replace_folder(final) as new:  # exists after a roll-back
            save_file(gather(contents), new / "state.safetensors")
            (new / "state.json").write_text(json.dumps(state), encoding="utf-8")
    except (OSError, SafetensorError) as error:
        cause = getattr(error, "strerror", None) or error
        raise TrainingError(
            f"can't write a checkpoint into {parent}: {cause}; free disk space or fix the folder, then "
            "continue with --resume"
        ) from error
    kept = saved(folder)
    for old in kept[:-KEPT]:
        if int(old.name) not in keep:
            shutil.rmtree(old, ignore_errors=True)
    return final


def saved(folder: Path) -> list[Path]:
    """Folders of the complete checkpoints of a run, oldest first."""
    steps = (path for path in (folder / "checkpoints").glob("[0-9]*") if path.name.isdecimal())
    return sorted(
        (path for path in steps if (path / "state.json").is_file()), key=lambda path: int(path.name)
    )


def newest(folder: Path, latest: int) -> int:
    """The step of the newest checkpoint that is no later than `latest`; 0 if there is none."""
    return max((int(path.name) for path in saved(folder) if int(path.name) <= latest), default=0)


def forget_after(folder: Path, step: int) -> None:
    """Remove the checkpoints after `step`: after a roll-back, a run must not resume from them."""
    for path in saved(folder):
        if int(path.name) > step:
            shutil.rmtree(path, ignore_errors=True)


def read(folder: Path) -> tuple[Path, dict[str, Any], dict[str, Tensor]]:
    """Read the newest undamaged checkpoint: its path, JSON state and tensors. Raises `TrainingError`."""
    for path in reversed(saved(folder)):
        try:
            state: dict[str, Any] = json.loads((path / "state.json").read_text(encoding="utf-8"))
            return path, state, read_tensors(path / "state.safetensors")
        except (WeightsError, ValueError, OSError) as error:
            warn(f"checkpoint {path.name} is damaged ({error}); trying the previous one")
    raise TrainingError(f"{folder} has no complete checkpoint to resume from; start again without --resume")


def restore(folder: Path, contents: Contents) -> dict[str, Any]:
    """Restore `contents` from the newest undamaged checkpoint. Returns its JSON state.

    Only the main process reads it: others may run on machines without access to the folder.
    """
    path, state, tensors = contents.processes.from_main(lambda: read(folder))
    tensors = _same_frozen(state.get("frozen"), contents, tensors, path)
    scatter(tensors, contents, path)
    for player in contents.players:
        player.scaler.load_state_dict(state.get("scalers", {}).get(player.role) or player.scaler.state_dict())
    return state


def _same_frozen(
    saved: dict[str, str] | None, contents: Contents, tensors: dict[str, Tensor], path: Path
) -> dict[str, Tensor]:
    """The checkpoint's tensors without frozen backbones, which earlier versions saved.

    Raises `TrainingError` if the frozen backbones of the run are others now.
    """
    hashes = frozen_hashes(contents)
    for name, own in hashes.items():
        if saved is not None and saved.get(name) != own:
            raise TrainingError(
                f"{path} was saved with other weights of {name} ({saved.get(name)}, not {own}): "
                "install the version of the backbone's package that the run began with"
            )
    return {name: t for name, t in tensors.items() if not name.startswith(tuple(f"{h}." for h in hashes))}


def gather(contents: Contents) -> dict[str, Tensor]:
    """Copies of all tensors of the run, by unique names."""
    tensors: dict[str, Tensor] = {}
    for prefix, state in _states(contents).items():
        tensors |= {f"{prefix}.{name}": tensor for name, tensor in state.items()}
    for player in contents.players:
        tensors |= _optimizer_tensors(player)
    return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}


def scatter(tensors: dict[str, Tensor], contents: Contents, path: Path) -> None:
    """Copy tensors of `gather` back into `contents`. Raises `TrainingError` if names or shapes differ."""
    expected = gather(contents)
    plain = {name for name in expected if not name.startswith("optimizer.")}
    saved = {name for name in tensors if not name.startswith("optimizer.")}
    differing = sorted(plain ^ saved) or sorted(n for n in plain if expected[n].shape != tensors[n].shape)
    if differing:
        raise TrainingError(f"{path} belongs to another architecture or strategy: {', '.join(differing[:3])}")
    for prefix, state in _states(contents).items():
        for name, tensor in state.items():
            with torch.no_grad():
                tensor.copy_(tensors[f"{prefix}.{name}"])
    contents.strategy.load_state_dict(
        {n.removeprefix("strategy."): t for n, t in tensors.items() if n.startswith("strategy.")}
    )
    for player in contents.players:
        _restore_optimizer(player, tensors)


def _states(contents: Contents) -> dict[str, dict[str, Tensor]]:
    """All tensors of networks and strategy, without those of frozen backbones, by prefix and name."""
    states = {}
    for prefix, module in contents.modules.items():
        frozen = tuple(f"{name}." for name in frozen_backbones(module))
        states[prefix] = {n: t for n, t in module.state_dict().items() if not n.startswith(frozen)}
    return states | {"strategy": contents.strategy.state_dict()}


def frozen_backbones(network: nn.Module) -> dict[str, nn.Module]:
    """The frozen backbones in a network, by name. A resumed run loads them from where they come from."""
    parts = [(name, part) for name, part in network.named_modules() if getattr(part, "freeze", False) is True]
    backbones = {f"{name}.backbone".lstrip("."): getattr(part, "backbone", None) for name, part in parts}
    return {name: part for name, part in backbones.items() if isinstance(part, nn.Module)}


def frozen_hashes(contents: Contents) -> dict[str, str]:
    """The hashes of the frozen backbones' weights, which stand in a checkpoint for the weights."""
    return {
        f"{prefix}.{name}": digest(part.state_dict())
        for prefix, module in contents.modules.items()
        for name, part in frozen_backbones(module).items()
    }


def _optimizer_tensors(player: Player) -> dict[str, Tensor]:
    if player.optimizer is None:
        return {}
    state = player.optimizer.state_dict()["state"]
    return {
        f"optimizer.{player.role}.{index}.{name}": tensor
        for index, entry in state.items()
        for name, tensor in entry.items()
    }


def _restore_optimizer(player: Player, tensors: dict[str, Tensor]) -> None:
    if player.optimizer is None:
        return
    parameters = [p for group in player.optimizer.param_groups for p in group["params"]]
    entries: dict[int, dict[str, Tensor]] = {}
    start = f"optimizer.{player.role}."
    for key in (key for key in tensors if key.startswith(start)):
        index, name = key.removeprefix(start).split(".")
        tensor, parameter = tensors[key], parameters[int(index)]
        if tensor.shape == parameter.shape:
            # fused Adam needs moments in the memory format of the parameter (channels-last)
            tensor = torch.empty_like(parameter).copy_(tensor)
        entries.setdefault(int(index), {})[name] = tensor
    state = player.optimizer.state_dict()
    player.optimizer.load_state_dict({"state": entries, "param_groups": state["param_groups"]})
