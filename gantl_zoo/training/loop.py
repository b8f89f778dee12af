"""`Loop`: runs all training steps; between steps it logs, evaluates and saves."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from torch import Tensor

from gantl_zoo.errors import Stopped, TrainingError, ZooError
from gantl_zoo.registry.plugins import Plugin, plugin_of
from gantl_zoo.seeding import seeded
from gantl_zoo.training.callback import Callback, Callbacks, RunView
from gantl_zoo.training.checkpoint import newest, saved
from gantl_zoo.training.interrupt import Interrupt
from gantl_zoo.training.learner import Learner
from gantl_zoo.training.modes import training_modes
from gantl_zoo.training.observer import Observer
from gantl_zoo.training.recovery import Recovery
from gantl_zoo.training.threads import Threads

ASK_EVERY = 10  # steps between two checks whether another process was interrupted


class Clock:
    """Measures the speed of training, without the time for logging, evaluation and saving."""

    def __init__(self, step: int) -> None:
        self.began, self.step = time.perf_counter(), step

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        pause = time.perf_counter()
        yield
        self.began += time.perf_counter() - pause

    def rate(self, step: int) -> float:
        """Steps a second since the last call."""
        now = time.perf_counter()
        rate = (step - self.step) / (now - self.began)
        self.began, self.step = now, step
        return rate


class Loop:
    """Trains a learner. `observer` records the run, `callbacks` watch it, `folder` gets the checkpoints."""

    def __init__(
        self, learner: Learner, observer: Observer, folder: Path | None, callbacks: Sequence[Callback] = ()
    ) -> None:
        self.learner, self.observer, self.folder, self.pace = learner, observer, folder, learner.pace
        self.recovery = Recovery(learner, observer, folder)
        called = callbacks if learner.engine.processes.main else ()
        self.callbacks = Callbacks(called, RunView(learner, observer, folder), learner.pace.seed)
        self.interrupt = Interrupt()
        self.threads = Threads(learner.engine)
        self.clock = Clock(0)
        self.step = 0  # the one that is being trained
        self.end = self.pace.steps  # fewer steps if the observer stops the run early

    def run(self, resume: bool = False) -> None:
        """Train from step 0, or from the newest checkpoint, to the last step.

        Raises `TrainingError` for an error in the code of a plug-in. Before any unexpected error the steps so
        far are saved, if the step that failed can be taken back.
        """
        try:
            self._run(resume)
        except (ZooError, KeyboardInterrupt):
            raise
        except BaseException as error:
            self.rescue()
            if (plugin := plugin_of(error)) is None:
                raise
            raise TrainingError(self.broken(plugin, error)) from error
        finally:
            self.threads.restore()

    def _run(self, resume: bool) -> None:
        step = self.recovery.restore() if resume and self.folder is not None else 0
        with training_modes(), seeded(self.pace.seed), self.interrupt:
            if step == 0:
                self.observer.on_metrics(0, self.learner.snapshot())
                if self.pace.watch_every:
                    self.watch(0)
                self.recovery.save(0)
            self.callbacks.call("on_start", step)
            self.stop_if_asked(step)
            self.end = step if self.observer.stops(step) else self.pace.steps
            while step < self.end:
                step = self.train_until_stop(step)
            self.callbacks.call("on_end", step)
            if self.callbacks.cause is not None:  # the training is done, so finish the run before raising
                self.observer.finish()
            self.stop_if_asked(step)

    def train_until_stop(self, start: int) -> int:
        """Train from step `start` to the last step or a roll-back. Returns the step to continue from."""
        self.clock = Clock(start)
        for step, (pixels, labels) in enumerate(self.learner.batches.since(start), start):
            self.step = step
            losses, done = self.learner.learn(step, pixels, labels), step + 1
            for notice in filter(None, (self.learner.notice(), self.threads.adapt())):
                self.observer.say(notice)
            self.observer.on_step(done)
            self.callbacks.call("on_step", done)
            if trouble := self.look(done, losses):
                return self.recovery.roll_back(trouble)
            with self.clock.paused():
                self.keep(done)
            if self.observer.stops(done):
                self.end = done
                break
            if done < self.pace.steps:
                self.stop_if_asked(done)
        return self.end

    def look(self, done: int, losses: Mapping[str, Tensor]) -> str:
        """Check health and log, if due. Returns the reason to roll back or "", the same in all processes."""
        trouble, watches, logs = "", self.pace.watches(done), self.pace.logs(done)
        with self.clock.paused():
            if watches:
                trouble = self.watch(done)
            if logs or watches or self.pace.saves(done):
                trouble = trouble or self.recovery.non_finite(done)
        if logs:
            trouble = self.log(done, losses) or trouble
        return trouble

    def log(self, done: int, losses: Mapping[str, Tensor]) -> str:
        """Log losses and speed. Returns a message if too many steps in a row were skipped, else ""."""
        numbers = self.learner.numbers(losses)
        shown = numbers | self.learner.health()
        self.observer.on_log(done, shown, self.clock.rate(done) * self.pace.batch)
        with self.clock.paused():
            self.callbacks.call("on_log", done, shown)
        return self.learner.guard.diagnosis(numbers, self.pace.skips(done))

    def watch(self, step: int) -> str:
        """Check for a collapse. Returns the reason for a roll-back or "", the same in all processes.

        Raises `TrainingError` if the recipe says to stop.
        """
        processes, recovery = self.learner.engine.processes, self.recovery
        collapsed = processes.from_main(lambda: self.observer.on_watch(step, self.learner))
        recovery.sound = recovery.sound if collapsed else step
        if collapsed and self.pace.on_collapse == "stop":
            raise TrainingError(f"stopped at step {step}: {collapsed}")
        return collapsed if recovery.goes_back else ""

    def keep(self, done: int) -> None:
        """Evaluate and save, if due. A model with non-finite values is never saved."""
        if self.observer.wants_picture(done) and not self.recovery.non_finite(done):
            self.observer.on_picture(done, self.learner.snapshot())
        due = self.observer.wants_metrics(done) or done == self.pace.steps
        if due and not self.recovery.non_finite(done):
            self.observer.on_metrics(done, self.learner.snapshot())
            self.callbacks.call("on_metrics", done)
        if (self.pace.saves(done) or self.observer.best_step == done) and self.recovery.save(done):
            self.callbacks.call("on_checkpoint", done)

    def stop_if_asked(self, step: int) -> None:
        """Write a checkpoint and raise, after Ctrl-C in any process or an error in a callback."""
        processes, callbacks = self.learner.engine.processes, self.callbacks
        if processes.count > 1 and 0 < step < self.end and step % ASK_EVERY:
            return
        if processes.any(self.interrupt.asked or callbacks.cause is not None):
            self.recovery.save(step)
            if callbacks.cause is not None:
                raise TrainingError(self.failure(step)) from callbacks.cause
            raise Stopped(f"stopped at step {step}", self.folder)

    def rescue(self) -> None:
        """Write a checkpoint of the state before the step that failed, unless a network was updated in it."""
        if self.learner.engine.processes.count == 1 and self.learner.guard.take_back():
            with contextlib.suppress(Exception):  # the code that failed may also be called here
                self.recovery.save(self.step)

    def broken(self, plugin: Plugin, error: BaseException) -> str:
        """The error message after an error in the code of a plug-in."""
        line = (str(error).splitlines() or [""])[0]
        text = f"stopped at step {self.step}: plug-in {plugin.name} {plugin.version} raised "
        text += f"{type(error).__name__}: {line}; fix or update it, then "
        if self.folder is None or not saved(self.folder):
            return text + "start the run again"
        step = newest(self.folder, self.pace.steps)
        return text + f"continue from the checkpoint of step {step} with gantl-zoo resume {self.folder}"

    def failure(self, step: int) -> str:
        """The error message after an error in a callback."""
        failure, resume = self.callbacks.failure, f"gantl-zoo resume {self.folder}"
        if step == self.end:
            hint = f"; the model is in {self.folder}; finish the run with {resume}" if self.folder else ""
            return f"all {step} steps are done, but the callback {failure}{hint}"
        hint = f"; fix it, then continue with {resume}" if self.folder else ""
        return f"stopped at step {step}: the callback {failure}{hint}"
