"""`train`, `transfer`, `evaluate` as people call them: data, plan, loop, metrics and the run folder."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gantl_zoo.compare import compare
from gantl_zoo.data import ImageData
from gantl_zoo.errors import DataError, UsageError
from gantl_zoo.execute import execute, folder_of
from gantl_zoo.gan import GAN
from gantl_zoo.job import check_samples
from gantl_zoo.judge import make_judge
from gantl_zoo.metrics.report import Report
from gantl_zoo.metrics.seen import Progress, plain
from gantl_zoo.metrics.table import AUTO, named
from gantl_zoo.ready import to_train, to_transfer
from gantl_zoo.resume import continue_run
from gantl_zoo.training import engine
from gantl_zoo.transfer.strategy import TransferStrategy
from gantl_zoo.zoo import gan_named


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


def transfer(
    source: str | Path | GAN | None = None,
    *,
    data: str | Path | ImageData | None = None,
    strategy: str | TransferStrategy | None = None,
    strategy_config: dict[str, Any] | None = None,
    compare_scratch: bool = False,
    resume: str | Path | None = None,
    out: str | Path = "runs",
    quiet: bool = True,
    **settings: Any,
) -> GAN:
    """Adapt `source` to `data` with a strategy; returns the best model by the first metric.

    Images are resized to the source's size, or to `image_size`. A source that makes images of another size,
    channel count or number of classes, or from latents of another size than `latent_dim`, is fitted to these
    (`gantl_zoo.transfer.adapt`); log and lineage tell which tensor came from where, and what the source could
    not teach learns whatever the strategy says. The model knows classes if its source does, or as
    `conditional` says. The strategy is "full" where none is named; "auto" looks at the images and chooses one
    (`gantl_zoo.advise`). `compare_scratch` trains the same budget from scratch beside it and tells who won (a
    picture alone of images in memory, or without metrics).
    `settings` as for `train`, and so are errors; `WeightsError` for a source that is not sound.
    """
    settings |= {"data": data, "strategy_config": strategy_config}
    if resume is not None:
        wishes = settings | {"strategy": strategy, "compare_scratch": compare_scratch or None}
        return continue_run(resume, quiet, name=source, **wishes)
    settings |= {"data": needed("data", data), "strategy": strategy or "full"}
    ready = to_transfer(needed("source", source), compare_scratch=compare_scratch, **settings)
    job, images = ready.job, ready.images
    folder = folder_of(job, out, f"{_short(job.name)}-{images.name}-{job.strategy}", quiet)
    if ready.why:
        folder.log(ready.why)
    result = execute(job, folder, images, copy.deepcopy(ready.gan), ready.strategy)
    if compare_scratch:
        compare(job, folder, images, ready.gan, result)
    return result


def evaluate(
    model: str | Path | GAN,
    *,
    data: str | Path | ImageData,
    metrics: str | Sequence[str] = AUTO,
    samples: int = 10_000,
    extractor: str = "auto",
    channels: int | None = None,
    data_root: str | Path | None = None,
    shots: int | None = None,
    data_seed: int = 0,
    progress: Progress = plain,
) -> Report:
    """Measure `samples` images of `model` against the held-out images of `data`.

    `metrics` are names, as a sequence or as in "fd,kd"; "auto" takes all that can be measured, except for
    "mifid" and "modes" (`gantl_zoo.metrics.table`); "none" is none. `shots` and `data_seed` say
    which images the model was trained on, where it memorises or not. Images in memory are what samples
    are compared with; nothing tells what was trained on, so there is no floor. Processes that a launcher
    started share the work, and all of them get the report. Raises `DataError` for images that don't fit the
    model or are too few, `UsageError` for an unknown metric or extractor.
    """
    check_samples(samples)
    gan = model if isinstance(model, GAN) else gan_named(model, discriminator=False)
    wanted, size, _ = gan.image_shape
    spec = {"source": data, "image_size": size, "channels": channels, "root": data_root}
    few = {"data_seed": data_seed} | ({} if shots is None else {"shots": shots})
    crew = engine.choose("cpu", "fp32", {}).processes  # and its allocator, which halves the time
    rest: dict[str, Any] = {"crew": crew if crew.count > 1 else None, "progress": progress}
    judge = make_judge(spec | few, extractor, named(metrics), samples, **rest)
    found = judge.evaluator.held_out.shape[0]
    if found != wanted:
        raise DataError(
            f"{gan.name} makes images with {wanted} channel(s), {judge.evaluator.held_out.name} has {found}; "
            f"convert the data with --channels {wanted}"
        )
    return judge(gan)


def needed(name: str, value: Any) -> Any:
    """The value. Raises `UsageError` if there is none, which only a run that goes on may do without."""
    if value is None:
        raise UsageError(f"{name} must be given; only with resume=RUN it is known")
    return value


def _short(name: str) -> str:
    """A model's own name: without user, folder, revision and the number of its run."""
    own = Path(name if Path(name).exists() else name.partition("@")[0]).name
    return re.sub(r"^\d{5}-(?=.)", "", own)
