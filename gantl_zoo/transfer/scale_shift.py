"""`scale-shift`: of the norms only scale and shift learn, every filter stays as it is.

The idea of BatchStat (Noguchi & Harada 2019, https://arxiv.org/abs/1904.01774, section 3), in an adversarial
setting: the original trains without a discriminator, on a latent for each image.
"""

from __future__ import annotations

from torch import nn

from gantl_zoo.errors import UsageError
from gantl_zoo.transfer.strategy import Group, TransferStrategy, blocks, unique, which

NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)


class ScaleShift(TransferStrategy):
    """Scale and shift of the norms in the `network` ("generator", "discriminator" or "both") learn.

    A classifier's last block learns, too: its classes are new. Raises `UsageError` where there are no norms.
    """

    def __init__(self, *, network: str = "generator") -> None:
        self.roles = which("scale-shift", network)

    def group(self, network: nn.Module, role: str) -> list[Group]:
        if role not in self.roles:
            return super().group(network, role)
        norms = [module for module in network.modules() if isinstance(module, NORMS)]
        found = unique(p for norm in norms for p in norm.parameters(recurse=False))
        if not found:
            raise UsageError(f"scale-shift: the {role} {type(network).__name__} has no norms with a scale")
        if role == "backbone":
            found = unique([*found, *blocks(network)[-1].parameters()])
        return [Group(found)]
