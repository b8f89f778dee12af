"""`train`: a GAN from scratch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gantl_zoo.data import ImageData
from gantl_zoo.model.gan import GAN
from gantl_zoo.runs.execute import execute, folder_of
from gantl_zoo.runs.prepare import needed, to_train
from gantl_zoo.runs.resume import continue_run


def train(
    generator: str | None = None,
    *,
    data: str | Path | ImageData | None = None,
    discriminator: str | None = None,
    generator_config: dict[str, Any] | None = None,
    discriminator_config: dict[str, Any] | None = None,
    resume: str | Path | None = None,
    out: str | Path = "runs",
    quiet: bool = True,
    **settings: Any,
) -> GAN:
    """Train a GAN from scratch on `data`; returns the best model by the first metric.

    `conditional` models know the classes of the data and make images of the one that is asked for.
    `settings` are those of `Recipe` (steps, batch, seed, loss, aug, …), of the data (image_size, channels,
    conditional, data_root, shots, data_seed) and of the metrics (metrics, samples, extractor). `resume`
    continues a run folder, which knows all that; what is said beside it must be the same, and `out` has no
    meaning. The generator is "dcgan" where none is named.

    Raises `UnknownNameError`, `UsageError` and `DataError` for what can't be trained, before a folder is
    made; `TrainingError` if a run can't be written or resumed; `Stopped`, which says how to go on, after
    Ctrl-C.
    """
    settings |= {"data": data, "discriminator": discriminator}
    settings |= {"generator_config": generator_config, "discriminator_config": discriminator_config}
    if resume is not None:
        return continue_run(resume, quiet, name=generator, **settings)
    ready = to_train(generator or "dcgan", **settings | {"data": needed("data", data)})
    folder = folder_of(ready.job, out, f"{ready.job.name}-{ready.images.name}", quiet)
    return execute(ready.job, folder, ready.images, ready.gan)
