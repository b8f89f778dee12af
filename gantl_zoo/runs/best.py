"""`Best`: decides which of a run's models is kept.

A metric's value is noisy; with ten held-out images it is mostly noise. A run therefore keeps the newest model
whose value lies within the 95 % interval of the best value. This is the one-standard-error rule (Breiman et
al. 1984; Hastie et al., The Elements of Statistical Learning, section 7.10), with 95 % intervals.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass
class Best:
    """The best value so far, and the step of the model that is kept."""

    first: str = ""  # name of the metric that decides: the first of the first measurement with a direction
    score: float | None = None  # the best value as a score; lower is better
    bound: float | None = None  # the worst score within the interval of the best value
    value: float = 0.0  # the best value
    at: int = 0  # the step of the best value
    step: int = 0  # the step of the kept model
    lost: bool = False  # whether a later model has overwritten the kept one, after a roll-back

    def takes(self, results: Sequence[Mapping[str, Any]], step: int) -> bool:
        """Record the measurement of `step`. Returns whether its model replaces the kept one.

        Without a metric that decides, the newest model is kept. A model without a finite value of the metric
        replaces only that of step 0, or one that is lost.
        """
        taken = self._takes(results, step)
        if taken:
            self.step, self.lost = step, False
        return taken

    def _takes(self, results: Sequence[Mapping[str, Any]], step: int) -> bool:
        if not (results and self.first):
            return True
        result = next((result for result in results if result["name"] == self.first), None)
        if result is None or not math.isfinite(result["value"]):  # not measured
            return self.step == 0 or self.lost
        score = regret(result, result["value"])
        taken = self.lost or self.bound is None or score <= self.bound
        if self.score is None or score < self.score:
            self.score, self.bound, self.value, self.at = score, limit(result), result["value"], step
        return taken

    def reason(self) -> str:
        """Why the kept model is not the one with the best value; empty if it is."""
        if self.score is None or self.at == self.step:
            return ""
        where = f"{self.value:.4g} at step {self.at}"
        return f", the newest one within the interval of the best {self.first} ({where})"

    def state(self) -> dict[str, Any]:
        """JSON values for a checkpoint; see `restored`."""
        named = {"first": self.first, "best": self.score, "best_step": self.step}
        return named | {"bound": self.bound, "value": self.value, "at": self.at}

    @classmethod
    def restored(cls, state: Mapping[str, Any], lost: bool) -> Best:
        """Restore from `state`, also from that of an earlier version, whose score may be NaN."""
        score, step = state["best"], state["best_step"]
        rest = {"value": state.get("value", 0.0), "at": state.get("at", step), "step": step, "lost": lost}
        if score is not None and not math.isfinite(score):
            return cls(first=state.get("first", ""), **rest)
        return cls(first=state.get("first", ""), score=score, bound=state.get("bound", score), **rest)


def first_with_direction(results: Sequence[Mapping[str, Any]]) -> str:
    """The name of the first result of which lower or higher values are better; "" if there is none."""
    return next((str(result["name"]) for result in results if result.get("better")), "")


def limit(result: Mapping[str, Any]) -> float:
    """The worse end of a result's interval, as a score (see `regret`).

    A metric without an interval gets value ± 2/√n · |value|, where n is the number of compared images. These
    are two standard errors of a mean of n squares whose standard deviation equals their mean.
    """
    value = float(result["value"])
    low, high = result.get("low"), result.get("high")
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        count = min(result.get("real") or 0, result.get("samples") or 0)
        slack = 2 * abs(value) / count**0.5 if count else 0.0
        low, high = value - slack, value + slack
    return regret(result, high if result["better"] == "lower" else low)


def regret(result: Mapping[str, Any], value: float) -> float:
    """Convert a value of the result's metric to a score; lower is better."""
    return value if result["better"] == "lower" else -value
