"""`mine`: first only a map in front of the generator learns, which finds the latents worth having.

MineGAN (Wang et al. 2020, https://arxiv.org/abs/1912.05270, section 3.2). Its miner is a small perceptron;
this one is affine, z ↦ (I + M) z + b, so that it can be multiplied into the generator's first layer and the
result is the plain network.

Z latent size, K features of the first layer.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from gantl_zoo import GAN, Group, Plan, UsageError
from gantl_zoo_fewshot.adapters import Adapter, AdapterStrategy, Held, check, fixed


class Miner(Adapter):
    """W (I + M), and c + W b where the first layer has a bias c to take it up; M and b start at zero.

    While it is `alone`, W and c rest.
    """

    shift: nn.Parameter  # b; None without a bias
    bias: nn.Parameter | None  # c

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.alone = True
        size = layer.in_features
        self.turn = nn.Parameter(layer.weight.new_zeros(size, size))  # M
        self.weight = nn.Parameter(fixed(layer.weight))  # W
        biased = layer.bias is not None
        self.register_parameter("shift", nn.Parameter(layer.weight.new_zeros(size)) if biased else None)
        self.register_parameter("bias", nn.Parameter(fixed(layer.bias)) if biased else None)

    def mined(self) -> list[nn.Parameter]:
        """M and b."""
        return [self.turn] if self.bias is None else [self.turn, self.shift]

    def layer(self) -> list[nn.Parameter]:
        """W and c."""
        return [self.weight] if self.bias is None else [self.weight, self.bias]

    def learning(self) -> list[nn.Parameter]:
        return self.mined() if self.alone else self.mined() + self.layer()

    def mine(self, noise: Tensor) -> Tensor:
        """The latents (N, Z) that stand for `noise` (N, Z)."""
        found = noise + noise @ self.turn.T
        return found if self.bias is None else found + self.shift

    def forward(self) -> list[Tensor]:
        made = [self.weight + self.weight @ self.turn]  # (K, Z)
        return made if self.bias is None else [*made, self.bias + self.weight @ self.shift]  # (K,)


class MineGAN(AdapterStrategy):
    """A miner in front of the generator learns, and the generator joins in after `steps` steps.

    The miner's learning rate is multiplied by `rate`. The discriminator learns from the start.
    Where the generator's first layer has no bias (`dcgan`'s), the miner is linear: it turns and stretches the
    normal distribution, but can't move its centre. The statistics of a BatchNorm behind the first layer
    follow the miner. The paper's miner is no part of the average that is sampled from; here it is. Its miner
    is alone for 1,000 steps; here for 200, since our runs are short.
    """

    gans_only = "mine is for GANs; a classifier has no latents"

    name = "mine"

    def __init__(self, *, steps: int = 200, rate: float = 1.0) -> None:
        super().__init__()
        check(self.name, f"steps={steps} is no number of steps", steps >= 0)
        check(self.name, f"rate={rate} must be positive", rate > 0)
        self.steps, self.rate = steps, rate

    def adapters(self, network: nn.Module) -> list[Held]:
        """The miner, which makes the first layer."""
        names = {id(parameter): name for name, parameter in network.named_parameters()}
        first: Any = network.blocks[0]  # type: ignore[index]
        for layer in first.modules():
            if isinstance(layer, nn.Linear) and id(layer.weight) in names:
                places: list[Any] = [layer.weight] if layer.bias is None else [layer.weight, layer.bias]
                return [Held(names[id(layer.weight)], places, Miner(layer))]
        raise UsageError(
            f"mine: the first block of {type(network).__name__} has no plain linear layer; only into that "
            "can a miner be multiplied"
        )

    def prepare(self, source: GAN, target: GAN, data: Any) -> Plan:
        everything = super(AdapterStrategy, self).prepare(source, target, data).groups["generator"]
        plan = super().prepare(source, target, data)
        (held,) = self.held["generator"]
        taken = {id(place) for place in held.places}
        rest = [p for group in everything for p in group.parameters if id(p) not in taken]
        self.waiting = Group([*held.adapter.layer(), *rest], active=False)
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
