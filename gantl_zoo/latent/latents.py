"""`Latents`: latents of one model in a file, such as those of projected images.

N latents, Z latent size, L layers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gantl_zoo.errors import UsageError, WeightsError
from gantl_zoo.latent.files import read, write
from gantl_zoo.latent.space import is_mapped
from gantl_zoo.model.gan import GAN

KIND = "latents"
SPACES = ("z", "w", "w+")


@dataclass(frozen=True, eq=False)
class Latents:
    """Latents (N, Z) of the space "z", the noise, or (N, ...) of the space of `GAN.map`.

    The latter is "w", or "w+" if the latents of the layers differ. `labels` (N,) are the classes for latents
    in Z of a class-conditional model. `about` has the model's name and digest.
    """

    tensor: Tensor
    space: str = "z"
    labels: Tensor | None = None
    about: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.tensor)

    def save(self, path: str | Path) -> Path:
        """Write a safetensors file; returns its path. Raises `DataError`."""
        tensors = {"latents": self.tensor}
        if self.labels is not None:
            tensors["labels"] = self.labels
        return write(path, KIND, tensors, {**self.about, "space": self.space})

    @classmethod
    def load(cls, path: str | Path) -> Latents:
        """Read a file of `save`. Raises `WeightsError`."""
        tensors, about = read(path, KIND)
        latents, labels, space = tensors.get("latents"), tensors.get("labels"), about.get("space")
        if latents is None or latents.ndim < 2 or not len(latents) or space not in SPACES:
            raise WeightsError(f"{path} must have latents (N, …) in one of the spaces {', '.join(SPACES)}")
        if labels is not None and labels.shape != latents.shape[:1]:
            raise WeightsError(f"{path} must have a label for each of its {len(latents)} latents")
        rest = {key: value for key, value in about.items() if key not in ("kind", "space")}
        return cls(latents, str(space), None if labels is None else labels.round().long(), rest)

    def images(self, gan: GAN, labels: Any = None, **settings: Any) -> Tensor:
        """The images (N, C, H, W) of the latents; see `GAN.decode`. `labels` replace those of the file.

        Raises `UsageError` if they are latents of another kind of model.
        """
        inner = self.space != "z"
        if inner and not is_mapped(gan):
            raise UsageError(f"these latents are in {self.space}, a space that {gan.name} does not have")
        if inner:
            shape = gan.map(torch.zeros(1, gan.latent_dim), 0 if gan.num_classes else None).shape[1:]
            if self.tensor.shape[1:] != shape:
                raise UsageError(
                    f"{gan.name} needs latents (N, {', '.join(map(str, shape))}) in {self.space}, not "
                    f"{tuple(self.tensor.shape)}"
                )
            if labels is not None:
                raise UsageError(f"latents in {self.space} contain the class: give no labels for them")
            return gan.decode(self.tensor, mapped=True, **settings)
        chosen = self.labels if labels is None and gan.num_classes else labels
        return gan.decode(self.tensor, chosen, **settings)
