"""Metrics of a classifier's predictions, logits (N, L)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gantl_zoo.metrics.distance import SEED, Interval

SPLITS = 10  # parts of the samples for the Inception score
MISSED = 0.1  # a class is not covered if its share is below this fraction of its share of real images


def inception_score(logits: Tensor) -> Interval:
    """Inception score: exp of the mean KL divergence of p(y|x) from p(y) (Salimans et al. 2016,
    https://arxiv.org/abs/1606.03498, section 4).

    The mean over 10 parts of the shuffled samples, and an interval of two standard deviations of these parts.
    Fewer than 10 samples are one part. Fewer than 20 have no interval, since a part of one sample scores 1.
    """
    order = torch.from_numpy(np.random.RandomState(SEED).permutation(len(logits)))
    shuffled, count = logits[order].double(), len(logits)
    splits = SPLITS if count >= SPLITS else 1
    scores = []
    for i in range(splits):
        part = shuffled[i * count // splits : (i + 1) * count // splits]
        log_each = part.log_softmax(1)
        log_all = log_each.exp().mean(0, keepdim=True).log()
        scores.append(float((log_each.exp() * (log_each - log_all)).sum(1).mean().exp()))
    mean, deviation = float(np.mean(scores)), float(np.std(scores))
    if count < 2 * SPLITS:
        return Interval(mean)
    return Interval(mean, mean - 2 * deviation, mean + 2 * deviation)


def wilson(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share of `count` independent trials (Wilson 1927)."""
    z2 = 1.96**2 / count
    middle = (share + z2 / 2) / (1 + z2)
    half = (share * (1 - share) * z2 + z2**2 / 4) ** 0.5 / (1 + z2)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def classes(fake: Tensor, real: Tensor) -> dict[str, float]:
    """The distribution of samples over the classes that a classifier of the same data predicts.

    class_share_min, class_share_max: the smallest and largest share of a class. class_coverage: the share of
    classes with at least a tenth of their share of the real images. class_entropy: the entropy of the shares,
    divided by that of equal shares. confidence: the mean of the largest probability.
    """
    probabilities = fake.double().softmax(1)
    confidence, predicted = probabilities.max(1)
    count = fake.shape[1]
    share = torch.bincount(predicted, minlength=count).double() / len(predicted)
    real_share = torch.bincount(real.argmax(1), minlength=count).double() / len(real)
    entropy = -torch.xlogy(share, share).sum()
    return {
        "class_share_min": float(share.min()),
        "class_share_max": float(share.max()),
        "class_coverage": float((share >= MISSED * real_share).double().mean()),
        "class_entropy": float(entropy / np.log(count)),
        "confidence": float(confidence.mean()),
    }


def modes(fake: Tensor, real: Tensor | None = None, *, least: float = 0.0) -> dict[str, float]:
    """The number of predicted classes, and the KL divergence of their shares from those of real images.

    Measured as in PacGAN's code (Lin et al. 2018, https://arxiv.org/abs/1712.04086, section 4), where real
    images have equal shares. `real` are other shares (L,); a class without real images is left out. A class
    counts if its share is at least the fraction `least` of its real share, and above zero. The divergence of
    no predictions is infinite.
    """
    classes = fake.shape[1]
    real = torch.full((classes,), 1 / classes, dtype=torch.float64) if real is None else real
    real, possible = real[real > 0].double(), real > 0
    counts = torch.bincount(fake.argmax(1), minlength=classes)[possible]
    if not counts.any():
        return {"modes": 0.0, "mode_kl": float("inf")}
    share = counts.double() / counts.sum()
    covered = (share > 0) & (share >= least * real)
    kl = torch.xlogy(share, share / real).sum()
    return {"modes": float(covered.sum()), "mode_kl": float(kl)}
