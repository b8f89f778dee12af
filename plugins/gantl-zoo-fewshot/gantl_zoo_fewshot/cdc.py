"""`cdc`: keeps the similarities between samples that they have in the source.

Ojha et al. 2021, "Few-shot Image Generation via Cross-domain Correspondence",
https://arxiv.org/abs/2104.06820: the cross-domain distance consistency (section 3.1), and the relaxed
realism (section 3.2).

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
    """Cross-domain correspondence: keep the source's similarities of samples (Ojha et al. 2021).

    Full fine-tuning with a further loss: the KL divergence, between source and target, of the similarities of
    samples. Similarities are cosines of the outputs of each generator block except the last.
    Paper: https://arxiv.org/abs/2104.06820, section 3.

    `weight`: factor of the further loss; positive.
    `compared`: number of samples that are compared in a step; at least 3.
    `anchors`: number of fixed latents around which latents are drawn in some steps. In these steps the whole
        discriminator scores the samples, in the others a 1×1 convolution after its middle block scores
        patches. With 0, the whole discriminator scores all samples.
    `every`: number of steps from one step with anchors to the next; at least 1.
    `sigma`: standard deviation of the latents around the anchors; at least 0.

    Differs from the paper: the divergence is the mean over all hidden blocks, not over randomly drawn ones
    (its weight is that of the official runs); there is one patch head, as effectively in the official code.
    """

    gans_only = "cdc is for GANs; a classifier generates no samples to compare"

    def __init__(
        self,
        *,
        weight: float = 1000.0,
        compared: int = 8,
        anchors: int = 10,
        every: int = 4,
        sigma: float = 0.1,
    ) -> None:
        check("cdc", f"weight={weight} must be positive; for none use the strategy full", weight > 0)
        check("cdc", f"compared={compared} must be at least 3 latents", compared >= 3)
        check("cdc", f"anchors={anchors} must not be negative", anchors >= 0)
        check("cdc", f"every={every} must be at least 1 step", every >= 1)
        check("cdc", f"sigma={sigma} must not be negative", sigma >= 0)
        self.weight, self.compared, self.every, self.sigma = weight, compared, every, sigma
        self.count = anchors
        self.source: Any = None
        self.head: nn.Module | None = None  # scores patches
        self.anchors: nn.Parameter | None = None  # (anchors, Z)

    def prepare(self, source: GAN, target: GAN, data: Any) -> Plan:
        plan = super().prepare(source, target, data)
        self.source = copy.deepcopy(source.generator).eval().requires_grad_(False)
        plan.modules["cdc-source"] = self.source
        if len(source.generator.blocks) < 2:
            raise UsageError(
                f"cdc: {type(source.generator).__name__} has a single block, but cdc compares hidden blocks"
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
        """Whether this step's latents are drawn around the anchors."""
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
        if batch.labels is not None:  # the batch's labels, repeated
            places = torch.arange(self.compared, device=noise.device) % len(batch.labels)
            labels = batch.labels[places]  # (n,)
        with torch.no_grad():
            before = hidden(self.source, noise, labels)
        now = hidden(batch.generator, noise, labels)
        gaps = [
            divergence(similarities(new), similarities(old)) for new, old in zip(now, before, strict=True)
        ]
        return {"generator": adversarial, "cdc": self.weight * torch.stack(gaps).mean()}


def similarities(features: Tensor) -> Tensor:
    """Log-softmax (n, n - 1) of the cosines of each row of features (n, …) with all other rows."""
    rows = functional.normalize(features.flatten(1).float(), dim=1)
    count = len(rows)
    with torch.autocast(rows.device.type, enabled=False):  # bfloat16 is too coarse for small differences
        cosines = (rows @ rows.T).flatten()[1:].view(count - 1, count + 1)  # the diagonal is the last column
        cosines = cosines[:, :-1].reshape(count, count - 1)  # (n, n) -> (n, n - 1), without a host's wait
    return cosines.log_softmax(1)


def divergence(now: Tensor, before: Tensor) -> Tensor:
    """KL(before ‖ now) of log probabilities, averaged over all elements."""
    return functional.kl_div(now, before, reduction="none", log_target=True).mean()


@contextmanager
def watched(modules: list[nn.Module]) -> Iterator[dict[int, Tensor]]:
    """Record the output of each module, by its index in the list.

    Compiled networks run uncompiled in the block, since hooks have no effect on compiled ones.
    """
    outputs: dict[int, Tensor] = {}
    hooks = [
        module.register_forward_hook(lambda _module, _inputs, output, i=i: outputs.__setitem__(i, output))
        for i, module in enumerate(modules)
    ]
    try:
        with torch.compiler.set_stance("force_eager"):
            yield outputs
    finally:
        for hook in hooks:
            hook.remove()


def run(network: Any, inputs: Tensor, labels: Tensor | None) -> None:
    """Call the network, passing `labels` only if there are any."""
    _ = network(inputs) if labels is None else network(inputs, labels)


def hidden(generator: Any, noise: Tensor, labels: Tensor | None = None) -> list[Tensor]:
    """The outputs of each block except the last for latents (n, Z), in eval mode; then restores the modes."""
    in_training = [module for module in generator.modules() if module.training]
    generator.eval()
    with watched(list(generator.blocks)[:-1]) as outputs:
        run(generator, noise, labels)
    for module in in_training:
        module.training = True
    return [outputs[i] for i in sorted(outputs)]


def patches(discriminator: Any, images: Tensor, labels: Tensor | None = None) -> Tensor:
    """The feature maps (N, K, h, w) of the middle block. Raises `UsageError` if its output isn't one."""
    blocks = list(discriminator.blocks)
    middle = (len(blocks) - 1) // 2
    with watched([blocks[middle]]) as outputs:
        run(discriminator, images, labels)
    maps = outputs.get(0)
    if len(blocks) < 2 or maps is None or maps.ndim != 4:
        raise UsageError(
            f"cdc: block {middle} of {type(discriminator).__name__} has no feature maps to score "
            "patches; set anchors=0"
        )
    return maps
