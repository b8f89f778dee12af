"""Import the object of a plug-in's name, with what can go wrong in the code of others. No torch.

A plug-in states the version of the plug-in API that it was written for in its top-level package:

    GANTL_ZOO_API = 1

A package without the attribute is of version 1. The version rises when plug-ins must change.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Iterator
from typing import Any

from gantl_zoo.errors import PluginError, ZooError

API_VERSION = 1
OLDEST = 1  # the oldest version of the plug-in API that still works
DECLARED = "GANTL_ZOO_API"
COMPATIBLE = "GANTL_ZOO_COMPATIBLE"  # the versions of a plug-in that load its models, such as ">=0.3,<1"


def resolve(reference: str) -> Any:
    """Import the object of a reference, `package.module:object`."""
    module, _, path = reference.partition(":")
    if not module or not path:
        raise ValueError("a reference reads 'package.module:object'")
    target: Any = importlib.import_module(module)
    for part in path.split("."):
        target = getattr(target, part)
    return target


def resolve_plugin(reference: str) -> Any:
    """`resolve` for a plug-in: checks its API version first, and what it prints goes to standard error.

    Raises what the import raises, and `PluginError` for another version of the API.
    """
    package = top_level(reference)
    with contextlib.redirect_stdout(sys.stderr), same_process():
        if package.isidentifier():
            check_api(importlib.import_module(package))
        return resolve(reference)


def top_level(reference: str) -> str:
    """The top-level package of a reference."""
    return reference.partition(":")[0].partition(".")[0]


def check_api(package: Any) -> None:
    """Raise `PluginError` if the package was written for a version of the plug-in API that does not work."""
    version = getattr(package, DECLARED, OLDEST)
    if isinstance(version, bool) or not isinstance(version, int):
        raise PluginError(f"{DECLARED} must be a whole number, not {version!r:.40}")
    if OLDEST <= version <= API_VERSION:
        return
    here = f"this gantl_zoo has version {API_VERSION}"
    if API_VERSION > OLDEST:
        here += f" and still accepts {OLDEST}"
    remedy = "upgrade gantl_zoo" if version > API_VERSION else "upgrade the plug-in"
    raise PluginError(f"it is for version {version} of the plug-in API, but {here}: {remedy}")


def declared_range(reference: str) -> str:
    """The versions of a plug-in that load its models, as its package states them; "" if it states none."""
    return str(getattr(sys.modules.get(top_level(reference)), COMPATIBLE, ""))


@contextlib.contextmanager
def same_process() -> Iterator[None]:
    """End a child process that a plug-in forked inside, so that it does not run the command again."""
    parent = os.getpid()
    try:
        yield
    finally:
        if os.getpid() != parent:
            os._exit(0)


OWN = ("gantl_zoo", "script")  # owners whose errors are raised as they are


@contextlib.contextmanager
def errors_of(owner: str, version: str, what: str) -> Iterator[None]:
    """Raise an unexpected error inside as a `PluginError` that names the plug-in, unless the owner is `OWN`.

    `what` is the part of the message before the cause, such as "generator 'x' can't be built".
    """
    try:
        yield
    except ZooError:
        raise
    except (Exception, SystemExit) as error:
        if owner in OWN:
            raise
        raise PluginError(f"plug-in {owner} {version}: {what}: {type(error).__name__}: {error}") from error
