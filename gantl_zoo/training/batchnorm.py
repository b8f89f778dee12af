"""`SyncedBatchNorm`: BatchNorm with the statistics of the whole batch, over all processes, on any device.

torch.nn.SyncBatchNorm is not used, because it needs a GPU and has no second derivative, which gradient
penalties need. Here the sum over the processes is a function whose gradient is the same sum.

N images of this process, K channels of a feature map h × w.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from gantl_zoo.training.processes import Processes


class Total(torch.autograd.Function):
    """The sum of a tensor over the processes. Differentiable any number of times."""

    @staticmethod
    def forward(context: Any, tensor: Tensor, processes: Processes) -> Tensor:
        context.processes = processes
        return processes.total(tensor)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Any:
        return Total.apply(gradient, context.processes), None


class SyncedBatchNorm(TorchFunctionMode):
    """Context: each BatchNorm in training mode uses the images of all processes, which send a message for it.

    All processes must call the same layers in the same order.
    """

    def __init__(self, processes: Processes) -> None:
        super().__init__()
        self.processes = processes

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        settings = dict(kwargs or {})
        if func is functional.batch_norm and settings["training"]:
            features, running_mean, running_var = args
            moments = mean_and_variance(features, self.processes)
            count = features.numel() // features.shape[1] * self.processes.count
            follow(running_mean, running_var, moments, settings["momentum"], count)
            return normed(features, *moments, settings["weight"], settings["bias"], settings["eps"])
        return func(*args, **settings)


def mean_and_variance(features: Tensor, processes: Processes) -> tuple[Tensor, Tensor]:
    """The mean (K,) and the variance (K,) of features (N, K, …) of all processes, in float32 or float64."""
    features = features.to(torch.promote_types(features.dtype, torch.float32))
    variance, mean = torch.var_mean(features, [0, *range(2, features.dim())], correction=0)
    place = torch.arange(processes.count, device=mean.device) == processes.rank
    own = torch.stack([mean, variance]) * place[:, None, None].to(mean.dtype)  # (P, 2, K), others' rows are 0
    means, variances = Total.apply(own, processes).unbind(1)  # (P, K) each, of P processes
    mean = means.mean(0)
    return mean, (variances + (means - mean).square()).mean(0)


@torch.no_grad()
def follow(
    running_mean: Tensor | None,
    running_var: Tensor | None,
    moments: tuple[Tensor, Tensor],
    momentum: float,
    count: int,
) -> None:
    """Update the running statistics of a layer, whose variance is the unbiased one of `count` values."""
    if running_mean is None or running_var is None:
        return
    mean, variance = moments
    running_mean.lerp_(mean.to(running_mean.dtype), momentum)
    running_var.lerp_((variance * (count / (count - 1))).to(running_var.dtype), momentum)


def normed(
    features: Tensor, mean: Tensor, variance: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Tensor:
    """Features (N, K, …) with this mean and variance removed, then scaled and shifted, in their dtype."""
    scale = (variance + eps).rsqrt()
    scale = scale if weight is None else scale * weight
    shift = -mean * scale if bias is None else bias - mean * scale
    shape = (1, -1, *[1] * (features.dim() - 2))
    result = torch.addcmul(shift.view(shape), features.to(mean.dtype), scale.view(shape))
    return result.to(features.dtype)
