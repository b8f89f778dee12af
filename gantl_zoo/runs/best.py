"""`Best`: which of a run's models is kept.

The value that a metric gives a model has noise: on ten held-out images, most of it is noise. So an earlier
model is kept only where it is better than a later one by more than the metric's interval; of those that the
metric can't tell from the best, the last is kept, as it was trained longest. This is the one-standard-error
rule (Breiman et al. 1984; Hastie et al., The Elements of Statistical Learning, section 7.10), with 95 %
intervals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass
class Best:
    """The best value so far, and the step of the model that is kept."""

    first: str = ""  # the metric that decides: the first of the first measurement
    score: float | None = None  # the best value, as a number of which less is better
    bound: float | None = None  # up to here a score may be the best one's noise
    value: float = 0.0  # the best value itself
    at: int = 0  # its step
    step: int = 0  # of the model that is kept
    lost: bool = False  # whether that model is overwritten, after a roll-back

    def takes(self, results: Sequence[Mapping[str, Any]], step: int) -> bool:
        """Whether the model of `step` is kept in the place of the one so far. The last one is, without
        metrics; the first, if its metric is undefined here.
        """
        taken = self._takes(results, step)
        if taken:
            self.step, self.lost = step, False
        return taken

    def _takes(self, results: Sequence[Mapping[str, Any]], step: int) -> bool:
        if not results:
            return True
        found = next((result for result in results if result["name"] == self.first), None)
        if found is None:
            return self.step == 0 or self.lost
        score = regret(found, found["value"])
        taken = self.lost or self.bound is None or score <= self.bound
        if self.score is None or score < self.score:
            self.score, self.bound, self.value, self.at = score, limit(found), found["value"], step
        return taken

    def reason(self) -> str:
        """Why the model that is kept is not that of the best value; nothing if it is."""
        if self.score is None or self.at == self.step:
            return ""
        where = f"{self.value:.4g} at step {self.at}"
        return f" (the last that {self.first} can't tell from the best value, {where})"

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        named = {"first": self.first, "best": self.score, "best_step": self.step}
        return named | {"bound": self.bound, "value": self.value, "at": self.at}

    @classmethod
    def restored(cls, state: Mapping[str, Any], lost: bool) -> Best:
        """The opposite of `state`; also of one that an earlier version wrote."""
        score, step = state["best"], state["best_step"]
        rest = {"value": state.get("value", 0.0), "at": state.get("at", step), "step": step, "lost": lost}
        return cls(first=state.get("first", ""), score=score, bound=state.get("bound", score), **rest)


def limit(result: Mapping[str, Any]) -> float:
    """The worse end of a result's interval, as `regret` counts.

    A metric without an interval gets one of two standard errors of a mean of n squares that spread as wide as
    their mean: 2/√n of its value, n being how many images were compared.
    """
    value = float(result["value"])
    low, high = result.get("low"), result.get("high")
    if low is None or high is None:
        count = min(result.get("real") or 0, result.get("samples") or 0)
        slack = 2 * abs(value) / count**0.5 if count else 0.0
        low, high = value - slack, value + slack
    return regret(result, high if result["better"] == "lower" else low)


def regret(result: Mapping[str, Any], value: float) -> float:
    """A value of that result's metric as a number of which less is better."""
    return value if result["better"] == "lower" else -value
