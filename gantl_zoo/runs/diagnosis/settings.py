"""Conditions of the settings: learning rates, numbers that are not finite, and what is frozen."""

from __future__ import annotations

from gantl_zoo.runs.diagnosis.condition import Condition, at, tidy
from gantl_zoo.runs.diagnosis.records import Records

LARGE = 0.03  # size of an update relative to the weights; usual values are 1e-4 to 1e-2
SMALL = 2e-6
FROZEN = 0.3  # share of the generator's parameters that is trained
AS_GOOD = 0.9  # the score of a model that has hardly improved, as a share of the first
FEW = 100  # training images on which full fine-tuning does more harm than good
WORSE = 1.25  # how much worse the last score is than the best one


def non_finite(records: Records) -> str:
    counts = [records.last("skipped") or 0, records.last("rollbacks") or 0]
    broken = [(row["step"], 0.0) for row in records.stats if "generator" in row and row["generator"] is None]
    if not any(counts) and not broken:
        return ""
    parts = [f"{counts[0]:.0f} steps were skipped"] if counts[0] else []
    parts += [f"the run went back {counts[1]:.0f} times"] if counts[1] else []
    parts += [f"losses were not finite {at(broken)}"] if broken else []
    return "; ".join(parts)


def calmer(records: Records) -> str:
    options = [f"--lr {tidy(records.recipe('lr', 2e-4) / 4)}"]
    options += ["--precision fp32"] if records.recipe("precision") != "fp32" else []
    options += [f"--r1 {tidy(records.start_gamma)}"] if records.adversarial and not records.gamma else []
    return f"try {' or '.join(options)}"


def sizes(records: Records) -> list[tuple[str, float]]:
    """Each network that is trained, with the median size of its updates relative to its weights."""
    roles = ("generator", "discriminator")
    return [(role, size) for role in roles if (size := records.late(f"{role}_update", 1.0)) is not None]


def too_fast(records: Records) -> str:
    large = [f"the {role} changes by {size:.1%} of its weights in a step" for role, size in sizes(records)
             if size > LARGE]  # fmt: skip
    return "; ".join(large)


def too_slow(records: Records) -> str:
    if records.recipe("decay") or records.recipe("final"):
        return ""
    small = [f"the {role} changes by {size:.1e} of its weights in a step" for role, size in sizes(records)
             if size < SMALL]  # fmt: skip
    return "; ".join(small)


def rate(records: Records, factor: float) -> str:
    found = dict(sizes(records))
    own = records.recipe("discriminator_lr")
    worst = max(found, key=lambda role: found[role] if factor < 1 else -found[role], default="generator")
    if own and worst == "discriminator":
        return f"try --discriminator-lr {tidy(own * factor)}"
    return f"try --lr {tidy(records.recipe('lr', 2e-4) * factor)}"


def lower(records: Records) -> str:
    largest = max(size for _, size in sizes(records))
    return rate(records, 2e-3 / largest)


def higher(records: Records) -> str:
    smallest = min(size for _, size in sizes(records))
    return rate(records, 1e-3 / smallest)


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
    share, scores = records.trained_share("discriminator"), records.scores
    few = records.images is not None and records.images <= FEW and records.config.get("verb") == "transfer"
    if not few or share is None or share < 1 or len(scores) < 4:
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
    return f"try --strategy freeze-d, or --steps {max(step, 1)}"


CONDITIONS = [
    Condition("non-finite", "losses or gradients were not finite", (), non_finite, calmer),
    Condition("lr-too-high", "the learning rate is too high", (), too_fast, lower),
    Condition("lr-too-low", "the learning rate is too low", (), too_slow, higher),
    Condition("frozen-too-much", "too much is frozen", ("setup", "scores"), frozen, thaw),
    Condition("frozen-too-little", "too little is frozen for so few images", ("images", "scores"), unfrozen,
              freeze),
]  # fmt: skip
