"""The low-pass filter [1, 3, 3, 1] of StyleGAN2's and R3GAN's resampling layers, in files of weights."""

from __future__ import annotations

import torch
from torch import Tensor

from gantl_zoo.errors import WeightsError
from gantl_zoo.networks.stylegan2_filters import new_kernel


def check_filter(name: str, kernel: Tensor, gain: float = 1.0) -> None:
    """Raise `WeightsError` if a tensor is not that filter, in two dimensions, times `gain`."""
    if kernel.shape != (4, 4) or not torch.allclose(kernel.float() / gain, new_kernel(), atol=1e-6):
        raise WeightsError(f"{name} is not the low-pass filter [1, 3, 3, 1]; others are not supported")
