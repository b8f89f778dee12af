"""`Recovery`: a run's checkpoints, and the way back to the last good one."""

from __future__ import annotations

from pathlib import Path

from gantl_zoo.errors import TrainingError
from gantl_zoo.training import checkpoint
from gantl_zoo.training.learner import Learner
from gantl_zoo.training.observer import Observer


class Recovery:
    """Saves and restores a learner and its observer in the run's `folder`; without one nothing is saved."""

    def __init__(self, learner: Learner, observer: Observer, folder: Path | None) -> None:
        self.learner, self.observer, self.folder = learner, observer, folder
        self.sound = 0  # the last step at which the collapse watch found nothing
        self.checked = -1, ""  # the step that `sick` was computed at, and its result

    @property
    def goes_back(self) -> bool:
        """Whether a collapse is a reason to go back."""
        return self.learner.pace.on_collapse == "rollback"

    def sick(self, step: int) -> str:
        """`Learner.sick` after `step` steps, computed once per step: it runs the generator and waits for the
        device.
        """
        if self.checked[0] != step:
            self.checked = step, self.learner.sick()
        return self.checked[1]

    def save(self, step: int) -> bool:
        """Write a checkpoint, unless steps are being skipped or weights are not finite: a run never returns
        to such a state. Returns whether a checkpoint was written.
        """
        learner, guard = self.learner, self.learner.guard
        if self.folder is None or not learner.engine.processes.main or guard.in_a_row or self.sick(step):
            return False
        state = {
            "step": step,
            "images": step * learner.pace.batch,
            "observer": self.observer.state(),
            "skipped": float(guard.skipped),
            "rollbacks": guard.rollbacks,
            "sound": self.sound,
            "learner": learner.state(),
        }
        keep = {self.observer.best_step}
        if self.goes_back:
            keep.add(checkpoint.newest(self.folder, self.sound))
        checkpoint.save(self.folder, learner.contents, state, keep)
        return True

    def restore(self) -> int:
        """Restore everything from the newest checkpoint; returns its step."""
        assert self.folder is not None
        self.checked = -1, ""
        learner, guard = self.learner, self.learner.guard
        state = checkpoint.restore(self.folder, learner.contents)
        self.observer.restore(state["observer"], state["step"])
        learner.restore(state.get("learner", {}))
        guard.skipped.fill_(state.get("skipped", 0.0))
        guard.in_a_row.zero_()
        guard.rollbacks, self.sound = state.get("rollbacks", 0), state.get("sound", 0)
        return int(state["step"])

    def roll_back(self, why: str) -> int:
        """Return to the last healthy checkpoint with half the learning rate, as often as the recipe allows.

        With `on_collapse="rollback"` the collapse watch must have found nothing after it.
        """
        learner, guard = self.learner, self.learner.guard
        if self.folder is None or guard.rollbacks >= learner.pace.rollback_limit:
            halved = f", after {guard.rollbacks} roll-backs with half the rate each"
            raise TrainingError(f"{why}{halved}; {learner.advice}")
        rollbacks = guard.rollbacks + 1
        if self.goes_back and learner.engine.processes.main:
            checkpoint.forget_after(self.folder, checkpoint.newest(self.folder, self.sound))
        step = self.restore()
        guard.rollbacks = rollbacks
        self.save(step)  # so that a run that is killed now doesn't forget it
        self.observer.say(f"{why}: back to step {step} with learning rates times {guard.slowdown:g}")
        return step
