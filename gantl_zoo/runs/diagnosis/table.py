"""All conditions, the most serious first."""

from __future__ import annotations

from gantl_zoo.runs.diagnosis import amount, discriminator, samples, settings

CONDITIONS = [
    *settings.CONDITIONS[:1],  # numbers that are not finite explain everything else
    *samples.CONDITIONS,
    *amount.CONDITIONS[:1],
    *settings.CONDITIONS[1:3],
    *discriminator.CONDITIONS,
    *settings.CONDITIONS[3:],
    *amount.CONDITIONS[1:],
]
