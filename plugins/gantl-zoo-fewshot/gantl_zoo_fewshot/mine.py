"""`mine`: trains a map of the latents in front of the generator first, then the generator too.

MineGAN (Wang et al. 2020, https://arxiv.org/abs/1912.05270, section 3.2). Its map, the miner, is a small
perceptron. Here it is affine, z ↦ (I + M) z + b, so that it can be folded into the generator's first layer,
which leaves the architecture unchanged.

Z latent size, K features of the first layer.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from gantl_zoo import GAN, Group, Plan, UsageError
from gantl_zoo_fewshot.adapters import Adapter, AdapterStrategy, Held, check, fixed


class Miner(Adapter):
    """The first layer's weight W (I + M) and, if it has a bias c, its bias c + W b.

    The layer is linear, or a transposed convolution of a 1×1 map, which is linear in its input channels, too.
    M and b are initialised to zero. W and c are frozen while the miner is `alone`.
    """

    shift: nn.Parameter  # b; None if the layer has no bias
    bias: nn.Parameter | None  # c

    def __init__(self, layer: nn.Linear | nn.ConvTranspose2d) -> None:
        super().__init__()
        self.alone = True
        self.inputs = 1 if isinstance(layer, nn.Linear) else 0  # the weight's dimension of the latents
        size = layer.weight.shape[self.inputs]
        self.turn = nn.Parameter(layer.weight.new_zeros(size, size))  # M
        self.weight = nn.Parameter(fixed(layer.weight))  # W
        bias = layer.bias
        shift = None if bias is None else nn.Parameter(layer.weight.new_zeros(size))
        self.register_parameter("shift", shift)
        self.register_parameter("bias", None if bias is None else nn.Parameter(fixed(bias)))

    def mined(self) -> list[nn.Parameter]:
        """The miner's parameters, M and b."""
        return [self.turn] if self.bias is None else [self.turn, self.shift]

    def layer(self) -> list[nn.Parameter]:
        """The layer's parameters, W and c."""
        return [self.weight] if self.bias is None else [self.weight, self.bias]

    def learning(self) -> list[nn.Parameter]:
        return self.mined() if self.alone else self.mined() + self.layer()

    def mine(self, noise: Tensor) -> Tensor:
        """Map `noise` (N, Z) to the latents (N, Z) of the unchanged generator."""
        latents = noise + noise @ self.turn.T
        return latents if self.bias is None else latents + self.shift

    def forward(self) -> list[Tensor]:
        turned = self.weight.movedim(self.inputs, -1) @ self.turn  # (K, …, Z)
        weight = [self.weight + turned.movedim(-1, self.inputs)]
        return weight if self.bias is None else [*weight, self.bias + self.weight @ self.shift]  # (K,)


class MineGAN(AdapterStrategy):
    """MineGAN: train a map of the latents first, then also the generator (Wang et al. 2020).

    The map is the miner. The discriminator is trained from the start.
    Paper: https://arxiv.org/abs/1912.05270, section 3.2.

    `steps`: number of steps in which the generator is frozen; 0 means that it is trained from the start.
    `rate`: factor of the learning rate for the miner; positive.

    If the generator's first layer has no bias (as in `dcgan`), the miner is linear: it rotates and scales the
    normal distribution, but can't shift its mean. The running statistics of a BatchNorm after the first layer
    follow the miner.

    Differs from the paper: the averaged generator includes the miner, and the miner is trained alone for 200
    steps, not 1,000, since runs here are short.
    """

    gans_only = "mine is for GANs; a classifier has no latents"

    name = "mine"

    def __init__(self, *, steps: int = 200, rate: float = 1.0) -> None:
        super().__init__()
        check(self.name, f"steps={steps} must not be negative", steps >= 0)
        check(self.name, f"rate={rate} must be positive", rate > 0)
        self.steps, self.rate = steps, rate

    def adapters(self, network: nn.Module) -> list[Held]:
        """The miner as the adapter of the generator's first layer."""
        names = {id(parameter): name for name, parameter in network.named_parameters()}
        first: Any = network.blocks[0]  # type: ignore[index]
        for layer in first.modules():
            if takes_latents(layer, network) and id(layer.weight) in names:
                places: list[Any] = [layer.weight] if layer.bias is None else [layer.weight, layer.bias]
                return [Held(names[id(layer.weight)], places, Miner(layer))]
        raise UsageError(
            f"mine: the first block of {type(network).__name__} has no plain linear layer, into which "
            "a miner could be folded"
        )

    def prepare(self, source: GAN, target: GAN, data: Any) -> Plan:
        everything = super(AdapterStrategy, self).prepare(source, target, data).groups["generator"]
        plan = super().prepare(source, target, data)
        (held,) = self.held["generator"]
        taken = {id(place) for place in held.places}
        others = [p for group in everything for p in group.parameters if id(p) not in taken]
        self.waiting = Group([*held.adapter.layer(), *others], active=False)
        plan.groups["generator"] = [
            Group(held.adapter.mined(), self.rate),
            Group(held.places, 0.0),
            self.waiting,
        ]
        return plan

    def on_step(self, step: int, plan: Plan) -> None:
        super().on_step(step, plan)
        self.waiting.active = step >= self.steps
        self.held["generator"][0].adapter.alone = not self.waiting.active


def takes_latents(layer: Any, network: Any) -> bool:
    """Whether the layer is linear, or a transposed convolution of the latents without a bias."""
    if isinstance(layer, nn.ConvTranspose2d):
        return layer.in_channels == network.latent_dim and layer.bias is None
    return isinstance(layer, nn.Linear)
