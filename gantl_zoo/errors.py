"""Every error that a user can cause. Each message says what was asked, what exists, what to do.

`unknown` writes the sentence for every kind of name: registered names, settings, builder arguments, classes.
"""

from __future__ import annotations

from collections.abc import Iterable


class ZooError(Exception):
    """Base of all errors that gantl_zoo raises on purpose."""


class UsageError(ZooError, ValueError):
    """An argument that cannot work: unknown option, wrong type, impossible combination."""


class UnknownNameError(UsageError, LookupError):
    """No registry holds this name (or two plug-ins do, and neither was named)."""


class NameTakenError(UsageError):
    """A name is registered twice without `override=True`."""


class PluginError(ZooError):
    """A plug-in's name exists, but its code could not be loaded or did not keep the contract."""


class WeightsError(ZooError):
    """A model folder is incomplete, damaged, or belongs to another architecture."""


class HubError(ZooError):
    """The Hub refused, can't be reached, has no such thing, or sent something else than it promised."""

    passing = False  # whether waiting or the cache may help: a time-out, a server's trouble, a rate limit


class DataError(ZooError):
    """A data set is missing, empty, damaged, or has another shape than the model."""


class TrainingError(ZooError):
    """A run cannot start, continue or be saved."""


class Stopped(KeyboardInterrupt):
    """A run was interrupted, and wrote a checkpoint first. Not an `Exception`, as Ctrl-C never is."""

    def __init__(self, text: str, folder: object = None) -> None:
        super().__init__(f"{text}; continue with gantl-zoo resume {folder}" if folder else text)


def closest(name: object, choices: Iterable[str], most: int = 3) -> list[str]:
    """The choices that are spelled most like `name`, the closest first; [] if none is close.

    Upper case, and '_' in place of '-', make no difference.
    """
    import difflib  # only where something is misspelt

    spelled = {_plain(choice): choice for choice in choices}
    return [spelled[key] for key in difflib.get_close_matches(_plain(name), spelled, n=most)]


def suggestion(name: object, choices: Iterable[str], listed: str = "there are") -> str:
    """`"; did you mean hinge?"`, or, if no choice is close, all of them: `"; there are: hinge, …"`."""
    choices = list(choices)
    names = name if isinstance(name, (list, tuple)) else [name]
    if close := dict.fromkeys(near for one in names for near in closest(one, choices)):
        return f"; did you mean {' or '.join(close)}?"
    return f"; {listed}: {', '.join(choices)}" if choices else ""


def unknown(
    kind: str, name: object, choices: Iterable[str], *, hint: str = "", listed: str = "there are"
) -> str:
    """The message for a `name`, or a list of names, that is none of the `choices`:
    `"unknown loss 'hinje'; did you mean hinge?"`.

    The closest choices stand in it, or, if none is close, all of them. `hint`, such as "gantl-zoo list shows
    all", is added in brackets.
    """
    names = ", ".join(str(one)[:80] for one in name) if isinstance(name, (list, tuple)) else f"{name!s:.80}"
    shown = names if isinstance(name, (list, tuple)) else repr(names)
    added = f" ({hint})" if hint else ""
    return f"unknown {kind} {shown}{suggestion(name, choices, listed)}{added}"


def _plain(name: object) -> str:
    return str(name)[:80].lower().replace("_", "-")
