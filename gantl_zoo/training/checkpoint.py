"""A run's whole state on disk: safetensors and JSON, written beside and renamed.

The last two are kept, and the one of the best step. Noise, augmentation and data order are functions of
seed and step (`seeding.seed_step`), so the step number is all that a resumed run needs to know of chance.
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
from gantl_zoo.storage.atomic import replace_folder
from gantl_zoo.storage.folder import read_tensors
from gantl_zoo.strategy.base import TransferStrategy
from gantl_zoo.training.processes import Processes
from gantl_zoo.training.step import Player

KEPT = 2


@dataclass
class Contents:
    """Everything with tensors that a checkpoint holds."""

    modules: dict[str, nn.Module]  # by the prefix of their tensors
    players: tuple[Player, ...]
    strategy: TransferStrategy
    processes: Processes


def save(folder: Path, contents: Contents, state: dict[str, Any], keep: Collection[int] = ()) -> Path:
    """Write `checkpoints/STEP/` under the run `folder`; `state` is JSON and holds at least "step".

    Older ones go, but for the last two and those of the steps `keep`. Raises `TrainingError`; what was there
    before is left as it was.
    """
    parent = folder / "checkpoints"
    final = parent / f"{state['step']:08d}"
    state = state | {"scalers": {p.role: p.scaler.state_dict() for p in contents.players}}
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for scrap in parent.glob(".*-*"):  # of a run that was killed while it wrote
            shutil.rmtree(scrap, ignore_errors=True)
        with replace_folder(final) as new:  # it may be there: after a roll-back, with another state
            save_file(gather(contents), new / "state.safetensors")
            (new / "state.json").write_text(json.dumps(state), encoding="utf-8")
    except (OSError, SafetensorError) as error:
        cause = getattr(error, "strerror", None) or error
        raise TrainingError(
            f"can't write a checkpoint into {parent}: {cause}; make room or mend the folder, then --resume"
        ) from error
    complete = found(folder)
    for old in complete[:-KEPT]:
        if int(old.name) not in keep:
            shutil.rmtree(old, ignore_errors=True)
    return final


def found(folder: Path) -> list[Path]:
    """The complete checkpoints of a run, oldest first."""
    steps = (path for path in (folder / "checkpoints").glob("[0-9]*") if path.name.isdecimal())
    return sorted(
        (path for path in steps if (path / "state.json").is_file()), key=lambda path: int(path.name)
    )


def newest(folder: Path, latest: int) -> int:
    """The step of the newest checkpoint that is no later than `latest`; 0 if there is none."""
    return max((int(path.name) for path in found(folder) if int(path.name) <= latest), default=0)


def forget_after(folder: Path, step: int) -> None:
    """Remove the checkpoints beyond `step`: a run that went back must not be resumed from them."""
    for path in found(folder):
        if int(path.name) > step:
            shutil.rmtree(path, ignore_errors=True)


def read(folder: Path) -> tuple[Path, dict[str, Any], dict[str, Tensor]]:
    """The newest readable checkpoint: where it is, its JSON state, its tensors."""
    for path in reversed(found(folder)):
        try:
            state: dict[str, Any] = json.loads((path / "state.json").read_text(encoding="utf-8"))
            return path, state, read_tensors(path / "state.safetensors")
        except (WeightsError, ValueError, OSError) as error:
            warn(f"checkpoint {path.name} is damaged ({error}); trying the one before")
    raise TrainingError(f"{folder} has no complete checkpoint to resume from; start it anew without --resume")


def restore(folder: Path, contents: Contents) -> dict[str, Any]:
    """Fill everything from the newest readable checkpoint and return its JSON state.

    Only the main process reads: others may run on machines that don't see the folder.
    """
    path, state, tensors = contents.processes.from_main(lambda: read(folder))
    scatter(tensors, contents, path)
    for player in contents.players:
        player.scaler.load_state_dict(state.get("scalers", {}).get(player.role) or player.scaler.state_dict())
    return state


def gather(contents: Contents) -> dict[str, Tensor]:
    """All tensors of the run under one flat set of names; each its own storage."""
    tensors: dict[str, Tensor] = {}
    for prefix, state in _states(contents).items():
        tensors |= {f"{prefix}.{name}": tensor for name, tensor in state.items()}
    for player in contents.players:
        tensors |= _optimizer_tensors(player)
    return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}


def scatter(tensors: dict[str, Tensor], contents: Contents, path: Path) -> None:
    """The opposite of `gather`; raises `TrainingError` if the run had other networks."""
    expected = gather(contents)
    plain = {name for name in expected if not name.startswith("optimizer.")}
    there = {name for name in tensors if not name.startswith("optimizer.")}
    differing = sorted(plain ^ there) or sorted(n for n in plain if expected[n].shape != tensors[n].shape)
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
    states = {prefix: dict(module.state_dict()) for prefix, module in contents.modules.items()}
    return states | {"strategy": contents.strategy.state_dict()}


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
            # fused Adam walks raw memory, so its moments must lie as the parameter does (channels-last)
            tensor = torch.empty_like(parameter).copy_(tensor)
        entries.setdefault(int(index), {})[name] = tensor
    state = player.optimizer.state_dict()
    player.optimizer.load_state_dict({"state": entries, "param_groups": state["param_groups"]})
