"""`Sampler`: generate images by seed or by latent, as a tensor or as pictures.

N images, C channels, H, W image size, Z latent size. Images are floats in [-1, 1].
"""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gantl_zoo.errors import UsageError
from gantl_zoo.model.base import Model
from gantl_zoo.model.sampling import (
    CHUNK,
    batch_size_of,
    check_count,
    drawn_classes,
    factor,
    known_labels,
    latents,
    scale,
    seeds_of,
)
from gantl_zoo.model.stream import Streams
from gantl_zoo.networks import mapping
from gantl_zoo.networks.base import evaluating, num_classes_of
from gantl_zoo.viz.images import Images

SHOWN = 8  # samples in a notebook's view of a GAN
QUICK = (256, 50_000_000)  # largest image side and parameter count with samples in that view


class Sampler(Streams, Model):
    """A model with a generator of images.

    All methods compute in the weights' dtype on their device. `generate` and `decode` return float32 on the
    CPU; `map`, `truncate` and `synthesize` are differentiable and return tensors of that dtype on that
    device. None of them changes the model, so threads may share it. Only `generate` and `decode` clamp to
    [-1, 1], which matters for networks without a bounded last layer.
    """

    generator: Any

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        channels, height, width = self.generator.image_shape
        return channels, height, width

    @property
    def latent_dim(self) -> int:
        """The size Z of a latent."""
        return int(self.generator.latent_dim)

    @property
    def num_classes(self) -> int:
        """The number of classes that the generator is conditioned on; 0 if it is unconditional."""
        return num_classes_of(self.generator)

    @property
    def has_mapping(self) -> bool:
        """Whether the generator has an intermediate latent space."""
        return isinstance(self.generator, mapping.MappedGenerator)

    @property
    def main(self) -> nn.Module:
        """The network that samples: the generator."""
        network: nn.Module = self.generator
        return network

    def sample(
        self,
        n: int | None = None,
        *,
        seed: int | None = None,
        seeds: Iterable[int] | None = None,
        truncation: float = 1.0,
        labels: int | Iterable[int] | None = None,
        direction: Tensor | None = None,
        strength: float = 1.0,
        batch_size: int | None = None,
    ) -> Images:
        """Generate `Images`, a sequence of PIL images with `save` and `show`; see `generate`."""
        numbers, known = self._requested(n, seed, seeds, labels)
        moved: dict[str, Any] = {"direction": direction, "strength": strength}
        tensor = self.generate(
            seeds=numbers, truncation=truncation, labels=known, batch_size=batch_size, **moved
        )
        return Images(tensor, seeds=numbers, labels=None if known is None else known.tolist())

    def generate(
        self,
        n: int | None = None,
        *,
        seed: int | None = None,
        seeds: Iterable[int] | None = None,
        truncation: float = 1.0,
        labels: int | Iterable[int] | None = None,
        direction: Tensor | None = None,
        strength: float = 1.0,
        batch_size: int | None = None,
    ) -> Tensor:
        """Generate images (n, C, H, W), float32 on the CPU, of seeds `seed`, `seed` + 1, …, or of `seeds`.

        The default is one image of seed 0. `truncation` below 1 trades variety for typical images: in the
        intermediate latent space if the generator has one, else by scaling the noise. `labels` are the
        classes of a class-conditional model, or one class for all images; by default each seed has a fixed
        random class. `strength` times the `direction`, such as `directions[0]` of `gz.latent`, is added to
        the latents of `map`. The image of a seed does not depend on the others, unless `batch_size` is set:
        then this many images are computed at once, which is faster on a GPU, and the last bits may differ.

        Raises `UsageError` for numbers that are negative or not integers, for `seeds` together with `n` or
        `seed`, for classes that the model does not have, and for a direction of another shape.
        """
        numbers, known = self._requested(n, seed, seeds, labels)
        noise = latents(numbers, self.latent_dim)
        moved: dict[str, Any] = {"direction": direction, "strength": strength}
        return self.decode(noise, known, truncation=truncation, batch_size=batch_size, **moved)

    @torch.no_grad()
    def decode(
        self,
        noise: Tensor,
        labels: int | Iterable[int] | None = None,
        *,
        truncation: float = 1.0,
        direction: Tensor | None = None,
        strength: float = 1.0,
        mapped: bool = False,
        batch_size: int | None = None,
    ) -> Tensor:
        """Generate images (N, C, H, W) of noise (N, Z), float32 on the CPU.

        `mapped`: these are latents of `map` instead. A class-conditional model needs `labels` (N,), or one
        label for all images; intermediate latents contain the class already. See `generate` for the other
        arguments. Raises `UsageError`.
        """
        inner_space = self.has_mapping
        mapped, psi = mapped and inner_space, scale(truncation, inner=inner_space)
        noise = noise if mapped else self.check_latents(noise)
        known = self._labels_for(labels, len(noise), mapped)
        step = edit(direction, strength)
        size = batch_size_of(batch_size)
        images = torch.empty(len(noise), *self.image_shape, dtype=torch.float32)
        network = evaluating(self.generator)
        for start in range(0, len(noise), size):
            chunk = noise[start : start + size].to(self.device, self.dtype)
            chosen = None if known is None else known[start : start + size].to(self.device)
            if batch_size is None:
                chunk, chosen = padded(chunk, chosen)
            inner = chunk if mapped else mapping.map_noise(network, chunk, chosen)
            inner = added(mapping.truncate(network, inner, psi), step)
            batch = mapping.synthesize(network, inner, chosen)
            batch = batch[: len(images) - start].clamp(-1, 1)  # not all networks are bounded
            images[start : start + size] = batch.float().cpu()  # (size, C, H, W)
        return images

    def map(self, noise: Tensor, labels: int | Iterable[int] | None = None) -> Tensor:
        """Map noise (N, Z) to latents for `synthesize`. Differentiable, on the model's device.

        These are intermediate latents (N, ...) if the generator has such a space, else the noise itself.
        """
        noise = self.check_latents(noise)
        known = self.check_labels(labels, len(noise))
        known = None if known is None else known.to(self.device)
        return mapping.map_noise(evaluating(self.generator), noise.to(self.device, self.dtype), known)

    def truncate(self, latents: Tensor, psi: float) -> Tensor:
        """Move latents of `map` towards their mean: all the way for `psi` 0, not at all for 1."""
        psi = factor("psi", psi)
        return mapping.truncate(evaluating(self.generator), latents.to(self.device, self.dtype), psi)

    def synthesize(self, latents: Tensor, labels: int | Iterable[int] | None = None) -> Tensor:
        """Generate images (N, C, H, W) of latents from `map`, in one batch. Differentiable, in the weights'
        dtype, on the model's device.

        Without an intermediate latent space these are noise (N, Z), and a class-conditional generator needs
        `labels`; intermediate latents contain the class already. Raises `UsageError`.
        """
        network, mapped = evaluating(self.generator), self.has_mapping
        latents = latents if mapped else self.check_latents(latents)
        known = self._labels_for(labels, len(latents), mapped)
        known = None if known is None else known.to(self.device)
        return mapping.synthesize(network, latents.to(self.device, self.dtype), known)

    def check_latents(self, noise: Any) -> Tensor:
        """Convert noise to a tensor (N, Z). Raises `UsageError` if it is not of this model's latent size."""
        try:
            tensor = torch.as_tensor(noise)
        except (TypeError, ValueError, RuntimeError):
            raise UsageError(f"latents must be a tensor of numbers, not {str(noise)[:80]!r}") from None
        size, numbers = self.latent_dim, tensor.dtype != torch.bool and not tensor.is_complex()
        if tensor.ndim != 2 or tensor.shape[1] != size or not numbers:
            raise UsageError(
                f"{self.name} needs latents (N, {size}), since its latent_dim is {size}, not a tensor "
                f"{tuple(tensor.shape)} of {tensor.dtype}"
            )
        return tensor

    def check_labels(self, labels: Any, count: int) -> Tensor | None:
        """Convert labels to a tensor (`count`,); None for an unconditional model. Raises `UsageError`."""
        known = known_labels(self.name, self.classes if self.num_classes else (), labels, count)
        return None if known is None else torch.tensor(known, dtype=torch.long)

    def _labels_for(self, labels: Any, count: int, mapped: bool) -> Tensor | None:
        """The labels (`count`,) for noise, None for intermediate latents. Raises `UsageError`."""
        if not mapped:
            return self.check_labels(labels, count)
        if labels is not None:
            raise UsageError(
                f"intermediate latents of {self.name} contain the class, if it has classes: give no labels"
            )
        return None

    def _requested(self, n: Any, seed: Any, seeds: Any, labels: Any) -> tuple[Sequence[int], Tensor | None]:
        """The seeds, and labels (N,) for a class-conditional model, else None. Raises `UsageError`."""
        numbers = seeds_of(n, seed, seeds)
        check_count(len(numbers), self.image_shape)
        if labels is None and self.num_classes:
            labels = drawn_classes(numbers, self.num_classes)
        return numbers, self.check_labels(labels, len(numbers))

    def _repr_html_(self) -> str:
        """The view in a notebook: `repr`, and a few samples unless the model is large."""
        line, picture = html.escape(repr(self)), None
        try:
            if max(self.image_shape) <= QUICK[0] and self.num_parameters() <= QUICK[1]:
                classes = self.num_classes
                labels = [i % classes for i in range(SHOWN)] if classes else None
                picture = self.sample(SHOWN, seed=0, labels=labels, batch_size=SHOWN).preview(SHOWN)
        except Exception:  # a view must not break the notebook
            picture = None
        if not picture:
            return f"<code>{line}</code>"
        data = base64.b64encode(picture).decode()
        return (
            f'<code>{line}</code><br><img src="data:image/png;base64,{data}" alt="samples of seeds 0 to 7">'
        )


def padded(noise: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Pad the noise and labels of a last, smaller chunk with zeros to `CHUNK` rows."""
    gap = CHUNK - len(noise)
    noise = nn.functional.pad(noise, (0, 0) * (noise.ndim - 1) + (0, gap))
    return noise, None if labels is None else nn.functional.pad(labels, (0, gap))


def edit(direction: Any, strength: Any) -> Tensor | None:
    """`strength` times the direction; None without a direction. Raises `UsageError`."""
    amount = factor("strength", strength)
    if direction is None:
        if amount != 1:
            raise UsageError("strength is how far to move along a direction: give direction, too")
        return None
    if not isinstance(direction, Tensor) or not direction.is_floating_point():
        raise UsageError(
            f"a direction must be a tensor, such as directions[0], not {type(direction).__name__}"
        )
    if not direction.isfinite().all():
        raise UsageError("the direction has NaN or infinite values")
    return direction * amount


def added(latents: Tensor, step: Tensor | None) -> Tensor:
    """Latents (N, ...) of `map` plus `step`. Raises `UsageError` for a step of another shape."""
    if step is None:
        return latents
    if step.shape != latents.shape[1:]:
        raise UsageError(
            f"the direction has the shape {tuple(step.shape)}, but a latent of this model has "
            f"{tuple(latents.shape[1:])}; find directions of this model"
        )
    return latents + step.to(latents.device, latents.dtype)
