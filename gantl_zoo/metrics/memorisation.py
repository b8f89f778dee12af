"""Metrics of memorisation: distances of samples and held-out images to their nearest training images.

All sets are features (N, D).
"""

from __future__ import annotations

import torch
from torch import Tensor

from gantl_zoo.metrics.neighbours import COLUMNS, ROWS, nearest

RARE = 0.01  # share of held-out images that are nearer to a training image than the limit for a copy
NEAR = 0.1  # mean cosine distance from which on MiFID has no penalty


def copies(fake: Tensor, held_out: Tensor, train: Tensor) -> dict[str, float]:
    """How near samples are to training images, relative to held-out images.

    nn_distance: the median distance of samples to their nearest training image, divided by that of held-out
    images; about 1 for new images, 0 for copies. copies: the share of samples that are nearer to a training
    image than 99 % of the held-out images; about 0.01 for new images.
    """
    theirs, ours = nearest(held_out, train)[0][:, 0], nearest(fake, train)[0][:, 0]
    limit = theirs.quantile(RARE)
    return {
        "nn_distance": float(ours.median() / theirs.median().clamp(min=1e-12)),
        "copies": float((ours <= limit).double().mean()),
    }


def cosine_distance(fake: Tensor, train: Tensor) -> float:
    """The mean over samples of the smallest 1 - |cos| to a training image."""
    fake, train = (torch.nn.functional.normalize(side.float(), dim=1) for side in (fake, train))
    distances = []
    for part in torch.split(fake, ROWS):
        closest = torch.zeros(len(part))
        for references in torch.split(train, COLUMNS):
            closest = torch.maximum(closest, (part @ references.T).abs_().amax(1))
        distances.append(1 - closest)
    return float(torch.cat(distances).double().mean().clamp(min=0))


def informed(distance: float, fake: Tensor, train: Tensor) -> float:
    """Memorisation-informed Fréchet distance (Bai et al. 2021, https://arxiv.org/abs/2106.03062, sec. 3.3).

    `distance`, divided by the mean cosine distance to the nearest training images if that is below 0.1.
    """
    closest = cosine_distance(fake, train)
    return distance / (closest + 1e-14) if closest < NEAR else distance


def diversity(fake: Tensor, train: Tensor) -> float:
    """The intra-cluster distance of Ojha et al. 2021 (https://arxiv.org/abs/2104.06820, section 4.1), with
    these features in place of LPIPS.

    The mean distance between samples that share their nearest training image, averaged over the training
    images, divided by the mean distance between training images. 0 if samples only repeat training images;
    NaN if no training image has two samples.
    """
    _, index = nearest(fake, train)
    clusters = [fake[index[:, 0] == i].double() for i in range(len(train))]
    within = [torch.pdist(cluster[:ROWS]).mean() for cluster in clusters if len(cluster) > 1]
    spread = torch.pdist(train[:ROWS].double()).mean()
    return float(torch.stack(within).mean() / spread) if within else float("nan")
