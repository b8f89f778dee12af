"""Conditions of the settings: learning rates, numbers that are not finite, and what is frozen."""

from __future__ import annotations

from gantl_zoo.runs.diagnosis.condition import Condition, at, tidy
from gantl_zoo.runs.diagnosis.records import Records

LARGE = 0.1  # size of an update relative to the weights; healthy runs have 1e-4 to 0.04
SMALL = 5e-6
LEAST = 1e-8  # size of an update below which it counts as this size
USUAL = 5e-3
HIGHEST = 2e-3  # learning rate of Adam with which GANs are trained
FROZEN = 0.3  # share of the generator's parameters that is trained
AS_GOOD = 0.9  # the score of a model that has hardly improved, as a share of the first
FEW = 100  # training images on which full fine-tuning does more harm than good
WORSE = 1.25  # how much worse the last score is than the best one


def non_finite(records: Records) -> str:
    skipped = records.last("skipped")
    broken = [(row["step"], 0.0) for row in records.stats if "generator" in row and row["generator"] is None]
    parts = [line for line in records.log if "not finite" in line and ": back to step " in line]
    parts += [f"{skipped:.0f} of {records.done:,} steps were skipped"] if skipped else []
    parts += [f"losses were not finite {at(broken)}"] if broken else []
    return "; ".join(parts)


def calmer(records: Records) -> str:
    options = [f"--lr {tidy(min(records.recipe('lr', 2e-4) / 4, HIGHEST))}"]
    options += ["--precision fp32"] if records.recipe("precision") != "fp32" else []
    options += [f"--r1 {tidy(records.start_gamma)}"] if records.adversarial and not records.gamma else []
    return f"try {' or '.join(options)}"


def sizes(records: Records) -> list[tuple[str, list[tuple[int, float]]]]:
    """Each network that is trained, with the sizes of its updates relative to its weights."""
    updates = [(role, records.series(f"{role}_update")) for role in ("generator", "discriminator")]
    return [(role, series) for role, series in updates if series]


def too_fast(records: Records) -> str:
    """Looks at the largest updates: after a few of them a network may be stuck, with no gradient at all."""
    peaks = [(role, max(series, key=lambda point: point[1])) for role, series in sizes(records)]
    return "; ".join(
        f"the {role} changed by {size:.0%} of its weights in step {step:,}"
        for role, (step, size) in peaks
        if size > LARGE
    )


def too_slow(records: Records) -> str:
    if records.recipe("final"):
        return ""
    peaks = [(role, max(size for _, size in series)) for role, series in sizes(records)]
    return "; ".join(
        f"the {role} changes by at most {size:.1e} of its weights in a step"
        for role, size in peaks
        if size < SMALL
    )


def usual_rate(records: Records) -> str:
    """Learning rates at which updates have a usual size; Adam's updates are proportional to the rate."""
    options: dict[str, float] = {}
    for role, series in sizes(records):
        own = "discriminator_lr" if role == "discriminator" and records.recipe("discriminator_lr") else "lr"
        peak = max(size for _, size in series)
        if not SMALL <= peak <= LARGE:
            options.setdefault(own.replace("_", "-"), records.recipe(own, 2e-4) * USUAL / max(peak, LEAST))
    return f"try {' '.join(f'--{name} {tidy(value)}' for name, value in options.items())}"


def frozen(records: Records) -> str:
    share, scores = records.trained_share("generator"), records.scores
    if share is None or share > FROZEN or len(scores) < 3 or scores[0][1] <= 0:
        return ""
    halfway = [value for step, value in scores if step <= scores[-1][0] / 2]
    floor = records.result.get("floor") or 0.0
    if scores[-1][1] < AS_GOOD * min(halfway) or scores[-1][1] < 3 * floor:
        return ""
    return (
        f"only {share:.0%} of the generator's parameters are trained, and {records.deciding}, "
        f"{scores[-1][1]:.3g} at step {scores[-1][0]:,}, has not fallen since step "
        f"{scores[len(halfway) - 1][0]:,}; real images have {floor:.2g}"
    )


def thaw(records: Records) -> str:
    if "last" in records.config.get("strategy_config", {}):
        return f"try --strategy-arg last={records.config['strategy_config']['last'] + 2} or --strategy full"
    return "try --strategy full"


def unfrozen(records: Records) -> str:
    shares = [records.trained_share(role) for role in ("generator", "discriminator")]
    scores = records.scores
    few = records.images is not None and records.images <= FEW and records.config.get("verb") == "transfer"
    if not few or shares != [1, 1] or len(scores) < 4:
        return ""
    step, best = min(scores, key=lambda score: score[1])
    later = [value for at_step, value in scores if at_step > step]
    if best <= 0 or len(later) < 2 or min(later) < WORSE * best:
        return ""
    return (
        f"all parameters are trained on {records.images} images, and {records.deciding} was best at step "
        f"{step:,} ({best:.3g}) and is {later[-1]:.3g} at step {scores[-1][0]:,}"
    )


def freeze(records: Records) -> str:
    step = min(records.scores, key=lambda score: score[1])[0]
    other = f"--steps {step}" if step else f"--lr {tidy(records.recipe('lr', 2e-4) / 4)}"
    return f"try --strategy freeze-d, or {other}"


CONDITIONS = [
    Condition("non-finite", "losses or gradients were not finite", (), non_finite, calmer),
    Condition("lr-too-high", "the learning rate is too high", (), too_fast, usual_rate),
    Condition("lr-too-low", "the learning rate is too low", (), too_slow, usual_rate),
    Condition("frozen-too-much", "too much is frozen", ("setup", "scores"), frozen, thaw),
    Condition("frozen-too-little", "too little is frozen for so few images", ("images", "scores"), unfrozen,
              freeze),
]  # fmt: skip
