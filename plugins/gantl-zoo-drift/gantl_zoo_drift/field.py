"""The drifting field of Deng et al. 2026, https://arxiv.org/abs/2602.04770, section 3 and algorithm 2.

L places of a feature map, N generated samples, P positives, M negatives, K channels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

FAR = 1e6  # distance of a sample to itself, in mean distances
SMALLEST = 1e-12  # divisor, for features that are equal in all images


def drifting_field(samples: Tensor, positives: Tensor, negatives: Tensor, temperature: float) -> Tensor:
    """The field V (L, N, K) at `samples` (L, N, K): attraction to positives minus repulsion from negatives.

    V(x) = Σ a(x, y⁺) y⁺ - Σ a(x, y⁻) y⁻ over all positives y⁺ (L, P, K) and negatives y⁻ (L, M, K). The
    weights a are exp(-distance / temperature), divided by the root of its sum over the samples, then scaled
    to the sum 1 over the positives, and over the negatives. V changes its sign if positives and negatives are
    swapped, so it is 0 if both are equal. If `negatives` is `samples`, no sample repels itself.
    """
    attracting, repelling = torch.cdist(samples, positives), torch.cdist(samples, negatives)
    if negatives is samples:
        repelling.diagonal(dim1=-2, dim2=-1).fill_(FAR)
    return weights(attracting, temperature) @ positives - weights(repelling, temperature) @ negatives


def weights(distances: Tensor, temperature: float) -> Tensor:
    """Weights of the same shape as distances (L, N, M), with the sum 1 over the last axis."""
    logits = -distances / temperature
    return torch.softmax(logits - torch.logsumexp(logits, -2, keepdim=True) / 2, -1)


def drifting_loss(generated: Tensor, real: Tensor, temperatures: Sequence[float]) -> Tensor:
    """The mean squared distance of `generated` features (N, L, K) to their targets; `real` are (P, L, K).

    A target is the sample, moved along the mean field of all temperatures. It is a constant, so the gradient
    moves samples to it. Features are in units of the mean distance between samples and real images, and so
    are temperatures.
    """
    samples, positives = generated.transpose(0, 1).contiguous(), real.transpose(0, 1).contiguous()
    with torch.no_grad():
        scale = torch.cdist(samples, positives).mean().clamp(min=SMALLEST)
        fixed, positives = samples.detach() / scale, positives / scale
        fields = [drifting_field(fixed, positives, fixed, temperature) for temperature in temperatures]
        target = fixed + torch.stack(fields).mean(0)
    return (samples / scale - target).square().sum(-1).mean()
