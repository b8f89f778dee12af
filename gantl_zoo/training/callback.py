"""`Callback`: what anybody may attach to a run. It looks on, and never changes what is trained."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from gantl_zoo.errors import UsageError
from gantl_zoo.seeding import mixed
from gantl_zoo.training.learner import Learner
from gantl_zoo.training.modes import isolated
from gantl_zoo.training.observer import Observer


class RunView:
    """A run as a callback may read it. What it returns are copies: to change them changes nothing."""

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
        """What was logged last, by name: losses, and signs of health."""
        return dict(self._losses)

    @property
    def results(self) -> list[dict[str, Any]]:
        """The rows of the last measurement, as in a report; none before the first."""
        return copy.deepcopy(list(self._observer.results))

    @property
    def best_step(self) -> int:
        """The step of the model that is kept so far; 0 before there is one."""
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
    """Overrides what it needs; each method is called with a `RunView`, in the main process only.

    Random numbers that a callback draws, and the modes of torch that it sets, are given back, so the run with
    it is the run without it, to the bit. What a callback raises ends the run after a checkpoint.
    """

    def on_start(self, run: RunView) -> None:
        """Before the first step, also of a run that is resumed."""

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


class Callbacks:
    """Calls all callbacks of a run; the first that raises is the last that is called."""

    def __init__(self, callbacks: Sequence[Callback], view: RunView, seed: int) -> None:
        self.callbacks, self.view, self.seed = check_callbacks(callbacks), view, seed
        self.failure = ""  # which callback raised what
        self.cause: Exception | None = None

    def call(self, hook: str, step: int, losses: dict[str, float] | None = None) -> None:
        """Call the method `hook` of each callback after `step` steps."""
        self.view._step = step
        self.view._losses = self.view._losses if losses is None else losses
        for callback in self.callbacks:
            if self.cause is None:
                with isolated(mixed(self.seed, step)):
                    self._call(callback, hook)

    def _call(self, callback: Callback, hook: str) -> None:
        try:
            getattr(callback, hook)(self.view)
        except Exception as error:
            words = (str(error).splitlines() or [""])[0]
            self.failure = f"{type(callback).__name__}.{hook} raised {type(error).__name__}: {words}"
            self.cause = error
