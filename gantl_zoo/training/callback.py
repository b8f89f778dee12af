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
    """Read access to a run. It returns copies, so changing them does not change the run."""

    __slots__ = ("_folder", "_learner", "_losses", "_observer", "_step")

    def __init__(self, learner: Learner, observer: Observer, folder: Path | None) -> None:
        self._learner, self._observer, self._folder = learner, observer, folder
        self._step, self._losses = 0, dict[str, float]()

    @property
    def step(self) -> int:
        """How many steps are done."""
        return self._step

    @property
    def steps(self) -> int:
        """How many steps the run has."""
        return self._learner.pace.steps

    @property
    def recipe(self) -> Any:
        """The `Recipe`, or the `ClassifierRecipe`."""
        return copy.deepcopy(self._learner.recipe)

    @property
    def folder(self) -> Path | None:
        """The run folder."""
        return self._folder

    @property
    def losses(self) -> dict[str, float]:
        """The values that were logged last, by name: losses and health statistics."""
        return dict(self._losses)

    @property
    def results(self) -> list[Mapping[str, Any]]:
        """The rows of the last measurement, as in a report; none before the first."""
        return copy.deepcopy(list(self._observer.results))

    @property
    def best_step(self) -> int:
        """The step of the kept model; 0 before the first."""
        return self._observer.best_step

    def snapshot(self) -> Any:
        """A copy of the model as it would be saved now: the `GAN` with its averaged generator, or the
        `Classifier`.
        """
        return copy.deepcopy(self._learner.snapshot())

    def sample(self, n: int = 16, *, seed: int = 0) -> Tensor:
        """Images (n, C, H, W) of the averaged generator, in [-1, 1]. Raises `UsageError` for a classifier."""
        model: Any = self._learner.snapshot()
        if not hasattr(model, "generate"):
            raise UsageError("a classifier has no samples")
        images: Tensor = model.generate(n, seed=seed)
        return images


class Callback:
    """Base class; override the methods that you need. They are called in the main process only.

    The state of the random number generators, the grad mode and the default dtype are restored after each
    call, so a run with callbacks equals the run without them, bit for bit. If a callback raises, the run
    writes a checkpoint and ends with `TrainingError`; after the last step the run completes its work first.
    """

    def on_start(self, run: RunView) -> None:
        """Before the first step of a new or a resumed run."""

    def on_step(self, run: RunView) -> None:
        """After each step."""

    def on_log(self, run: RunView) -> None:
        """After statistics were logged: `run.losses`."""

    def on_metrics(self, run: RunView) -> None:
        """After the model was measured: `run.results`, `run.best_step`."""

    def on_checkpoint(self, run: RunView) -> None:
        """After a checkpoint was written."""

    def on_end(self, run: RunView) -> None:
        """After the last step; not after a failure or an interruption."""


def check_callbacks(callbacks: Sequence[Any]) -> tuple[Callback, ...]:
    """The callbacks. Raises `UsageError` for an object of another kind."""
    if isinstance(callbacks, Callback):
        raise UsageError("callbacks is a list of gz.Callback objects, not a single one")
    for callback in callbacks:
        if not isinstance(callback, Callback):
            kind = callback.__name__ if isinstance(callback, type) else type(callback).__name__
            raise UsageError(f"a callback is an object of a class derived from gz.Callback, not {kind}")
    return tuple(callbacks)


def overrides(callback: Callback, hook: str) -> bool:
    """Whether the callback has its own method `hook`."""
    return getattr(getattr(callback, hook), "__func__", None) is not getattr(Callback, hook)


class Callbacks:
    """The callbacks of a run. After one has raised, none is called any more."""

    def __init__(self, callbacks: Sequence[Callback], view: RunView, seed: int) -> None:
        self.callbacks, self.view, self.seed = check_callbacks(callbacks), view, seed
        self.failure = ""  # which callback raised what, as text
        self.cause: BaseException | None = None

    def call(self, hook: str, step: int, losses: dict[str, float] | None = None) -> None:
        """Call the method `hook` of each callback that overrides it, after `step` steps."""
        self.view._step = step
        self.view._losses = self.view._losses if losses is None else losses
        called = [callback for callback in self.callbacks if overrides(callback, hook)]
        if self.cause is not None or not called:  # saving the random state costs more than a small step
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
        except BaseException as error:  # also SystemExit: the run needs its checkpoint in any case
            words = (str(error).splitlines() or [""])[0]
            self.failure = f"{type(callback).__name__}.{hook} raised {type(error).__name__}: {words}"
            self.cause = error
