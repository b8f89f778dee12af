"""Conditions of amounts: too few steps, and too few held-out images for a claim."""

from __future__ import annotations

from gantl_zoo.runs.diagnosis.condition import Condition
from gantl_zoo.runs.diagnosis.records import Records

HELD_OUT = 50  # images; with n of them a Fréchet distance is uncertain by about 2/√n of its value
FRESH = 2_000  # steps after which the samples of a generator from scratch should differ
ALIKE = 0.2  # times the diversity of real images
FALLING = 0.75  # the last score, as a share of that at two thirds of the run
FLOOR = 2  # a model whose score is within this factor of real images needs no more steps


def few_held_out(records: Records) -> str:
    count = records.held_out
    if count is None or count >= HELD_OUT or not records.metrics:
        return ""
    return f"{count} images are held out, so a score is uncertain by about {2 / count**0.5:.0%}"


def more_images(records: Records) -> str:
    return "give more images, or compare runs by their pictures; evaluate with --metrics kd"


def still_alike(records: Records) -> str:
    checks = records.series("diversity", start=0)
    if not records.over or records.steps >= FRESH or max(value for _, value in checks) >= ALIKE:
        return ""
    step, value = checks[-1]
    return (
        f"at step {step:,} the samples are only {value:.2f} times as diverse as real images, as at the start"
    )


def until_diverse(records: Records) -> str:
    return f"try --steps {FRESH}"


def few_steps(records: Records) -> str:
    scores = [(step, value) for step, value in records.scores if step]
    before = [(step, value) for step, value in scores if step <= records.done * 2 / 3]
    if not records.over or len(scores) < 3 or not before:
        return ""
    (step, old), (last, new) = before[-1], scores[-1]
    floor = records.result.get("floor") or 0.0
    if new > FALLING * old or new <= FLOOR * floor or min(value for _, value in scores) < new:
        return ""
    return f"{records.deciding} was still falling: {old:.3g} at step {step:,}, {new:.3g} at step {last:,}"


def more_steps(records: Records) -> str:
    return f"try --steps {2 * records.steps}"


CONDITIONS = [
    Condition("too-few-steps", "too few steps: the samples are still all alike", ("diversity",), still_alike,
              until_diverse),
    Condition("still-improving", "more steps would help", ("scores",), few_steps, more_steps, note=True),
    Condition("few-held-out", "too few held-out images for a claim", ("held_out",), few_held_out, more_images,
              note=True),
]  # fmt: skip
