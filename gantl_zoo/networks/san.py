"""SAN (Takida et al. 2024, https://arxiv.org/abs/2301.12811): a normalised last linear layer.

The logit is ⟨h, ω⟩: h are the features of an image, ω is a vector of length 1. The adversarial loss trains
the features only. The vector has a loss term of its own, the Wasserstein loss: it turns to the direction in
which the mean features of real and of fake images differ most. By the paper, this direction is one of the
conditions under which the discriminator measures a distance between the two distributions.

N batch, C channels, H = W image size, F features.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from gantl_zoo.errors import UsageError
from gantl_zoo.networks.base import blocks
from gantl_zoo.networks.wrapped import inner_discriminator


class Direction(nn.Module):
    """Maps features h (N, F) to logits (N,): ⟨h + b, ω⟩ with ω = weight / ‖weight‖, which gets no gradient.

    The bias b (F,) comes before ω, so that ω alone decides about the direction.
    """

    def __init__(self, features: int, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(functional.normalize(torch.randn(features), dim=0))
        self.bias = nn.Parameter(torch.zeros(features)) if bias else None

    def direction(self) -> Tensor:
        """The vector ω (F,) of length 1."""
        return functional.normalize(self.weight, dim=0)

    def shifted(self, features: Tensor) -> Tensor:
        return features if self.bias is None else features + self.bias

    def forward(self, features: Tensor) -> Tensor:
        return functional.linear(self.shifted(features), self.direction().detach()[None]).squeeze(1)

    def mean(self, features: Tensor) -> Tensor:
        """The mean logit of features (N, F), whose only gradient is that of ω."""
        features = self.shifted(features.detach()).detach().to(self.weight.dtype)
        return (features.mean(0) * self.direction()).sum()


class SANDiscriminator(nn.Module):
    """Maps images (N, C, H, W) in [-1, 1] to logits (N,).

    The last linear layer of the inner network is replaced by `last`; what is left returns features (N, F).
    """

    num_classes = 0
    terms_of_fake = True

    def __init__(self, inner: Any, name: str) -> None:
        super().__init__()
        self.image_shape = inner.image_shape
        linear = without_last(inner, name)
        self.inner, self.last = inner, Direction(linear.in_features, linear.bias is not None)

    @property
    def blocks(self) -> list[nn.Module]:
        """The blocks of the inner network, and the last layer."""
        return [*blocks(self.inner), self.last]

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        logits: Tensor = self.last(self.inner(images))  # (N, C, H, W) -> (N, F) -> (N,)
        return logits

    def self_supervised(
        self, images: Tensor, labels: Tensor | None = None, *, fake: bool = False
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The logits (N,), and the loss term that trains ω: its mean logit if `fake`, else minus that."""
        features = self.inner(images)
        mean = self.last.mean(features)
        term = {"direction of fake": mean} if fake else {"direction of real": -mean}
        return self.last(features), term


def without_last(inner: Any, name: str) -> nn.Linear:
    """Replace the last linear layer of the discriminator `name` by the identity. Returns that layer.

    Raises `UsageError` unless its last block ends in one linear layer from F features to the logit.
    """
    wrong = UsageError(
        f"san: {name!r} does not end in one linear layer from features to the logit; dcgan, resnet, r3 and "
        "stylegan2 do"
    )
    last = [m for m in blocks(inner)[-1].modules() if isinstance(m, nn.Linear) and m.out_features == 1]
    if len(last) != 1 or hasattr(inner, "self_supervised"):
        raise wrong
    path = next(path for path, module in inner.named_modules() if module is last[0])
    owner, _, key = path.rpartition(".")
    setattr(inner.get_submodule(owner), key, nn.Identity())
    modes = {module: module.training for module in inner.modules()}
    with torch.no_grad():
        features = inner.eval()(torch.zeros(2, *inner.image_shape))
    for module, mode in modes.items():
        module.training = mode
    if features.shape != (2, last[0].in_features):
        raise wrong
    return last[0]


def discriminator(
    *,
    discriminator: str = "dcgan",
    image_size: int = 28,
    channels: int = 1,
    discriminator_config: Mapping[str, Any] | None = None,
    **further: Any,
) -> SANDiscriminator:
    """Discriminator with a normalised last layer (SAN, Takida et al. 2024).

    Train it with a loss in which the generator minimises -D: hinge or wasserstein. It is unconditional. The
    last layer starts at random. Paper: https://arxiv.org/abs/2301.12811.

    `discriminator`: name of the inner network; its head must end in one linear layer, as in dcgan, resnet,
        r3 and stylegan2.
    `image_size`: height and width of the images in pixels.
    `channels`: number of channels of the images; 1 for grey, 3 for RGB.
    `discriminator_config`: arguments of the inner network, such as its width. They can also be passed
        directly.
    """
    inner = inner_discriminator("san", discriminator, channels, image_size, discriminator_config, further)
    return SANDiscriminator(inner, discriminator)
