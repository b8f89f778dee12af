"""The exceptions that gantl_zoo raises. Each message says what was asked, what exists, what to do.

`unknown` writes the message for a misspelt name of any kind: registered names, settings, builder arguments,
classes.
"""

from __future__ import annotations

from collections.abc import Iterable


class ZooError(Exception):
    """Base class of all errors that gantl_zoo raises on purpose."""


class UsageError(ZooError, ValueError):
    """An invalid argument: unknown option, wrong type, impossible combination."""


class UnknownNameError(UsageError, LookupError):
    """The name is not registered, or two plug-ins register it and it has no `owner:` prefix."""


class NameTakenError(UsageError):
    """A name is registered a second time without `override=True`."""


class PluginError(ZooError):
    """A plug-in's code can't be loaded, or what it registers has the wrong type."""


class WeightsError(ZooError):
    """A model folder is incomplete, damaged, or made for another architecture."""


class HubError(ZooError):
    """The Hub can't be reached, refused the request, lacks the repository or file, or sent wrong data."""

    passing = False  # True if a retry or the cache may help: a time-out, a server error, a rate limit


class DataError(ZooError):
    """A data set is missing, empty or damaged, or its images don't have the model's shape."""


class ExportError(ZooError):
    """A model can't be exported, or an exported file can't be used."""


class TrainingError(ZooError):
    """A run can't start, resume or be saved."""


class Stopped(KeyboardInterrupt):
    """A run was interrupted after it had written a checkpoint. Like Ctrl-C, not an `Exception`."""

    def __init__(self, text: str, folder: object = None) -> None:
        super().__init__(f"{text}; continue with gantl-zoo resume {folder}" if folder else text)


def closest(name: object, choices: Iterable[str], most: int = 3) -> list[str]:
    """Up to `most` choices with the most similar spelling, nearest first; [] if none is similar.

    Ignores case, leading dashes, and the difference between '_' and '-'.
    """
    import difflib  # imported here for a fast start-up: most calls have no misspelt name

    spelled = {_plain(choice): choice for choice in choices}
    return [spelled[key] for key in difflib.get_close_matches(_plain(name), spelled, n=most)]


def suggestion(name: object, choices: Iterable[str], listed: str = "there are") -> str:
    """`"; did you mean hinge?"`, or, if no choice is similar, all choices: `"; there are: hinge, …"`.

    Several similar choices are listed nearest first.
    """
    choices = list(choices)
    names = name if isinstance(name, (list, tuple)) else [name]
    if close := dict.fromkeys(near for one in names for near in closest(one, choices)):
        return f"; did you mean {' or '.join(close)}?"
    return f"; {listed}: {', '.join(choices)}" if choices else ""


def unknown(
    kind: str, name: object, choices: Iterable[str], *, hint: str = "", listed: str = "there are"
) -> str:
    """An error message for a name, or a list of names, that is not among the `choices`.

    Such as `"unknown loss 'hinje'; did you mean hinge?"`. The message names the most similar choices, or all
    of them if none is similar. `hint`, such as "gantl-zoo list shows all", is appended in brackets.
    """
    names = ", ".join(str(one)[:80] for one in name) if isinstance(name, (list, tuple)) else f"{name!s:.80}"
    shown = names if isinstance(name, (list, tuple)) else repr(names)
    added = f" ({hint})" if hint else ""
    return f"unknown {kind} {shown}{suggestion(name, choices, listed)}{added}"


def _plain(name: object) -> str:
    return str(name)[:80].lower().replace("_", "-").lstrip("-")
