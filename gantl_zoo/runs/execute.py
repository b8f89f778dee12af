"""Execute a prepared run, from its first step or from a checkpoint. Returns the model that it keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from gantl_zoo.errors import DataError, UsageError
from gantl_zoo.model.gan import GAN, load_gan
from gantl_zoo.runs.command import command_line
from gantl_zoo.runs.folder import RunFolder
from gantl_zoo.runs.monitor import health_monitor
from gantl_zoo.runs.prepared import Prepared
from gantl_zoo.runs.recorder import RunRecorder
from gantl_zoo.runs.spec import note_on
from gantl_zoo.surgery.matching import summary
from gantl_zoo.training.callback import Callback, check_callbacks
from gantl_zoo.training.checkpoint import newest
from gantl_zoo.training.losses import build_loss, chance_level
from gantl_zoo.training.modes import training_modes
from gantl_zoo.training.observer import Observer
from gantl_zoo.training.processor import machine
from gantl_zoo.training.setup import ANYWAY, Setup
from gantl_zoo.training.trainer import Trainer
from gantl_zoo.viz.grid import grid, save_picture


def folder_of(run: Prepared, out: str | Path, name: str, quiet: bool) -> RunFolder:
    """Create a new run folder in the main process. Returns it in all processes."""
    config = run.job.to_config()
    return run.engine.processes.from_main(lambda: RunFolder.create(out, name, config, quiet))


def execute(
    run: Prepared,
    folder: RunFolder,
    *,
    resume: bool = False,
    callbacks: Sequence[Callback] = (),
    report: bool = True,
) -> GAN:
    """Train in `folder`, and return the kept model.

    All processes return the same model; only the main process calls `callbacks` and writes a `report`.
    """
    with training_modes(), run.engine.applied():
        return _execute(run, folder, resume, callbacks, report)


def _execute(
    run: Prepared, folder: RunFolder, resume: bool, callbacks: Sequence[Callback], report: bool
) -> GAN:
    processes, images = run.engine.processes, run.data.train
    folder = folder if processes.main else RunFolder(folder.path, mute=True)
    if processes.from_main(lambda: images.fingerprint) != images.fingerprint:
        raise DataError(f"process {processes.rank} has other images than the main process: {run.job.data}")
    gan = described(run, folder)
    setup = replace(run.setup, gan=gan)
    if run.why:
        folder.log(run.why)
    if "fitted" in gan.about:
        folder.log(summary(gan.about["fitted"]))
    with folder.begin(resume):
        check_callbacks(callbacks)
        cost = "" if resume else str(run.estimate())
        trainer = Trainer(setup, images, run.job.recipe, run.engine)
    if note := note_on(images):
        folder.log(note)
    folder.log(f"engine: {run.engine}")
    folder.log(plan_line(setup))
    if cost:
        folder.log(f"estimate: {cost}")
    if resume and newest(folder.path, run.job.recipe.steps) == run.job.recipe.steps:
        folder.log(f"this run had finished its {run.job.recipe.steps:,} steps: nothing is trained")
    observer = recorder_of(run, setup, folder, resume, report) if processes.main else Observer()
    with folder.begin(resume, UsageError), observer:  # some combinations of strategies fail at the first step
        trainer.run(observer, folder.path, resume, callbacks)
        observer.finish()
    return processes.from_main(lambda: load_gan(folder.path / "model"))


def described(run: Prepared, folder: RunFolder) -> GAN:
    """The GAN with the run's name, lineage and recipe."""
    job, gan, images = run.job, run.setup.gan, run.data.train
    named = {"classes": list(images.classes)} if gan.num_classes else {}
    training = {**asdict(job.recipe), "command": command_line(job)} | named
    training |= {"preset": job.preset} if job.preset else {}
    training |= {"backbones": sorted(run.monitor.backbones)} if run.monitor.backbones else {}
    about = {"lineage": job.lineage(gan, images), "training": training}
    about |= {"fitted": gan.about["fitted"]} if "fitted" in gan.about else {}
    return replace(gan, name=job.title or folder.path.name, about=about)


def recorder_of(run: Prepared, setup: Setup, folder: RunFolder, resume: bool, report: bool) -> RunRecorder:
    """The recorder that writes the run's statistics, pictures and the kept model."""
    job, images, monitor = run.job, run.data.train, run.monitor
    if not resume:
        save_picture(grid(images.images[:64]), folder.path / "reals.png")
        folder.write("setup.json", facts(run, setup))
    if monitor.note:
        folder.log(monitor.note)
    if monitor.evaluator:
        for note in monitor.evaluator.notes(monitor.backbones) + monitor.evaluator.evaluator.notes():
            folder.log(note)
    health = health_monitor(job, images, monitor.held_out)
    return RunRecorder(folder, job.recipe, monitor.evaluator, health, job.verb, report)


def facts(run: Prepared, setup: Setup) -> dict[str, Any]:
    """What setup.json keeps: what the run starts from, as numbers that a diagnosis needs.

    `trained` has for each network how many of its parameters are trained, and how many it has. `chance` is
    the discriminator's loss if it can't tell real images from fakes.
    """
    images, held_out = run.data.train, run.monitor.held_out
    counts = {role: count_trained(setup, role) for role in setup.networks}
    recipe = run.job.recipe
    return {
        "image_shape": list(images.shape),
        "images": len(images),
        "held_out": 0 if held_out is None else len(held_out),
        "trained": {role: [trained + own, total + own] for role, (trained, own, total) in counts.items()},
        "chance": chance_level(build_loss(recipe.loss, recipe.loss_config)),
        "engine": str(run.engine),
        "machine": machine(),
    }


def count_trained(setup: Setup, role: str) -> tuple[int, int, int]:
    """How many parameters of a network are trained, how many of the strategy, and how many the network has.

    Without those that a strategy updates itself (rate 0).
    """
    sizes = {id(p): p.numel() for p in setup.networks[role].parameters()}
    groups = [g for g in setup.plan.groups.get(role, []) if g.active and g.lr_multiplier]
    parameters = [p for group in groups for p in group.parameters]
    own = sum(p.numel() for p in parameters if id(p) not in sizes)
    return sum(sizes.get(id(p), 0) for p in parameters), own, sum(sizes.values())


def plan_line(setup: Setup) -> str:
    """One line on which parameters are trained."""
    parts = []
    for role in setup.networks:
        trained, own, total = count_trained(setup, role)
        added = f" and {own:,} of the strategy" if own else ""
        parts.append(f"{role} {trained:,} of {total:,} parameters{added} are trained")
    if setup.unfrozen:
        parts.append(ANYWAY.format(setup.unfrozen))
    return "plan: " + "; ".join(parts)
