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

SOURCES = ("name", "gan")  # settings whose value is a model's name or folder


def refusal(run: object, option: str, own: Any, value: Any, instead: str) -> str:
    """The error message for an `option` whose value is not the run's own; `instead` is the alternative."""
    return (
        f"{run} began with {option} {own}, not {value}, and --resume keeps the settings of the run: "
        f"leave {option} out, or {instead}"
    )


def option_of(key: str) -> str:
    """A setting's option on the command line, without dashes: strategy-arg for `strategy_config`."""
    return key.replace("_config", "-arg").replace("_", "-")


def agree(key: str, value: Any, own: Any) -> bool:
    """Whether the `value` of an argument is empty or equals the run's `own` setting."""
    if key in SOURCES and own is not None:
        return same(str(value) if isinstance(value, (str, Path)) else value.name, own)
    if key == "metrics":
        return tuple(named(value)) == tuple(own)
    if isinstance(value, TransferStrategy):
        return str(own) == type(value).__name__
    if isinstance(value, Mapping):  # the run's own also has defaults, and settings derived from its images
        items = json.loads(json.dumps(value, default=str)).items()
        return all(name in own and own[name] == item for name, item in items)
    if (key, value) == ("compare_scratch", False):
        return True
    return bool(value == own) or str(value) == str(own) or (key, value) == ("strategy", "auto")


def same(value: str, own: str) -> bool:
    """Whether both are the same folder or name. The run's `own` name may have a commit that `value` lacks."""
    if value and os.path.exists(value) and os.path.exists(own):
        return Path(value).resolve() == Path(own).resolve()
    name, _, revision = value.removeprefix("hf-hub:").partition("@")
    own_name, _, commit = own.removeprefix("hf-hub:").partition("@")
    moving = not re.fullmatch("[0-9a-f]{40}", revision)  # empty, a branch or a tag, which may have moved
    return not value or (name == own_name and (moving or revision == commit))
