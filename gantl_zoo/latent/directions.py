"""`Directions`: moves in the latent space that change images in one way each.

K directions, D size of a latent, L layers of a network with a latent for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gantl_zoo.errors import UsageError, WeightsError, unknown
from gantl_zoo.latent import ganspace, sefa
from gantl_zoo.latent.files import read, write
from gantl_zoo.latent.space import centred, in_one_layer, mapped, random_points, space_of
from gantl_zoo.model.gan import GAN
from gantl_zoo.model.sampling import whole, whole_numbers
from gantl_zoo.networks.base import digest

KIND = "directions"
COUNT = 10
SAMPLES = 10_000  # random latents of which the spread along a direction is computed

# each returns K unit vectors (K, D) and the share of each, largest first
Method = Callable[..., tuple[Tensor, Tensor]]
METHODS: dict[str, Method] = {"sefa": sefa.find, "ganspace": ganspace.find}


@dataclass(frozen=True, eq=False, repr=False)
class Directions:
    """K directions in the space of `GAN.map`: `vectors` (K, D), or (K, L, D) with a latent for each layer.

    A step of strength 1 is one standard deviation of random latents along the direction. `values` (K,) are
    what the method sorts by, as shares of the whole. `about` has the method, the model's name and digest, the
    space and the layers.
    """

    vectors: Tensor
    values: Tensor
    about: dict[str, Any]

    def __len__(self) -> int:
        return len(self.vectors)

    def __getitem__(self, index: int) -> Tensor:
        """The direction of that number, for `gan.generate(direction=…)`."""
        number = whole("a direction", index)
        if not -len(self) <= number < len(self):
            raise IndexError(f"direction {number} is not one of {len(self)}; the first one is 0")
        return self.vectors[number]

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self.vectors)

    def __repr__(self) -> str:
        method, model = self.about.get("method"), self.about.get("model")
        return f"Directions({len(self)} of {model!r} by {method}, shape {tuple(self.vectors.shape[1:])})"

    def save(self, path: str | Path) -> Path:
        """Write a safetensors file; returns its path. Raises `DataError`."""
        return write(path, KIND, {"vectors": self.vectors, "values": self.values}, self.about)

    @classmethod
    def load(cls, path: str | Path) -> Directions:
        """Read a file of `save`. Raises `WeightsError`."""
        tensors, about = read(path, KIND)
        vectors, values = tensors.get("vectors"), tensors.get("values")
        if vectors is None or values is None or vectors.ndim not in (2, 3) or len(vectors) != len(values):
            raise WeightsError(f"{path} must have vectors (K, D) or (K, L, D), and values (K,)")
        return cls(vectors, values, {key: value for key, value in about.items() if key != "kind"})

    def fits(self, gan: GAN) -> bool:
        """Whether these are directions of exactly this generator. Those of its source may work as well."""
        return bool(self.about.get("digest") == digest(gan.generator.state_dict()))


def find_directions(
    gan: GAN,
    method: str = "sefa",
    *,
    count: int | None = None,
    layers: Sequence[int] | None = None,
    samples: int = SAMPLES,
    seed: int = 0,
) -> Directions:
    """Find directions by "sefa" (Shen & Zhou 2021, https://arxiv.org/abs/2007.06600) or "ganspace" (Härkönen
    et al. 2020, https://arxiv.org/abs/2004.02546).

    `count` is 10 by default, or the size of a smaller latent. `layers` restricts them to some layers, where
    each layer has a latent of its own: both what they are computed from and what they change. Raises
    `UsageError`.
    """
    if method not in METHODS:
        raise UsageError(unknown("method", method, METHODS))
    size = mapped(gan, *zero(gan)).shape[1:]
    chosen = checked_layers(gan, layers, size[0] if len(size) == 2 else 0)
    count = min(COUNT, size[-1]) if count is None else whole("count", count)
    if not 1 <= count <= size[-1]:
        raise UsageError(f"count must be from 1 to {size[-1]}, the size of a latent, not {count}")
    if whole("samples", samples) < 2 * size[-1]:
        raise UsageError(
            f"samples must be at least {2 * size[-1]}, twice the size of a latent, not {samples}"
        )
    vectors, values = METHODS[method](gan, count=count, layers=chosen, samples=samples, seed=seed)
    vectors = signed(vectors) * spread(gan, vectors, samples, seed)[:, None]
    if len(size) == 2:  # a latent for each layer: (K, D) -> (K, L, D)
        inside = torch.zeros(size[0], 1)
        inside[chosen or []] = 1
        vectors = vectors[:, None] * inside
    about: dict[str, Any] = {
        "method": method,
        "model": gan.name,
        "digest": digest(gan.generator.state_dict()),
    }
    about |= {"space": space_of(gan, None), "layers": chosen}
    return Directions(vectors.contiguous(), values, about)


def zero(gan: GAN) -> tuple[Tensor, Tensor | None]:
    """One latent, and a label for a class-conditional model: to learn the shape of `map`."""
    return torch.zeros(1, gan.latent_dim), torch.zeros(1, dtype=torch.long) if gan.num_classes else None


def checked_layers(gan: GAN, layers: Sequence[int] | None, count: int) -> list[int] | None:
    """The numbers of the layers, all by default; None for a network with one latent for all layers.

    Raises `UsageError` for a layer that does not exist.
    """
    if layers is None:
        return list(range(count)) if count else None
    numbers = sorted(set(whole_numbers("layer", layers)))
    if not count:
        raise UsageError(f"{gan.name} has one latent for all layers, so its layers can't be chosen")
    if not numbers or numbers[0] < 0 or numbers[-1] >= count:
        raise UsageError(f"the layers of {gan.name} are 0 to {count - 1}; choose at least one of them")
    return numbers


def signed(vectors: Tensor) -> Tensor:
    """The vectors (K, D), with a positive largest component: their signs are arbitrary otherwise."""
    largest = vectors.gather(1, vectors.abs().argmax(1, keepdim=True))  # (K, 1)
    return torch.where(largest < 0, -vectors, vectors)


def spread(gan: GAN, vectors: Tensor, samples: int, seed: int) -> Tensor:
    """The standard deviation (K,) of random latents along unit vectors (K, D): about 1 in Z, in W around the
    mean of each class.
    """
    if space_of(gan, None) == "z":
        return torch.ones(len(vectors))
    drawn = random_points(gan, samples, seed)
    return (centred(in_one_layer(drawn), drawn.classes) @ vectors.T).std(0)
