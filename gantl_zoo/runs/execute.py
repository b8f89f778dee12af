"""One run, from its first step or from where it stopped, to its best model."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from gantl_zoo.data import ImageData
from gantl_zoo.errors import DataError, UsageError
from gantl_zoo.model.gan import GAN, load_gan
from gantl_zoo.runs.folder import RunFolder
from gantl_zoo.runs.job import Job
from gantl_zoo.runs.monitor import collapse_watch, held_out_of, judge_of
from gantl_zoo.runs.prepare import begun
from gantl_zoo.runs.recorder import RunRecorder
from gantl_zoo.strategy.base import TransferStrategy
from gantl_zoo.strategy.combine import build_strategy
from gantl_zoo.training import engine
from gantl_zoo.training.callback import Callback, check_callbacks
from gantl_zoo.training.modes import training_modes
from gantl_zoo.training.observer import Observer
from gantl_zoo.training.recipe import Recipe
from gantl_zoo.training.setup import ANYWAY, set_up
from gantl_zoo.training.trainer import Trainer
from gantl_zoo.viz.grid import grid, save_picture


def execute(
    job: Job,
    folder: RunFolder,
    images: ImageData,
    gan: GAN | None = None,
    strategy: TransferStrategy | None = None,
    *,
    resume: bool = False,
    callbacks: Sequence[Callback] = (),
) -> GAN:
    """Train what `job` describes in `folder`, and return the best model. The same in every process; the main
    one calls `callbacks`.
    """
    machine = engine_of(job)
    with training_modes(), machine.applied():
        return perform(
            job, folder, images, gan, strategy, resume=resume, callbacks=callbacks, machine=machine
        )


def perform(
    job: Job,
    folder: RunFolder,
    images: ImageData,
    gan: GAN | None,
    strategy: TransferStrategy | None,
    *,
    resume: bool,
    callbacks: Sequence[Callback],
    machine: engine.Engine,
) -> GAN:
    """`execute` with the engine that is held while it runs."""
    recipe = Recipe.from_settings(job.recipe)
    main, from_main = machine.processes.main, machine.processes.from_main
    folder = folder if main else RunFolder(folder.path, mute=True)
    if from_main(lambda: images.fingerprint) != images.fingerprint:
        raise DataError(f"process {machine.processes.rank} has other images than the main one: {job.data}")
    gan = begun(job, folder, images, trainable(gan))
    strategy = strategy or build_strategy(job.strategy, job.strategy_config)
    with folder.begin(resume):
        check_callbacks(callbacks)
        trainer = Trainer(set_up(gan, strategy, images, recipe.seed), images, recipe, machine)
    folder.log(f"engine: {machine}")
    folder.log(learning(trainer))
    looks_on = Observer()
    if main:
        if not resume:
            save_picture(grid(images.images[:64]), folder.path / "reals.png")
        looks_on = recorder_of(job, folder, images, trainer)
    with folder.begin(resume, UsageError), looks_on:  # some strategies refuse each other at their first step
        trainer.run(looks_on, folder.path, resume, callbacks)
        looks_on.finish()
    return from_main(lambda: load_gan(folder.path / "model"))


def trainable(gan: GAN | None) -> GAN | None:
    """The GAN, or a copy if its tensors were made under `torch.inference_mode()` and can't learn."""
    if gan is None or not any(p.is_inference() for n in gan.networks().values() for p in n.parameters()):
        return gan
    return copy.deepcopy(gan)


def recorder_of(job: Job, folder: RunFolder, images: ImageData, trainer: Trainer) -> RunRecorder:
    """What records the run in the main process."""
    held_out = held_out_of(job, folder, images)
    judge = judge_of(job, folder, images, held_out)
    networks = [*trainer.networks.values(), *trainer.plan.modules.values()]
    if judge and (said := judge.overlap_warning(networks)):
        folder.log(said)
    return RunRecorder(folder, trainer.recipe, judge, collapse_watch(job, images, held_out), job.verb)


def engine_of(job: Job) -> engine.Engine:
    """Where and how the job computes."""
    return engine.choose(job.recipe["device"], job.recipe["precision"], job.recipe["engine_config"])


def folder_of(job: Job, out: str | Path, name: str, quiet: bool) -> RunFolder:
    """A new run folder, made by the main process, known to all."""
    return engine_of(job).processes.from_main(lambda: RunFolder.create(out, name, asdict(job), quiet))


def learning(trainer: Trainer) -> str:
    """What learns, in one line; what a strategy moves itself, at a rate of 0, doesn't count."""
    said = []
    for role, network in trainer.networks.items():
        sizes = {id(p): p.numel() for p in network.parameters()}
        total = sum(sizes.values())
        groups = [g for g in trainer.plan.groups.get(role, []) if g.active and g.lr_multiplier]
        parameters = [p for group in groups for p in group.parameters]
        own = sum(p.numel() for p in parameters if id(p) not in sizes)
        learn = sum(sizes.get(id(p), 0) for p in parameters)
        beside = f" and {own:,} of the strategy's own" if own else ""
        said.append(f"{role} {learn:,} of {total:,} parameters{beside} learn")
    if trainer.setup.unfrozen:
        said.append(ANYWAY.format(trainer.setup.unfrozen))
    return "plan: " + "; ".join(said)
