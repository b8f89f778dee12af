"""A strategy that first trains the discriminator alone.

A source's discriminator was trained on the source's images. Until it has adapted to the target's, its
gradients would harm the generator.
"""

from __future__ import annotations

from gantl_zoo import Plan, TransferStrategy, UsageError


class WarmDiscriminator(TransferStrategy):
    """Full fine-tuning that trains the discriminator alone at first.

    `steps`: number of steps in which the generator is frozen; 0 means that it is trained from the start.
    """

    gans_only = "warm-discriminator is for GANs; a classifier has no discriminator"

    def __init__(self, *, steps: int = 100) -> None:
        if steps < 0:
            raise UsageError(f"warm-discriminator: steps must not be negative, not {steps}")
        self.steps = steps

    def on_step(self, step: int, plan: Plan) -> None:
        for group in plan.groups["generator"]:
            group.active = step >= self.steps
