"""Conditions of the samples: collapse, memorisation, and an augmentation that leaks into them."""

from __future__ import annotations

from gantl_zoo.runs.diagnosis.condition import Condition, at, tail, tidy
from gantl_zoo.runs.diagnosis.records import Records

COLLAPSED = 0.2  # times the diversity of real images
FRESH = 2_000  # steps in which samples that were never diverse mean a fresh generator, and not a collapse
COPIES = 0.6  # times the distance of held-out images to the nearest training image
LEAKING = 0.5  # share of samples that are nearer to augmented than to original images
CERTAIN = 0.8  # probability of an augmentation up to which it does not leak (Karras et al. 2020, figure 5)


def collapse(records: Records) -> str:
    checks = records.series("diversity", start=0)
    low = tail(checks, lambda value: value < COLLAPSED)
    before = checks[: len(checks) - len(low)]
    if not low or not (before or low[-1][0] >= FRESH):
        return ""
    peak = f", after {before[-1][1]:.2f} at step {before[-1][0]:,}" if before else ""
    return f"the samples are only {low[-1][1]:.2f} times as diverse as real images {at(low)}{peak}"


def after_collapse(records: Records) -> str:
    lower = f"try --lr {tidy(records.recipe('lr', 2e-4) / 4)} and --on-collapse rollback"
    if not records.adversarial:
        return f"{lower}, or a larger --batch"
    if not records.gamma:
        return f"{lower}, or --r1 {tidy(records.start_gamma)}"
    return lower if records.recipe("aug") != "none" else f"{lower}, or --aug diffaugment"


def memorising(records: Records) -> str:
    low = tail(records.series("nn_distance"), lambda value: value < COPIES)
    if not low:
        return ""
    nearest = f"nearest of {records.images:,} training images" if records.images else "nearest training image"
    return f"samples are {low[-1][1]:.2f} times as far from the {nearest} as held-out images are {at(low)}"


def fewer_steps(records: Records) -> str:
    early = [step for step, value in records.series("nn_distance") if value >= COPIES]
    steps = max(early, default=records.done // 4) or 1
    options = f"try --steps {steps}"
    options += "" if records.recipe("aug") != "none" else " or --aug diffaugment"
    return f"{options}, or give more images"


def leak(records: Records) -> str:
    if records.strength is None or records.strength < CERTAIN:
        return ""
    high = tail(records.series("leak"), lambda value: value >= LEAKING)
    if not high:
        return ""
    share = f"{high[-1][1]:.0%} of the samples are nearer to augmented than to original images"
    return f"{share} {at(high)}, and the augmentation has p = {records.strength:.2f}"


def weaker(records: Records) -> str:
    return f"try --aug {records.recipe('aug')} --aug-arg p={CERTAIN / 2:g}, or --aug diffaugment"


CONDITIONS = [
    Condition("collapse", "the generator has collapsed", ("diversity",), collapse, after_collapse, True),
    Condition("memorising", "the generator copies training images", ("nn_distance",), memorising,
              fewer_steps, True),
    Condition("augmentation-leak", "the augmentation leaks into the samples", (), leak, weaker),
]  # fmt: skip
