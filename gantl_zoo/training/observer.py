"""`Observer`: records a run, schedules evaluations and reports collapse. For user code see `Callback`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gantl_zoo.training.learner import Learner


class Observer:
    """Base class, which records nothing. All processes but the main one use it.

    `step` is the number of completed steps.
    """

    best_step = 0  # the step of the model that the run keeps
    results: Sequence[Mapping[str, Any]] = ()  # rows of the last evaluation

    def on_step(self, step: int) -> None:
        """Called after each step."""

    def on_log(self, step: int, losses: dict[str, float], rate: float) -> None:
        """Called every `log_every` steps with losses and images per second."""

    def wants_metrics(self, step: int) -> bool:
        """Whether to evaluate the model after `step`."""
        return False

    def on_metrics(self, step: int, model: Any) -> None:
        """Evaluate the current model."""

    def wants_picture(self, step: int) -> bool:
        """Whether to write a picture of the model after `step`."""
        return False

    def on_picture(self, step: int, model: Any) -> None:
        """Write a picture of the current model."""

    def stops(self, step: int) -> bool:
        """Whether the run ends after `step`, before its last step."""
        return False

    def on_watch(self, step: int, learner: Learner) -> str:
        """Check for a collapse. Returns a message, or an empty string."""
        return ""

    def say(self, text: str) -> None:
        """Write a line to the log."""

    def state(self) -> dict[str, Any]:
        """JSON values for the checkpoint; see `restore`."""
        return {}

    def restore(self, state: dict[str, Any], step: int) -> None:
        """Restore the values of `state`; the run continues from `step`."""

    def finish(self) -> None:
        """Called after the last step."""

    def __enter__(self) -> None:
        """Called before the first step."""

    def __exit__(self, *exception: object) -> None:
        """Called at the end of the run, also after a failure."""
