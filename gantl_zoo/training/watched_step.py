"""`WatchedStep`: the number of a step that records what is asked about it.

Code with a schedule of its own asks whether 16 divides the number, or whether it is below 200. Two steps with
the same answers to all questions are computed alike.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

COMPARISONS = ("lt", "le", "eq", "ne", "gt", "ge")
OTHERS = ("add", "sub", "mul", "truediv", "pow", "and", "or", "xor", "lshift", "rshift")
CONVERSIONS: dict[str, Callable[..., Any]] = {
    "int": int, "float": float, "index": operator.index, "hash": hash, "neg": operator.neg, "abs": abs,
    "round": round, "trunc": math.trunc, "format": format, "divmod": divmod,
}  # fmt: skip
Path = tuple[tuple[str, int], ...]  # from the step to a number: remainders ("mod") and quotients ("floordiv")


class Questions:
    """All questions that were asked about steps.

    They are `unanswerable` if the number, or one computed from it, was used otherwise than in a comparison.
    """

    def __init__(self) -> None:
        self.asked: dict[tuple[Path, str, float], None] = {}
        self.unanswerable = False

    def __len__(self) -> int:
        return len(self.asked)

    def watch(self, step: int) -> WatchedStep:
        """The step's number, whose questions are added to these."""
        return WatchedStep(step, self)

    def answers(self, step: int) -> tuple[bool, ...]:
        """The answers to all questions for this step."""
        return tuple(getattr(operator, name)(along(path, step), other) for path, name, other in self.asked)


def along(path: Path, number: int) -> int:
    """Apply the operations of a path to a number."""
    for name, divisor in path:
        number = getattr(operator, name)(number, divisor)
    return number


class WatchedStep:
    """A whole number computed from a step's. It is not an `int`, because C code reads those directly."""

    def __init__(self, value: int, questions: Questions, path: Path = ()) -> None:
        self.value, self.questions, self.path = value, questions, path

    def ask(self, name: str, other: Any) -> Any:
        """Compare with a number, and record the question."""
        result = getattr(operator, name)(self.value, other)
        if not isinstance(other, (int, float)):
            return self.unwatched(result)
        self.questions.asked[self.path, name, other] = None
        return result

    def divided(self, name: str, divisor: Any) -> Any:
        """The remainder or quotient."""
        result = getattr(operator, name)(self.value, divisor)
        if not isinstance(divisor, int):
            return self.unwatched(result)
        return WatchedStep(result, self.questions, (*self.path, (name, divisor)))

    def unwatched(self, result: Any) -> Any:
        """A result about which questions can't be recorded."""
        self.questions.unanswerable = True
        return result

    def __bool__(self) -> bool:
        return bool(self.ask("ne", 0))

    def __str__(self) -> str:
        return str(self.value)


def _methods() -> dict[str, Callable[..., Any]]:
    """The operators of `WatchedStep`, by name."""

    def comparison(name: str) -> Callable[..., Any]:
        return lambda self, other: self.ask(name, other)

    def division(name: str) -> Callable[..., Any]:
        return lambda self, other: self.divided(name, other)

    def forward(compute: Callable[..., Any]) -> Callable[..., Any]:
        return lambda self, *others: self.unwatched(compute(self.value, *others))

    def reflected(compute: Callable[..., Any]) -> Callable[..., Any]:
        return lambda self, other: self.unwatched(compute(other, self.value))

    computed = {name: getattr(operator, f"__{name}__") for name in (*OTHERS, "mod", "floordiv")}
    return {
        **{name: forward(compute) for name, compute in {**computed, **CONVERSIONS}.items()},
        **{f"r{name}": reflected(compute) for name, compute in computed.items()},
        **{name: comparison(name) for name in COMPARISONS},
        **{name: division(name) for name in ("mod", "floordiv")},
    }


for _name, _method in _methods().items():
    setattr(WatchedStep, f"__{_name}__", _method)
