"""What tests share and no fixture can be."""

from __future__ import annotations

import torch

SMALL = {"width": 4, "latent_dim": 8}  # a DCGAN generator of a few thousand parameters
TINY = {
    "steps": 6, "batch": 8, "precision": "fp32", "metrics": (), "checkpoint_every": 3, "metrics_every": 3,
    "generator_config": SMALL, "discriminator_config": {"width": 4, "dropout": 0.1},
}  # fmt: skip


def state(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A copy of all tensors of a network."""
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def moved(before: dict[str, torch.Tensor], network: torch.nn.Module) -> set[str]:
    """The names of the tensors that are no longer equal to the bit."""
    return {name for name, tensor in network.state_dict().items() if not torch.equal(before[name], tensor)}
