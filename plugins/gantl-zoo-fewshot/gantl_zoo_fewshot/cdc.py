"""`cdc`: images that were alike in the source stay alike in the target.

Ojha et al. 2021, "Few-shot Image Generation via Cross-domain Correspondence",
https://arxiv.org/abs/2104.06820: the distance between the two domains' similarities (section 3.1), and a
relaxed realism (section 3.2).

N batch, Z latent size, n latents compared, K channels of a feature map h × w.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from gantl_zoo import GAN, Batch, Group, Plan, TransferStrategy, UsageError
from gantl_zoo_fewshot.adapters import check


class CDC(TransferStrategy):
    """What was alike in the source stays alike, while the rest learns to look like the target.

    The term is `weight` times the KL divergence, between source and target, of how alike `compared` random
    latents are: the cosines of what each block but the last makes of them. Each `every`th step latents come
    from the neighbourhood (deviation `sigma`) of some fixed `anchors`, and the whole discriminator judges; in
    the other steps they are free, and a 1×1 convolution on the discriminator's middle block judges patches.
    With `anchors=0` the whole discriminator always judges.

    Differs from the paper: the divergence is a mean over all hidden blocks, not over some drawn at random
    (its weight is that of the official runs); there is one patch head, as the official code in effect has.
    """

    gans_only = "cdc is for GANs; a classifier makes no images that could be compared"

    def __init__(
        self,
        *,
        weight: float = 1000.0,
        compared: int = 8,
        anchors: int = 10,
        every: int = 4,
        sigma: float = 0.1,
    ) -> None:
        check("cdc", f"weight={weight} must be positive; without it cdc is full", weight > 0)
        check("cdc", f"compared={compared} latents can't be compared; it needs at least 3", compared >= 3)
        check("cdc", f"anchors={anchors} is no count of latents", anchors >= 0)
        check("cdc", f"every={every} is no number of steps", every >= 1)
        check("cdc", f"sigma={sigma} must not be negative", sigma >= 0)
        self.weight, self.compared, self.every, self.sigma = weight, compared, every, sigma
        self.count = anchors
        self.source: Any = None
        self.head: nn.Module | None = None  # on patches
        self.anchors: nn.Parameter | None = None  # (anchors, Z)

    def prepare(self, source: GAN, target: GAN, data: Any) -> Plan:
        plan = super().prepare(source, target, data)
        self.source = copy.deepcopy(source.generator).eval().requires_grad_(False)
        plan.modules["cdc-source"] = self.source
        if len(source.generator.blocks) < 2:
            raise UsageError(
                f"cdc: {type(source.generator).__name__} has one block, and hidden ones are compared"
            )
        if self.count:
            device = next(target.generator.parameters()).device
            self.anchors = nn.Parameter(torch.randn(self.count, target.latent_dim, device=device), False)
            shown = torch.zeros(1, *target.image_shape, device=device)
            label = torch.zeros(1, dtype=torch.long, device=device) if target.num_classes else None
            self.head = nn.Conv2d(patches(target.discriminator, shown, label).shape[1], 1, 1).to(device)
            plan.modules["cdc-patches"] = self.head
            plan.modules["cdc-anchors"] = nn.ParameterList([self.anchors])
            plan.groups["discriminator"].append(Group(list(self.head.parameters())))
        return plan

    def anchored(self, step: int) -> bool:
        """Whether this step's latents are near the anchors."""
        return self.anchors is not None and step % self.every == 0

    def latents(self, noise: Tensor, step: int) -> Tensor:
        if self.anchors is None or not self.anchored(step):
            return noise
        which = torch.randint(len(self.anchors), (len(noise),), device=noise.device)
        return self.anchors[which] + self.sigma * noise  # (N, Z)

    def discriminate(self, discriminator: nn.Module, images: Tensor, step: int) -> Tensor:
        if self.head is None or self.anchored(step):
            return super().discriminate(discriminator, images, step)
        logits: Tensor = self.head(patches(discriminator, images))  # (N, K, h, w) -> (N, 1, h, w)
        return logits

    def generator_loss(self, adversarial: Tensor, batch: Batch) -> dict[str, Tensor]:
        noise = torch.randn(self.compared, batch.noise.shape[1], device=batch.noise.device)  # (n, Z)
        labels = None
        if batch.labels is not None:  # those of the batch, in turn
            places = torch.arange(self.compared, device=noise.device) % len(batch.labels)
            labels = batch.labels[places]  # (n,)
        with torch.no_grad():
            before = hidden(self.source, noise, labels)
        now = hidden(batch.generator, noise, labels)
        gaps = [divergence(alike(new), alike(old)) for new, old in zip(now, before, strict=True)]
        return {"generator": adversarial, "cdc": self.weight * torch.stack(gaps).mean()}


def alike(features: Tensor) -> Tensor:
    """The log probability (n, n - 1) of each other row of features (n, …) to be the like of a row."""
    rows = functional.normalize(features.flatten(1).float(), dim=1)
    others = ~torch.eye(len(rows), dtype=torch.bool, device=rows.device)
    with torch.autocast(
        rows.device.type, enabled=False
    ):  # in bfloat16 the small gaps would be rounding errors
        cosines = (rows @ rows.T)[others].view(len(rows), -1)  # (n, n) -> (n, n - 1)
    return cosines.log_softmax(1)


def divergence(now: Tensor, before: Tensor) -> Tensor:
    """KL(before ‖ now) of log probabilities, as a mean over all of them."""
    return functional.kl_div(now, before, reduction="none", log_target=True).mean()


@contextmanager
def watched(modules: list[nn.Module]) -> Iterator[dict[int, Tensor]]:
    """What each of the modules returns, by its place in the list; a compiled network runs uncompiled here,
    since it would not see the hooks.
    """
    seen: dict[int, Tensor] = {}
    hooks = [
        module.register_forward_hook(lambda _module, _inputs, output, i=i: seen.__setitem__(i, output))
        for i, module in enumerate(modules)
    ]
    try:
        with torch.compiler.set_stance("force_eager"):
            yield seen
    finally:
        for hook in hooks:
            hook.remove()


def told(network: Any, inputs: Tensor, labels: Tensor | None) -> None:
    """Show a network its inputs, and the labels if it knows classes."""
    _ = network(inputs) if labels is None else network(inputs, labels)


def hidden(generator: Any, noise: Tensor, labels: Tensor | None = None) -> list[Tensor]:
    """What each block but the last makes of latents (n, Z), by running statistics, which stay as they are."""
    learning = [module for module in generator.modules() if module.training]
    generator.eval()
    with watched(list(generator.blocks)[:-1]) as seen:
        told(generator, noise, labels)
    for module in learning:
        module.training = True
    return [seen[i] for i in sorted(seen)]


def patches(discriminator: Any, images: Tensor, labels: Tensor | None = None) -> Tensor:
    """The feature maps (N, K, h, w) of the middle block. Raises `UsageError` if it makes none."""
    blocks = list(discriminator.blocks)
    middle = (len(blocks) - 1) // 2
    with watched([blocks[middle]]) as seen:
        told(discriminator, images, labels)
    found = seen.get(0)
    if len(blocks) < 2 or found is None or found.ndim != 4:
        raise UsageError(
            f"cdc: block {middle} of {type(discriminator).__name__} makes no map of patches to judge; "
            "anchors=0 does without them"
        )
    return found
