"""A strategy: the generator waits until the discriminator has got used to the new images.

A source's discriminator judges the target's images at first by what it knows of its own; what it tells
the generator then does harm.
"""

from __future__ import annotations

from gantl_zoo import Plan, TransferStrategy, UsageError


class WarmDiscriminator(TransferStrategy):
    """Full fine-tuning, in which the generator starts after `steps` steps."""

    gans_only = "warm-discriminator is for GANs; a classifier has no discriminator that could be first"

    def __init__(self, *, steps: int = 100) -> None:
        if steps < 0:
            raise UsageError(f"warm-discriminator: steps must not be negative, not {steps}")
        self.steps = steps

    def on_step(self, step: int, plan: Plan) -> None:
        for group in plan.groups["generator"]:
            group.active = step >= self.steps
