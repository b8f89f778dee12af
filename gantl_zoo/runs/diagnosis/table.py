"""All conditions, the most serious first."""

from __future__ import annotations

from gantl_zoo.runs.diagnosis import amount, discriminator, samples, settings

CONDITIONS = [
    *settings.CONDITIONS[:3],  # causes before effects
    *samples.CONDITIONS,
    *amount.CONDITIONS[:1],
    *discriminator.CONDITIONS,
    *settings.CONDITIONS[3:],
    *amount.CONDITIONS[1:],
]
