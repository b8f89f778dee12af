"""`Pace`: number of steps, and the intervals for logging, checkpoints and health checks. No torch."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

EARLY = (0.1, 0.2, 0.4)  # shares of `watch_every`, for early checks in the first interval


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Number of steps, and the intervals for logging, checkpoints and health checks; see `Recipe`."""

    steps: int
    batch: int
    seed: int
    log_every: int
    checkpoint_every: int
    watch_every: int = 0  # 0: never
    on_collapse: str = "warn"
    skip_limit: int = 20
    rollback_limit: int = 3

    @classmethod
    def of(cls, recipe: Any) -> Pace:
        """Build a pace from the fields of the same names in a recipe."""
        return cls(**{field.name: getattr(recipe, field.name) for field in fields(cls)})

    def logs(self, done: int) -> bool:
        """Whether statistics are logged after `done` steps."""
        return done % self.log_every == 0 or done == self.steps

    def saves(self, done: int) -> bool:
        """Whether a checkpoint is due."""
        return done % self.checkpoint_every == 0 or done == self.steps

    def watches(self, done: int) -> bool:
        """Whether a health check is due: every interval, early in the first one, and at the end."""
        if not self.watch_every:
            return False
        early = done in {int(share * self.watch_every) for share in EARLY}
        return done % self.watch_every == 0 or early or done == self.steps

    def skips(self, done: int) -> int:
        """The number of skipped steps in a row that is too many; at the end at most half of all steps."""
        limit = self.skip_limit
        return min(limit, max(1, self.steps // 2)) if done == self.steps else limit
