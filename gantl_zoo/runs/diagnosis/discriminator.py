"""Conditions of the two players: saturation, starvation, overfitting, and a γ of R1 that does not fit."""

from __future__ import annotations

from gantl_zoo.runs.diagnosis.condition import Condition, at, tail, tidy
from gantl_zoo.runs.diagnosis.records import Records

RANKED = 0.995  # share of pairs that a saturated discriminator ranks correctly
SOLVED = 0.05  # its loss, as a share of that at chance
CHECKS = 2  # health checks in a row that must agree, if there are as many
STARVED = 0.1  # gradient of the generator, as a share of that in the first quarter
MEMORISED = 0.7  # threshold of overfitting: 0 is none; at 1 held-out images get the same logits as fakes
APART = 0.8  # share of pairs below which the statistic of overfitting is noise
BLIND = 0.6  # share of pairs that a discriminator ranks correctly which can't tell images apart
WEAK = 100  # γ is weak if it is smaller than the start value by this factor
STRONG = 30


def ranked(records: Records) -> list[tuple[int, float]]:
    """The newest checks in which the discriminator ranks nearly all pairs correctly; [] if too few."""
    checks = records.series("saturation")
    last = tail(checks, lambda value: value >= RANKED)
    return last if len(last) >= min(CHECKS, len(checks)) else []


def solved(records: Records) -> float | None:
    """The discriminator's loss, late in the run, as a share of that at chance; None if unknown."""
    loss = records.late("discriminator")
    return None if loss is None or records.chance is None else loss / records.chance


def saturated(records: Records) -> str:
    last, share = ranked(records), solved(records)
    if not last or share is None or share > SOLVED:
        return ""
    text = f"it ranks {last[-1][1]:.1%} of the pairs (real, generated) correctly {at(last)}"
    return f"{text}, and its loss is {share:.1%} of that at chance"


def slower(records: Records) -> str:
    rate = records.recipe("discriminator_lr") or records.recipe("lr", 2e-4)
    options = [f"--discriminator-lr {tidy(min(rate / 4, records.recipe('lr', rate)))}"]
    options += [] if records.gamma else [f"--r1 {tidy(records.start_gamma)}"]
    options += [] if records.recipe("aug") != "none" else ["--aug diffaugment"]
    return f"try {' or '.join(options)}"


def starved(records: Records) -> str:
    early, late = records.early("generator_gradient"), records.late("generator_gradient")
    if not early or late is None or late > STARVED * early or not ranked(records):
        return ""
    return f"its gradient fell from {early:.2g} to {late:.2g} at step {records.done:,}"


def feed(records: Records) -> str:
    if records.recipe("loss") == "minimax":
        return f"try --loss non-saturating; {slower(records)}"
    return slower(records)


def overfitting(records: Records) -> str:
    last = tail(records.series("overfitting"), lambda value: value > MEMORISED)
    separates = (records.last("saturation") or 0) >= APART
    if len(last) < CHECKS or not separates:
        return ""
    count = f"{records.images:,} " if records.images else ""
    return (
        f"the logits of held-out images are {last[-1][1]:.0%} of the way from those of the {count}training "
        f"images to those of samples {at(last)}"
    )


def augment(records: Records) -> str:
    options = [] if records.recipe("aug") != "none" else ["--aug diffaugment", "--aug ada"]
    if records.config.get("verb") == "transfer" and records.config.get("strategy") == "full":
        options.append("--strategy freeze-d")
    options += [] if records.gamma else [f"--r1 {tidy(records.start_gamma)}"]
    return f"try {' or '.join(options)}" if options else f"try --steps {max(1, records.done // 2)}"


def strong(records: Records) -> str:
    if records.gamma < STRONG * records.start_gamma:
        return ""
    checks = tail(records.series("saturation"), lambda value: value < BLIND)
    loss = solved(records)
    if not checks and (loss is None or loss < 0.9):
        return ""
    seen = checks[-1][1] if checks else records.last("saturation")
    text = f"γ is {records.gamma:g}, and the discriminator ranks only {seen:.0%} of the pairs correctly"
    return text + (f"; its loss is {loss:.0%} of that at chance" if loss is not None else "")


def weak(records: Records) -> str:
    if not 0 < records.gamma < records.start_gamma / WEAK or not saturated(records):
        return ""
    return f"γ is {records.gamma:g}, and the discriminator is saturated: {saturated(records)}"


def gamma(records: Records) -> str:
    side = f" for images of {records.side} pixels" if records.side else ""
    return f"start from --r1 {tidy(records.start_gamma)}{side}"


CONDITIONS = [
    Condition("saturated-discriminator", "the discriminator is saturated", ("saturation", "chance"),
              saturated, slower, True),
    Condition("starved-generator", "the generator is starved", ("generator_gradient", "saturation"), starved,
              feed),
    Condition("overfitting", "the discriminator has memorised its training images", ("overfitting",),
              overfitting, augment, True),
    Condition("r1-too-strong", "the γ of R1 is too large for this size", ("saturation",), strong, gamma),
    Condition("r1-too-weak", "the γ of R1 is too small for this size", ("saturation", "chance"), weak, gamma),
]  # fmt: skip
