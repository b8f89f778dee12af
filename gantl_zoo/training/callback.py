"""`Observer`: what looks on while a run trains. It never steers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gantl_zoo.model.gan import GAN

if TYPE_CHECKING:
    from gantl_zoo.training.trainer import Trainer


class Observer:
    """What looks on; this one sees nothing, as is right in every process but the main one.

    Methods are called with the number of steps that are done.
    """

    best_step = 0

    def on_step(self, step: int) -> None:
        """After each step."""

    def on_log(self, step: int, losses: dict[str, float], rate: float) -> None:
        """Every so often: mean losses, images a second."""

    def wants_metrics(self, step: int) -> bool:
        return False

    def on_metrics(self, step: int, gan: GAN) -> None:
        """The model as it would be saved now."""

    def on_watch(self, step: int, trainer: Trainer) -> str:
        """Why the run has collapsed; empty if it hasn't."""
        return ""

    def say(self, text: str) -> None:
        """A word for the log."""

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps for `restore`."""
        return {}

    def restore(self, state: dict[str, Any], step: int) -> None:
        """The run goes on from `step`."""

    def finish(self) -> None:
        """The last words."""

    def __enter__(self) -> None:
        """Before the first step."""

    def __exit__(self, *exception: object) -> None:
        """After the last word, or a failure."""
