"""The versions of plug-ins that a model folder requires: a version, or a range such as ">=0.3,<1"."""

from __future__ import annotations

import re
from collections.abc import Mapping

VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.!+_-]{0,63}", re.A)
PART = re.compile(r"(?:~=|[=!]=|[<>]=?)[0-9][A-Za-z0-9.!+_*-]{0,63}", re.A)  # of a range


def is_range(version: str) -> bool:
    """Whether a text is a range of versions."""
    return len(version) <= 200 and all(PART.fullmatch(part.strip(" ")) for part in version.split(","))


def is_version(version: object) -> bool:
    """Whether a value is a version or a range of versions."""
    return isinstance(version, str) and (bool(VERSION.fullmatch(version)) or is_range(version))


def install_line(requires: Mapping[str, str]) -> str:
    """The command that installs plug-ins, such as `pip install mine==0.3 'other>=1,<2'`."""
    parts = [f"'{p}{v}'" if is_range(v) else f"{p}=={v}" for p, v in requires.items()]
    return f"pip install {' '.join(parts)}"
