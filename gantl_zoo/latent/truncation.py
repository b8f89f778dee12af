"""The same seeds at several truncations, with the statistics of BatchNorm measured anew at each.

Running statistics belong to latents that are not truncated. With shorter latents the activations are smaller,
and with the old statistics the images lose contrast. The statistics of the first BatchNorm stay as they are:
measured anew, they would undo the truncation, because only a linear map lies before them.

N seeds, T truncations.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gantl_zoo.errors import UsageError
from gantl_zoo.latent.space import is_mapped, random_points, some_seeds
from gantl_zoo.model.gan import GAN
from gantl_zoo.model.sampling import labels_of, scale
from gantl_zoo.networks.base import call, eval_view
from gantl_zoo.networks.mapping import synthesize

PSIS = (0.25, 0.5, 0.7, 0.85, 1.0)
BATCHES, BATCH = 16, 64  # of latents from which statistics are measured
BatchNorm = nn.modules.batchnorm._BatchNorm


def truncation_sweep(
    gan: GAN,
    seeds: Iterable[int],
    *,
    truncations: Sequence[float] = PSIS,
    labels: int | Iterable[int] | None = None,
    standing: bool = True,
) -> Tensor:
    """Images (N, T, C, H, W) of the seeds at each truncation; see `generate`.

    `standing`: measure the statistics of BatchNorm anew at each truncation but 1, see `standing_statistics`.
    Raises `UsageError`.
    """
    numbers, psis = some_seeds(seeds), [scale(psi, inner=is_mapped(gan)) for psi in truncations]
    if not psis:
        raise UsageError("a sweep needs at least one truncation")
    labels = None if labels is None else labels_of(labels, len(numbers))
    columns = []
    for psi in psis:
        model = standing_statistics(gan, psi) if standing and psi != 1 and has_batch_norm(gan) else gan
        columns.append(model.generate(seeds=numbers, labels=labels, truncation=psi))
    return torch.stack(columns, 1)


def has_batch_norm(gan: GAN) -> bool:
    """Whether the generator has a layer with running statistics."""
    return any(
        isinstance(module, BatchNorm) and module.track_running_stats for module in gan.generator.modules()
    )


@torch.no_grad()
def standing_statistics(gan: GAN, truncation: float, *, batches: int = BATCHES, seed: int = 0) -> GAN:
    """A copy of the GAN whose BatchNorm has statistics of `batches` · 64 latents at this truncation.

    The first BatchNorm keeps its statistics. The weights are shared with `gan`, which does not change; the
    copy has no discriminator. These are the standing statistics of Brock et al. 2019
    (https://arxiv.org/abs/1809.11096, appendix C.1), but for the first layer.
    """
    network: Any = eval_view(gan.generator)
    norms = norms_in_order(gan, network)[1:]
    momenta = {norm: norm.momentum for norm in norms}
    for norm in norms:
        norm.running_mean = torch.zeros_like(norm.running_mean)
        norm.running_var = torch.ones_like(norm.running_var)
        norm.num_batches_tracked = torch.zeros_like(norm.num_batches_tracked)
        norm.train()
    points = random_points(gan, batches * BATCH, seed)
    chunks = zip(*(torch.split(each, BATCH) for each in (points.latents, points.classes)), strict=True)
    for number, (latents, classes) in enumerate(chunks):
        for norm in norms:
            norm.momentum = 1 / (number + 1)  # the mean over all batches so far
        run(gan, network, latents, classes, truncation)
    for norm, momentum in momenta.items():
        norm.momentum = momentum
    return GAN(network.eval(), None, {"generator": gan.parts["generator"]}, dict(gan.about), name=gan.name)


def norms_in_order(gan: GAN, network: Any) -> list[Any]:
    """The layers with running statistics in a copy of the generator, in the order of their calls."""
    called: list[Any] = []
    norms = [m for m in network.modules() if isinstance(m, BatchNorm) and m.track_running_stats]
    hooks = [norm.register_forward_pre_hook(lambda module, _: called.append(module)) for norm in norms]
    points = random_points(gan, 2)
    run(gan, network, points.latents, points.classes, 1.0)
    for hook in hooks:
        hook.remove()
    return list(dict.fromkeys(called))


def run(gan: GAN, network: Any, latents: Tensor, classes: Tensor, psi: float) -> None:
    """One forward pass of a changed copy of the generator, with truncated latents of `map`."""
    latents = gan.truncate(latents, psi)
    labels = classes.argmax(1).to(gan.device) if classes.shape[1] else None
    if is_mapped(gan):
        synthesize(network, latents, None)
    else:
        call(network, latents, labels)
