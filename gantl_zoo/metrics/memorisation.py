"""Is it memorising? Samples and held-out images, each against their nearest training images.

Features (N, D) throughout.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gantl_zoo.metrics.neighbours import COLUMNS, ROWS, nearest

RARE = 0.01  # of the held-out images lie nearer to a training image than what counts as a copy
NEAR = 0.1  # mean cosine distance from which on MiFID stops punishing


def copies(fake: Tensor, held_out: Tensor, train: Tensor) -> dict[str, float]:
    """How near samples lie to training images, in the measure of held-out images, which were not trained on.

    nn_distance: median distance to the nearest training image, over that of held-out images; 1 is as far as
    new images are, 0 a replay. copies: the share of samples that lie nearer than all but 1 % of the held-out
    images; 0.01 is what new images score.
    """
    theirs, ours = nearest(held_out, train)[0][:, 0], nearest(fake, train)[0][:, 0]
    limit = theirs.quantile(RARE)
    return {
        "nn_distance": float(ours.median() / theirs.median().clamp(min=1e-12)),
        "copies": float((ours <= limit).double().mean()),
    }


def cosine_distance(fake: Tensor, train: Tensor) -> float:
    """Mean over samples of the least 1 - |cos| to a training image."""
    fake, train = (torch.nn.functional.normalize(side.float(), dim=1) for side in (fake, train))
    found = []
    for part in torch.split(fake, ROWS):
        closest = torch.zeros(len(part))
        for references in torch.split(train, COLUMNS):
            closest = torch.maximum(closest, (part @ references.T).abs_().amax(1))
        found.append(1 - closest)
    return float(torch.cat(found).double().mean().clamp(min=0))


def informed(distance: float, fake: Tensor, train: Tensor) -> float:
    """Memorisation-informed Fréchet distance: `distance` over the mean cosine distance to the nearest
    training images, if that is below 0.1 (Bai et al. 2021, https://arxiv.org/abs/2106.03062, section 3.3).
    """
    closest = cosine_distance(fake, train)
    return distance / (closest + 1e-14) if closest < NEAR else distance


def diversity(fake: Tensor, train: Tensor) -> float:
    """Mean distance between samples that share their nearest training image, averaged over these images, in
    the measure of the mean distance between training images (as the intra-cluster distance of Ojha et al.
    2021, https://arxiv.org/abs/2104.06820, section 4.1, with these features in LPIPS's place).

    0: a few training images are repeated. NaN if no training image has two samples.
    """
    _, index = nearest(fake, train)
    clusters = [fake[index[:, 0] == i].double() for i in range(len(train))]
    within = [torch.pdist(cluster[:ROWS]).mean() for cluster in clusters if len(cluster) > 1]
    spread = torch.pdist(train[:ROWS].double()).mean()
    return float(torch.stack(within).mean() / spread) if within else float("nan")
