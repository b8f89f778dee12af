"""`train`, `transfer`, `evaluate` as people call them: data, plan, loop, metrics and the run folder."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

from gantl_zoo.data import ImageData
from gantl_zoo.model.gan import GAN
from gantl_zoo.runs.compare import compare
from gantl_zoo.runs.execute import execute, folder_of
from gantl_zoo.runs.prepare import needed, to_transfer
from gantl_zoo.runs.resume import continue_run
from gantl_zoo.strategy.base import TransferStrategy


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
    (`gantl_zoo.surgery.fit`); log and lineage tell which tensor came from where, and what the source could
    not teach learns whatever the strategy says. The model knows classes if its source does, or as
    `conditional` says. The strategy is "full" where none is named; "auto" looks at the images and chooses one
    (`gantl_zoo.strategy.auto`). `compare_scratch` trains the same budget from scratch beside it and tells who
    won (a picture alone of images in memory, or without metrics).
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


def _short(name: str) -> str:
    """A model's own name: without user, folder, revision and the number of its run."""
    own = Path(name if Path(name).exists() else name.partition("@")[0]).name
    return re.sub(r"^\d{5,}-(?=.)", "", own)
