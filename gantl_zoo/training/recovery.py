"""`Recovery`: writes checkpoints, resumes from them, and rolls back to the last healthy one."""

from __future__ import annotations

from pathlib import Path

from gantl_zoo.errors import TrainingError
from gantl_zoo.training import checkpoint
from gantl_zoo.training.learner import Learner
from gantl_zoo.training.observer import Observer


class Recovery:
    """Saves and restores a learner and its observer in the run `folder`; without one nothing is saved."""

    def __init__(self, learner: Learner, observer: Observer, folder: Path | None) -> None:
        self.learner, self.observer, self.folder = learner, observer, folder
        self.sound = 0  # the last step whose check found no collapse
        self.checked = -1, ""  # the step that `non_finite` was computed at, and its result

    @property
    def goes_back(self) -> bool:
        """Whether to roll back after a collapse."""
        return self.learner.pace.on_collapse == "rollback"

    def non_finite(self, step: int) -> str:
        """`Learner.non_finite` after `step` steps, computed once per step because it waits for the device."""
        if self.checked[0] != step:
            self.checked = step, self.learner.non_finite()
        return self.checked[1]

    def save(self, step: int) -> bool:
        """Write a checkpoint, unless the last step was skipped or weights are not finite.

        Returns whether a checkpoint was written.
        """
        learner, guard = self.learner, self.learner.guard
        if (
            self.folder is None
            or not learner.engine.processes.main
            or guard.in_a_row
            or self.non_finite(step)
        ):
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
        """Restore everything from the newest checkpoint. Returns its step."""
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
        """Restore the last healthy checkpoint and halve the learning rates. Returns its step.

        With `on_collapse="rollback"` a later check must have found no collapse. Raises `TrainingError` after
        `rollback_limit` roll-backs.
        """
        learner, guard = self.learner, self.learner.guard
        if self.folder is None or guard.rollbacks >= learner.pace.rollback_limit:
            tried = f", after {guard.rollbacks} roll-backs with half the learning rate each"
            raise TrainingError(f"{why}{tried}; {learner.advice}")
        rollbacks = guard.rollbacks + 1
        if self.goes_back and learner.engine.processes.main:
            checkpoint.forget_after(self.folder, checkpoint.newest(self.folder, self.sound))
        step = self.restore()
        guard.rollbacks = rollbacks
        self.save(step)  # so that a run that is killed now keeps the lower learning rates
        self.observer.say(f"{why}: back to step {step} with learning rates times {guard.slowdown:g}")
        return step
