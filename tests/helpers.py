"""What tests share and no fixture can be."""

from __future__ import annotations

from typing import Any

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


def check_report(old: Any, new: Any, report: list[Any]) -> None:
    """Every tensor of both networks is accounted for, once."""
    for role in ("generator", "discriminator"):
        mine = [match for match in report if match.role == role]
        filled = [match.tensor for match in mine if match.how != "dropped"]
        assert sorted(filled) == sorted(getattr(new, role).state_dict())
        gone = {match.tensor for match in mine if match.how == "dropped"}
        assert gone <= set(getattr(old, role).state_dict())
        assert all(match.note for match in mine if match.how in ("adapted", "fresh"))
