"""Compare the arguments of a resumed run with the settings that its config.json holds."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gantl_zoo.metrics.catalogue import named
from gantl_zoo.strategy.base import TransferStrategy

SOURCES = ("name", "gan")  # settings that hold a model's name or folder


def refusal(run: object, option: str, own: Any, wish: Any, instead: str) -> str:
    """The message for an `option` whose value is not the run's own; `instead` is what else to do."""
    return (
        f"{run} began with {option} {own}, not {wish}, and --resume goes on with what a run began with: "
        f"leave {option} out, or {instead}"
    )


def option_of(key: str) -> str:
    """A setting's name on the command line, without the dashes: `strategy_config` is strategy-arg."""
    return key.replace("_config", "-arg").replace("_", "-")


def agree(key: str, wish: Any, own: Any) -> bool:
    """Whether an argument is empty or equals the run's own setting."""
    if key in SOURCES and own is not None:
        return same(str(wish) if isinstance(wish, (str, Path)) else wish.name, own)
    if key == "metrics":
        return tuple(named(wish)) == tuple(own)
    if isinstance(wish, TransferStrategy):
        return str(own) == type(wish).__name__
    if isinstance(wish, Mapping):  # the run also keeps defaults and what follows from its images
        as_kept = json.loads(json.dumps(wish, default=str))
        return all(name in own and own[name] == value for name, value in as_kept.items())
    if (key, wish) == ("compare_scratch", False):
        return True
    return bool(wish == own) or str(wish) == str(own) or (key, wish) == ("strategy", "auto")


def same(wish: str, own: str) -> bool:
    """Whether these are one folder or one name. `wish` may lack the commit that a run keeps of its source."""
    if wish and os.path.exists(wish) and os.path.exists(own):
        return Path(wish).resolve() == Path(own).resolve()
    name, _, revision = wish.removeprefix("hf-hub:").partition("@")
    known, _, commit = own.removeprefix("hf-hub:").partition("@")
    moving = not re.fullmatch("[0-9a-f]{40}", revision)  # none, a branch, a tag: it may have moved since
    return not wish or (name == known and (moving or revision == commit))
