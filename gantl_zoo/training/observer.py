"""`Observer`: records a run, says when to measure and reports a collapse. User code is a `Callback`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gantl_zoo.training.learner import Learner


class Observer:
    """Base class that records nothing: for all processes but the main one.

    Methods are called with the number of steps that are done.
    """

    best_step = 0  # of the kept model
    results: Sequence[Mapping[str, Any]] = ()  # of the last measurement

    def on_step(self, step: int) -> None:
        """After each step."""

    def on_log(self, step: int, losses: dict[str, float], rate: float) -> None:
        """Every `log_every` steps: losses, images a second."""

    def wants_metrics(self, step: int) -> bool:
        return False

    def on_metrics(self, step: int, model: Any) -> None:
        """The model as it would be saved now."""

    def on_watch(self, step: int, learner: Learner) -> str:
        """Why the run has collapsed; empty if it has not."""
        return ""

    def say(self, text: str) -> None:
        """A line for the log."""

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps for `restore`."""
        return {}

    def restore(self, state: dict[str, Any], step: int) -> None:
        """The run goes on from `step`."""

    def finish(self) -> None:
        """After the last step."""

    def __enter__(self) -> None:
        """Before the first step."""

    def __exit__(self, *exception: object) -> None:
        """After the last line, or a failure."""
