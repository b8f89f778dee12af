"""Every error that a user can cause. Each message says what was asked, what exists, what to do."""


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
