"""Find out whether networks share a pretrained backbone, so that one flatters the other."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn


def stem_digest(network: Any) -> str:
    """The first 16 hex digits of the SHA-256 of a network's first convolution, rounded to bfloat16.

    Copies of a pretrained network have it in common, also with another classifier or in another precision.
    "" for a network without a convolution.
    """
    kernels = (p for p in network.parameters() if p.ndim == 4) if isinstance(network, nn.Module) else ()
    stem = next(iter(kernels), None)
    if stem is None:
        return ""
    rounded = stem.detach().cpu().to(torch.bfloat16).contiguous().view(torch.int16)
    return hashlib.sha256(rounded.numpy().tobytes()).hexdigest()[:16]


def frozen_backbones(networks: Iterable[nn.Module]) -> set[str]:
    """The `stem_digest` of each frozen backbone, which is a module with `pyramid`, in these networks."""
    parts = [part for network in networks for part in network.modules()]
    backbones = [part for part in parts if callable(getattr(part, "pyramid", None))]
    return {stem_digest(one) for one in backbones if not any(p.requires_grad for p in one.parameters())}
