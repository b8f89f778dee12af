"""`Callback`: base class for user code that observes a run and never changes training."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from gantl_zoo.errors import UsageError
from gantl_zoo.seeding import mixed
from gantl_zoo.training.learner import Learner
from gantl_zoo.training.modes import isolated, modes_restored
from gantl_zoo.training.observer import Observer


class RunView:
    """Read access to a run. All values are copies, so changing them doesn't change the run."""

    __slots__ = ("_folder", "_learner", "_losses", "_observer", "_step")

    def __init__(self, learner: Learner, observer: Observer, folder: Path | None) -> None:
        self._learner, self._observer, self._folder = learner, observer, folder
        self._step, self._losses = 0, dict[str, float]()

    @property
    def step(self) -> int:
        """Number of completed steps."""
        return self._step

    @property
    def steps(self) -> int:
        """Total number of steps of the run."""
        return self._learner.pace.steps

    @property
    def recipe(self) -> Any:
        """The run's `Recipe` or `ClassifierRecipe`."""
        return copy.deepcopy(self._learner.recipe)

    @property
    def folder(self) -> Path | None:
        """The run folder, if the run has one."""
        return self._folder

    @property
    def losses(self) -> dict[str, float]:
        """The last logged losses and health statistics, by name."""
        return dict(self._losses)

    @property
    def results(self) -> list[Mapping[str, Any]]:
        """The rows of the last evaluation, as in a report; empty before the first one."""
        return copy.deepcopy(list(self._observer.results))

    @property
    def best_step(self) -> int:
        """The step of the model that the run keeps; 0 before the first evaluation."""
        return self._observer.best_step

    def snapshot(self) -> Any:
        """A copy of the current model: the `GAN` with its averaged generator, or the `Classifier`."""
        return copy.deepcopy(self._learner.snapshot())

    def sample(self, n: int = 16, *, seed: int = 0) -> Tensor:
        """Images (n, C, H, W) in [-1, 1] of the averaged generator. Raises `UsageError` for a classifier."""
        model: Any = self._learner.snapshot()
        if not hasattr(model, "generate"):
            raise UsageError("a classifier can't generate samples")
        images: Tensor = model.generate(n, seed=seed)
        return images


class Callback:
    """Base class of callbacks. Override the methods that you need; only the main process calls them.

    After each call the random state, the grad mode and the default dtype are restored, so callbacks don't
    change the results of a run. If a callback raises, the run writes a checkpoint and ends with
    `TrainingError`; after the last step it saves and evaluates the model first.
    """

    def on_start(self, run: RunView) -> None:
        """Called before the first step of a new or resumed run."""

    def on_step(self, run: RunView) -> None:
        """Called after each step."""

    def on_log(self, run: RunView) -> None:
        """Called after logging; see `run.losses`."""

    def on_metrics(self, run: RunView) -> None:
        """Called after an evaluation; see `run.results` and `run.best_step`."""

    def on_checkpoint(self, run: RunView) -> None:
        """Called after a checkpoint is written."""

    def on_end(self, run: RunView) -> None:
        """Called after the last step, but not after a failure or an interruption."""


def check_callbacks(callbacks: Sequence[Any]) -> tuple[Callback, ...]:
    """Return the callbacks as a tuple. Raises `UsageError` for objects of other classes."""
    if isinstance(callbacks, Callback):
        raise UsageError("callbacks must be a list of gz.Callback objects, not a single one")
    for callback in callbacks:
        if not isinstance(callback, Callback):
            kind = callback.__name__ if isinstance(callback, type) else type(callback).__name__
            raise UsageError(f"a callback must be an object of a class derived from gz.Callback, not {kind}")
    return tuple(callbacks)


def overrides(callback: Callback, hook: str) -> bool:
    """Whether the callback overrides the method `hook`."""
    return getattr(getattr(callback, hook), "__func__", None) is not getattr(Callback, hook)


class Callbacks:
    """The callbacks of a run. If one raises, no further callback is called."""

    def __init__(self, callbacks: Sequence[Callback], view: RunView, seed: int) -> None:
        self.callbacks, self.view, self.seed = check_callbacks(callbacks), view, seed
        self.failure = ""  # which callback raised which error
        self.cause: BaseException | None = None

    def call(self, hook: str, step: int, losses: dict[str, float] | None = None) -> None:
        """Call the method `hook` of each callback that overrides it, after `step` steps."""
        self.view._step = step
        self.view._losses = self.view._losses if losses is None else losses
        called = [callback for callback in self.callbacks if overrides(callback, hook)]
        if self.cause is not None or not called:  # saving the random state takes longer than a small step
            return
        with isolated(mixed(self.seed, step)):
            for callback in called:
                if self.cause is None:
                    self._call(callback, hook)

    def _call(self, callback: Callback, hook: str) -> None:
        try:
            with modes_restored():
                getattr(callback, hook)(self.view)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # also SystemExit: the run must write its checkpoint
            first_line = (str(error).splitlines() or [""])[0]
            self.failure = f"{type(callback).__name__}.{hook} raised {type(error).__name__}: {first_line}"
            self.cause = error
