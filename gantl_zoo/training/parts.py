"""`Parts`: the parts of a training step between two updates, computed at once or as CUDA graphs.

A step is a sequence of parts, `run(name, part)`: copies of the statistics, the gradients of the
discriminator, those of the generator, the statistics of a skipped step. Between them run the optimizers and
the strategy's `on_gradients` and `after_step`, always in Python.

`Graphs` computes the first steps of each kind as usual. Then it captures the parts, and replays them in all
later steps of that kind. A replay repeats the kernels on the same memory, so

- a part takes images, noise and labels from tensors that stay in place; `step` copies each batch into them;
- what a part computes stays in place, too. It is valid until the next step of any kind;
- everything in Python is as it was at the capture. Steps with another plan, or for which code that uses the
  step's number takes another branch, are another kind: a step with R1, and one without;
- random numbers depend on the seed and the position of torch's generator when a replay begins, as without
  graphs. A seed is set outside of the parts.

The optimizers are not captured: fused Adam takes its betas as numbers, which may move in each step.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from torch import Tensor

from gantl_zoo.training.watched_step import Questions

WARM_UP = 3  # steps of a kind before its parts are captured
MOST = 16  # kinds of steps whose graphs are kept; each holds the gradients of both networks

Result = TypeVar("Result")
Inputs = Sequence[Tensor | None]


class Run(Protocol):
    """Computes a part of a step. Each name is used once in a step, always in the same order."""

    def __call__(self, name: str, part: Callable[[], Result]) -> Result: ...


def at_once(name: str, part: Callable[[], Result]) -> Result:
    """Compute a part as usual."""
    return part()


class Parts:
    """Computes each part at once. `why` says why, if CUDA graphs were chosen."""

    def __init__(self, why: str = "") -> None:
        self.notice = f"no CUDA graphs: {why}" if why else ""

    def take_notice(self) -> str:
        """Why there are no CUDA graphs, in a sentence for the log. Empty if it was taken before."""
        notice, self.notice = self.notice, ""
        return notice

    @contextlib.contextmanager
    def step(self, number: int, settings: Hashable, inputs: Inputs) -> Iterator[tuple[Any, Any]]:
        """The number and the inputs that the parts of this step use.

        `settings` are what may change between steps, except the number.
        """
        yield number, inputs

    def run(self, name: str, part: Callable[[], Result]) -> Result:
        """Compute a part."""
        return part()

    def reset(self) -> None:
        """Forget all graphs: tensors may have been replaced."""


class Backend(Protocol):
    """Captures parts. Not thread-safe: only one capture at a time."""

    def warm_up(self, part: Callable[[], Result]) -> tuple[Result, bool]:
        """Compute a part where parts are captured. Also returns whether the host waited for the device."""

    def capture(self, part: Callable[[], Result]) -> tuple[Callable[[], object], Result]:
        """A function that computes the part, and the result, which is valid after each of its calls."""


@dataclass
class Kind:
    """Steps that compute the same."""

    inputs: Inputs  # in place
    before: int = 0  # steps of this kind that were computed without graphs
    graphs: dict[str, tuple[Callable[[], object], Any]] = field(default_factory=dict)  # by part
    complete: bool = False  # whether all parts are captured


class Graphs(Parts):
    """Replays the parts of a step, after `before` steps of its kind; see the module."""

    def __init__(self, backend: Backend, before: int = WARM_UP) -> None:
        super().__init__()
        self.backend, self.before, self.questions = backend, before, Questions()
        self.kinds: dict[Hashable, Kind] = {}
        self.kind: Kind | None = None  # of the current step; None if it is computed at once
        self.possible = True

    @contextlib.contextmanager
    def step(self, number: int, settings: Hashable, inputs: Inputs) -> Iterator[tuple[Any, Any]]:
        if not self.possible:
            yield number, inputs
            return
        kind = self.kind = self.kind_of(number, settings, inputs)
        for place, given in zip(kind.inputs, inputs, strict=True):
            if place is not None and given is not None:
                place.copy_(given)
        asked = len(self.questions)
        kind.graphs = kind.graphs if kind.complete else {}  # some may be left of a step that raised
        try:
            yield number if kind.complete else self.questions.watch(number), kind.inputs
        finally:
            self.kind = None
        kind.before += 1
        kind.complete = bool(kind.graphs)
        if self.questions.unanswerable:
            self.give_up("the number of the step is part of the computation")
        elif len(self.questions) > asked:  # the kinds so far don't differ in the answer
            self.reset()

    def kind_of(self, number: int, settings: Hashable, inputs: Inputs) -> Kind:
        """The kind of a step, which becomes the newest one. The oldest is dropped if there are too many."""
        form = tuple(None if one is None else (one.shape, one.dtype) for one in inputs)
        key = settings, form, self.questions.answers(number)
        kind = self.kinds.pop(key, None)
        if kind is None:
            kind = Kind([None if one is None else one.clone() for one in inputs])
        self.kinds[key] = kind
        if len(self.kinds) > MOST:
            del self.kinds[next(iter(self.kinds))]
        return kind

    def run(self, name: str, part: Callable[[], Result]) -> Result:
        if (kind := self.kind) is None:
            return part()
        if not kind.complete:
            if kind.before < self.before:
                return self.warm_up(name, part, last=kind.before == self.before - 1)
            kind.graphs[name] = self.backend.capture(part)
        replay, result = kind.graphs[name]
        replay()
        return result  # type: ignore[no-any-return]

    def warm_up(self, name: str, part: Callable[[], Result], last: bool) -> Result:
        """Compute a part. If the host waits in the last step of a warm-up, the part can't be captured."""
        result, waited = self.backend.warm_up(part)
        if waited and last:
            self.give_up(f"the part {name} waits for the device")
        return result

    def give_up(self, why: str) -> None:
        """Compute all further steps without graphs."""
        self.possible, self.notice = False, f"no CUDA graphs: {why}"
        self.reset()

    def reset(self) -> None:
        self.kinds.clear()
