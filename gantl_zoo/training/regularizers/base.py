"""The interface of regularizers. The base class itself does nothing.

A regularizer overrides only what it needs. In each step training calls `mapped_latents`, `batch`, the
adversarial loss and `discriminator`, and after the discriminator's update `generator`. A script or a plug-in
adds its own:

    @gz.regularizers.register("mine")
    class Mine(gz.Regularizer): ...

    gantl-zoo train … --regularizer mine+r2 --regularizer-arg mine.weight=0.3

N batch, C channels, H, W image size, L layers with an intermediate latent of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from gantl_zoo.errors import UsageError
from gantl_zoo.strategy.base import Batch
from gantl_zoo.training.critic import Critic


class Regularizer(nn.Module):
    """No regularization.

    Tensors that a resumed run needs are buffers: they are saved in checkpoints, averaged over the processes,
    and restored if a step is skipped. The constructor takes keyword arguments that JSON can store.
    """

    every: int = 1  # steps between two applications; the run's estimated time uses it
    second_derivatives: bool = False  # whether it differentiates a gradient; compiled networks can't
    latent_space: bool = False  # whether it needs a generator with an intermediate latent space
    stages: bool = False  # whether it needs a generator with an image for each stage: `batch.stages`

    def __init__(self) -> None:
        super().__init__()

    def mapped_latents(self, latents: Tensor, draw: Callable[[], Tensor]) -> Tensor:
        """The intermediate latents (N, L, …) of the fake images. May replace `latents`.

        `draw()` returns the intermediate latents of new noise, with the same labels. Training calls this
        method only if `latent_space` is true.
        """
        return latents

    def batch(self, batch: Batch) -> Batch:
        """The batch of the discriminator's update. May replace `batch.real`."""
        return batch

    def discriminator(self, critic: Critic, batch: Batch) -> dict[str, Tensor]:
        """Named loss terms, which the discriminator minimises besides the adversarial loss.

        `critic.latest(batch.real, batch.fake)` are the logits of that loss.
        """
        return {}

    def generator_logits(self, logits: Tensor, step: int) -> Tensor:
        """The logits (N, …) of fake images in the generator's adversarial loss. May change their gradient."""
        return logits

    def generator(self, critic: Critic, batch: Batch) -> dict[str, Tensor]:
        """Named loss terms, which the generator minimises besides the adversarial loss."""
        return {}


def merged(*several: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """All loss terms in one dict. Raises `UsageError` if two have one name, since one would be lost."""
    union: dict[str, Tensor] = {}
    for terms in several:
        if twice := sorted(set(union) & set(terms)):
            raise UsageError(f"two loss terms are called {twice[0]!r}; a regularizer must name its own")
        union |= terms
    return union
