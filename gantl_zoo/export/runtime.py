"""Run an exported ONNX file with NumPy and onnxruntime. Imports no torch.

The same seeds give the same images as the model that was exported, to 1e-4.

N images, C channels, H, W image size, Z latent size, L classes. Images are floats in [-1, 1].
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gantl_zoo.errors import ExportError, UnknownNameError, UsageError
from gantl_zoo.export.metadata import IMAGES, LABELS, LATENTS, TRUNCATION, read
from gantl_zoo.export.noise import normal
from gantl_zoo.export.session import Session
from gantl_zoo.model.seeds import (
    batch_size_of,
    check_count,
    class_numbers,
    known_labels,
    scale,
    seeds_of,
)
from gantl_zoo.model.stream import Streams
from gantl_zoo.pixels import Array
from gantl_zoo.viz.images import Images

SUFFIX = ".onnx"


class OnnxModel:
    """An exported file, with its metadata."""

    def __init__(self, session: Session, facts: dict[str, Any], file: Path) -> None:
        self._session, self.metadata, self.file = session, facts, file

    @property
    def name(self) -> str:
        """The name of the model that was exported."""
        return str(self.metadata["name"])

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        channels, height, width = self.metadata["image"]
        return channels, height, width

    @property
    def classes(self) -> list[str]:
        """The names of the classes in order, or their numbers."""
        return list(self.metadata["classes"])

    @property
    def num_classes(self) -> int:
        """The number of classes; 0 for an unconditional GAN."""
        return len(self.metadata["classes"])

    @property
    def license(self) -> str:
        """The id of the model's licence, or ""."""
        return str(self.metadata.get("license") or "")

    @property
    def lineage(self) -> dict[str, Any]:
        """The origin of the model."""
        return dict(self.metadata.get("lineage") or {})

    def summary(self) -> str:
        """The part of `repr` after the name."""
        kind = f", {self.num_classes} classes" if self.num_classes else ""
        smaller = f", {self.metadata['quantize']}" if self.metadata.get("quantize") else ""
        return f"{'×'.join(map(str, self.image_shape))}{kind}{smaller}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}: {self.summary()}, {self.file})"


class OnnxGAN(Streams, OnnxModel):
    """The generator of an exported GAN. Its methods are those of `GAN`, with arrays in the place of tensors.

    None of them changes it, so threads may share it.
    """

    @property
    def latent_dim(self) -> int:
        """The size Z of a latent."""
        return int(self.metadata["latent_dim"])

    @property
    def has_mapping(self) -> bool:
        """Whether the generator has an intermediate latent space."""
        return TRUNCATION in self._session.inputs

    def generate(
        self,
        n: int | None = None,
        *,
        seed: int | None = None,
        seeds: Iterable[int] | None = None,
        truncation: float = 1.0,
        labels: int | Iterable[int] | None = None,
        batch_size: int | None = None,
    ) -> Array:
        """Generate images (n, C, H, W), float32, of seeds `seed`, `seed` + 1, …, or of `seeds`.

        The arguments are those of `GAN.generate`. Raises `UsageError`.
        """
        numbers, known = self.requested(n, seed, seeds, labels)
        latents = normal(numbers, self.latent_dim)
        return self.decode(latents, known, truncation=truncation, batch_size=batch_size)

    def sample(
        self,
        n: int | None = None,
        *,
        seed: int | None = None,
        seeds: Iterable[int] | None = None,
        truncation: float = 1.0,
        labels: int | Iterable[int] | None = None,
        batch_size: int | None = None,
    ) -> Images:
        """Generate `Images`, a sequence of PIL images with `save` and `show`; see `generate`."""
        numbers, known = self.requested(n, seed, seeds, labels)
        array = self.generate(seeds=numbers, truncation=truncation, labels=known, batch_size=batch_size)
        return Images(array, seeds=numbers, labels=known)

    def decode(
        self,
        latents: Any,
        labels: int | Iterable[int] | None = None,
        *,
        truncation: float = 1.0,
        batch_size: int | None = None,
    ) -> Array:
        """Generate images (N, C, H, W), float32, of latents (N, Z). Raises `UsageError`.

        A class-conditional model needs `labels` (N,), or one label for all images.
        """
        noise = self.check_latents(latents)
        known = known_labels(self.name, self.classes, labels, len(noise))
        inner = self.has_mapping
        psi, size = scale(truncation, inner=inner), batch_size_of(batch_size)
        images = np.empty((len(noise), *self.image_shape), np.float32)
        for start in range(0, len(noise), size):
            count = min(size, len(noise) - start)
            # a last, smaller batch is padded, since the last bits may depend on the batch size
            gap = size - count if batch_size is None else 0
            rows = np.pad(noise[start : start + count], ((0, gap), (0, 0)))
            inputs = {LATENTS: rows if inner else rows * np.float32(psi)}
            if inner:
                inputs[TRUNCATION] = np.array(psi, np.float32)
            if known is not None:
                chosen = np.array(known[start : start + count], np.int64)
                inputs[LABELS] = np.pad(chosen, (0, gap))
            images[start : start + count] = self._session(inputs)[:count]
        return images

    def check_latents(self, latents: Any) -> Array:
        """Convert latents to an array (N, Z), float32. Raises `UsageError` if they have another shape."""
        try:
            noise = np.asarray(latents, np.float32)
        except (TypeError, ValueError):
            raise UsageError(f"latents must be an array of numbers, not {str(latents)[:80]!r}") from None
        if noise.ndim != 2 or noise.shape[1] != self.latent_dim:
            raise UsageError(
                f"{self.name} needs latents (N, {self.latent_dim}), not an array {tuple(noise.shape)}"
            )
        return noise

    def requested(self, n: Any, seed: Any, seeds: Any, labels: Any) -> tuple[Sequence[int], list[int] | None]:
        """The seeds, and the labels of a class-conditional model, else None. Raises `UsageError`."""
        numbers = seeds_of(n, seed, seeds)
        check_count(len(numbers), self.image_shape)
        if labels is None and self.num_classes:
            labels = class_numbers(numbers, self.num_classes)
        return numbers, known_labels(self.name, self.classes, labels, len(numbers))

    def summary(self) -> str:
        return f"{super().summary()}, latent {self.latent_dim}"


class OnnxClassifier(OnnxModel):
    """An exported classifier."""

    def __call__(self, images: Any) -> Array:
        """Logits (N, L) of images (N, C, H, W), floats in [-1, 1]. Raises `UsageError`."""
        array = np.asarray(images)
        if array.ndim != 4 or array.shape[1:] != self.image_shape or array.dtype.kind != "f":
            raise UsageError(
                f"{self.name} needs images (N, {', '.join(map(str, self.image_shape))}), floats in [-1, 1], "
                f"not an array {tuple(array.shape)} of {array.dtype}"
            )
        return self._session({IMAGES: array.astype(np.float32)})


def runtime(file: str | Path, *, device: str = "cpu", threads: int | None = None) -> OnnxGAN | OnnxClassifier:
    """Load a file of `gantl-zoo export`, or of `GAN.export`, without torch.

    `device` is "cpu", "cuda" (with onnxruntime-gpu) or "auto". `threads` is the number of threads of an
    operation; the default is one for each core. Raises `UnknownNameError` if the file does not exist,
    `ExportError` if it was not written by an export, and `UsageError` for a device that can't be used.
    """
    path = Path(os.path.expanduser(file))
    if not path.is_file():
        raise UnknownNameError(f"there is no file {path}; gantl-zoo export NAME --to FOLDER writes one")
    session = Session(path, device, threads)
    facts = read(session.metadata, str(path))
    check_inputs(session, facts, path)
    kind = OnnxClassifier if facts["part"] == "classifier" else OnnxGAN
    return kind(session, facts, path)


def check_inputs(session: Session, facts: dict[str, Any], path: Path) -> None:
    """Raise unless the file takes and gives what its metadata states."""
    if facts["part"] not in ("generator", "classifier"):
        raise UsageError(
            f"{path} is the {facts['part']} network of {facts['name']}, half of a generator; give the file "
            "of the whole generator, or run both halves with onnxruntime"
        )
    if facts["part"] == "classifier":
        expected = {IMAGES: facts["image"]}
    else:
        expected = {LATENTS: [facts["latent_dim"]], **({LABELS: []} if facts["classes"] else {})}
        expected |= {TRUNCATION: None} if TRUNCATION in session.inputs else {}
    actual = {name: None if name == TRUNCATION else shape[1:] for name, shape in session.inputs.items()}
    outputs = [shape[1:] for shape in session.outputs.values()]
    if (
        actual != expected
        or len(outputs) != 1
        or (facts["part"] == "generator" and outputs != [facts["image"]])
    ):
        raise ExportError(
            f"{path}: its inputs or outputs are not those of its metadata; export the model again"
        )


def is_file(name: str | Path) -> bool:
    """Whether a name is that of an exported file, by its suffix."""
    return str(name).lower().endswith(SUFFIX)
