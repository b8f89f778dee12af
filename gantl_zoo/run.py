"""`train`, `transfer`, `evaluate` as people call them: data, plan, loop, metrics and the run folder."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from gantl_zoo.advise import advised
from gantl_zoo.data import ImageData
from gantl_zoo.data.grid import grid, save_picture
from gantl_zoo.errors import DataError, TrainingError, UsageError
from gantl_zoo.gan import GAN, build_gan, load_gan
from gantl_zoo.job import Job, classes_for, common, fitted_to, load
from gantl_zoo.judge import check_wishes, collapse_watch, held_out_of, judge_of, make_judge
from gantl_zoo.metrics.report import Report
from gantl_zoo.metrics.seen import Progress, plain
from gantl_zoo.metrics.table import AUTO, named
from gantl_zoo.training import chance, engine
from gantl_zoo.training.classes import check_classes
from gantl_zoo.training.folder import RunFolder
from gantl_zoo.training.loop import Trainer
from gantl_zoo.training.recipe import Recipe
from gantl_zoo.training.watch import Bystander, Watch
from gantl_zoo.transfer.adapt import summary
from gantl_zoo.transfer.combine import build_strategy
from gantl_zoo.transfer.strategy import TransferStrategy
from gantl_zoo.zoo import gan_named, pinned


def train(
    generator: str = "dcgan",
    *,
    data: str | Path | ImageData,
    discriminator: str | None = None,
    generator_config: dict[str, Any] | None = None,
    discriminator_config: dict[str, Any] | None = None,
    image_size: int | None = None,
    channels: int | None = None,
    conditional: bool | None = None,
    resume: str | Path | None = None,
    out: str | Path = "runs",
    quiet: bool = True,
    **settings: Any,
) -> GAN:
    """Train a GAN from scratch on `data`; returns the best model by the first metric.

    `conditional` models know the classes of the data and make images of the one that is asked for.
    `settings` are those of `Recipe` (steps, batch, seed, loss, aug, …), of the data (data_root, shots,
    data_seed) and of the metrics (metrics, samples, extractor). `resume` continues a run folder.
    """
    if resume is not None:
        return continue_run(resume, quiet, data=data)
    shared, images = common(data, image_size, channels, settings)
    kept_channels, kept_size, _ = images.shape
    made_for = {"image_size": kept_size, "channels": kept_channels}
    if count := classes_for(conditional, 0, images, generator):
        made_for["num_classes"] = count
    networks: dict[str, Any] = {
        "discriminator": discriminator,
        "generator_config": made_for | (generator_config or {}),
        "discriminator_config": discriminator_config or {},
    }
    job = Job(verb="train", name=generator, networks=networks, conditional=conditional, **shared)
    _check_networks(generator, networks, images)
    check_wishes(job, images)
    return run(job, _folder(job, out, f"{generator}-{images.name}", quiet), images)


def transfer(
    source: str | Path | GAN,
    *,
    data: str | Path | ImageData,
    strategy: str | TransferStrategy = "full",
    strategy_config: dict[str, Any] | None = None,
    image_size: int | None = None,
    channels: int | None = None,
    conditional: bool | None = None,
    compare_scratch: bool = False,
    resume: str | Path | None = None,
    out: str | Path = "runs",
    quiet: bool = True,
    **settings: Any,
) -> GAN:
    """Adapt `source` to `data` with a strategy; returns the best model by the first metric.

    Images are resized to the source's size, or to `image_size`. A source that makes images of another size,
    channel count or number of classes is fitted to these (`gantl_zoo.transfer.adapt`); log and lineage tell
    which tensor came from where. The model knows classes if its source does, or as `conditional` says.
    "auto" looks at the images and chooses the strategy (`gantl_zoo.advise`). `compare_scratch` trains the
    same budget from scratch beside it and tells who won. `settings` as for `train`.
    """
    if resume is not None:
        return continue_run(resume, quiet, name=source, data=data)
    gan = source if isinstance(source, GAN) else gan_named(source)
    shared, images = common(data, image_size or gan.image_shape[1], channels, settings)
    gan = fitted_to(images, gan, conditional, shared["recipe"]["seed"])
    config = strategy_config or {}
    chosen, method, why = _method(strategy, config, gan, images)
    name = gan.name if isinstance(source, GAN) else pinned(gan, str(source))
    kept: dict[str, Any] = {"strategy": chosen, "strategy_config": config, "conditional": conditional}
    job = Job(verb="transfer", name=name, **kept, **shared)
    check_wishes(job, images)
    folder = _folder(job, out, f"{_short(name)}-{images.name}-{chosen}", quiet)
    if why:
        folder.log(why)
    result = run(job, folder, images, copy.deepcopy(gan), method)
    if compare_scratch:
        _compare(job, folder, images, gan, result)
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
    which few images the model was trained on, where it memorises or not. Processes that a launcher started
    share the work, and all of them get the report.
    """
    if samples < 2:
        raise UsageError(f"samples must be at least 2, not {samples}")
    gan = model if isinstance(model, GAN) else gan_named(model, discriminator=False)
    wanted, size, _ = gan.image_shape
    spec = {"source": data, "image_size": size, "channels": channels, "root": data_root}
    few = {} if shots is None else {"shots": shots, "data_seed": data_seed}
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


def continue_run(
    path: str | Path, quiet: bool = True, *, name: str | Path | GAN = "", data: str | Path | ImageData = ""
) -> GAN:
    """Go on with the run in `path` from its newest checkpoint, as if it had never stopped.

    A model's name or data, if given, must be the run's own: another one would be a transfer.
    """
    folder, config = RunFolder.open(path, quiet)
    job = Job(**config | {"metrics": named(config["metrics"])})
    for given, own in ((name, job.name), (data, job.data["source"])):
        if given and str(given) not in (own, own.partition("@")[0]):
            raise UsageError(
                f"{path} is a run of {job.name} on {job.data['source']}, not of or on {given}: --resume "
                f"never means transfer; for that say gantl-zoo transfer {path} --data …, without --resume"
            )
    if job.data["fingerprint"] is None:
        raise TrainingError(f"{path} was given its images in memory; call train or transfer anew")
    images = load(job.data)
    if images.fingerprint != job.data["fingerprint"]:
        raise TrainingError(
            f"the data {job.data['source']} has changed since {path} began (fingerprint "
            f"{images.fingerprint}, then {job.data['fingerprint']}); restore it, or start a new run"
        )
    return run(job, folder, images, resume=True)


def run(
    job: Job,
    folder: RunFolder,
    images: ImageData,
    gan: GAN | None = None,
    strategy: TransferStrategy | None = None,
    *,
    resume: bool = False,
) -> GAN:
    """Train what `job` describes in `folder`, and return the best model. The same in every process."""
    recipe = Recipe.from_settings(job.recipe)
    machine = _engine(job)
    main, from_main = machine.processes.main, machine.processes.from_main
    folder = folder if main else RunFolder(folder.path, mute=True)
    if from_main(lambda: images.fingerprint) != images.fingerprint:
        raise DataError(f"process {machine.processes.rank} has other images than the main one: {job.data}")
    gan = _start(job, folder, images, gan)
    strategy = strategy or build_strategy(job.strategy, job.strategy_config)
    with folder.begin(resume):
        trainer = Trainer(gan, strategy, images, recipe, machine)
    folder.log(f"engine: {machine}")
    folder.log(_learning(trainer))
    looks_on: Watch | Bystander = Bystander()
    if main:
        if not resume:
            save_picture(grid(images.images[:64]), folder.path / "reals.png")
        held_out = held_out_of(job, folder)
        judge = judge_of(job, folder, images, held_out)
        if judge and (said := judge.flattered([*trainer.networks.values(), *trainer.plan.modules.values()])):
            folder.log(said)
        looks_on = Watch(folder, recipe, judge, collapse_watch(job, images, held_out), job.verb)
    with looks_on as watch:
        trainer.run(watch, folder.path, resume)
        watch.finish()
    return from_main(lambda: load_gan(folder.path / "model"))


def _compare(job: Job, folder: RunFolder, images: ImageData, gan: GAN, result: GAN) -> None:
    """The same budget from scratch: a run, so that room stands above this one."""
    from gantl_zoo.compare import compare

    compare(job, folder, images, gan, result)


def _start(job: Job, folder: RunFolder, images: ImageData, gan: GAN | None) -> GAN:
    """What the run begins with: built, loaded or given, fitted to its images, and what is known about it."""
    seed = job.recipe["seed"]
    if gan is None:
        with chance.seeded(seed):
            gan = gan_named(job.name) if job.verb == "transfer" else build_gan(job.name, **job.networks)
    if job.verb == "transfer":
        gan = fitted_to(images, gan, job.conditional, seed)
    if "fitted" in gan.about:
        folder.log(summary(gan.about["fitted"]))
    named = {"classes": list(images.classes)} if gan.num_classes else {}
    about = {"lineage": job.lineage(gan, images), "training": job.training() | named}
    return replace(gan, name=job.title or folder.path.name, about=about)


def _check_networks(generator: str, networks: dict[str, Any], images: ImageData) -> None:
    """Raises what is wrong with names, arguments or classes, before a run folder is made."""
    with chance.seeded(0):
        made = build_gan(generator, name=generator, **networks)
    if made.image_shape != images.shape:
        raise UsageError(
            f"{generator} makes images {made.image_shape} (channels, height, width), those of {images.name} "
            f"are {images.shape}: leave image_size and channels to --image-size and --channels"
        )
    check_classes(made, TransferStrategy().prepare(made, made, images), images)


def _engine(job: Job) -> engine.Engine:
    return engine.choose(job.recipe["device"], job.recipe["precision"], job.recipe["engine_config"])


def _folder(job: Job, out: str | Path, name: str, quiet: bool) -> RunFolder:
    """A new run folder, made by the main process, known to all."""
    return _engine(job).processes.from_main(lambda: RunFolder.create(out, name, asdict(job), quiet))


def _short(name: str) -> str:
    """A model's own name: without user, folder, revision and the number of its run."""
    own = Path(name if Path(name).exists() else name.partition("@")[0]).name
    return re.sub(r"^\d{5}-(?=.)", "", own)


def _method(
    strategy: str | TransferStrategy, config: dict[str, Any], gan: GAN, images: ImageData
) -> tuple[str, TransferStrategy, str]:
    """The strategy's name, the strategy, and why it was chosen if we were asked to choose."""
    if not isinstance(strategy, str):
        return type(strategy).__name__, strategy, ""
    advice = advised(strategy, config, gan, images)
    return advice.strategy, build_strategy(advice.strategy, config), advice.why


def _learning(trainer: Trainer) -> str:
    """What learns, in one line; what a strategy moves itself, at a rate of 0, doesn't count."""
    said = []
    for role, network in trainer.networks.items():
        total = sum(p.numel() for p in network.parameters())
        groups = [g for g in trainer.plan.groups.get(role, []) if g.active and g.lr_multiplier]
        learning = sum(p.numel() for group in groups for p in group.parameters)
        said.append(f"{role} {learning:,} of {total:,} parameters learn")
    return "plan: " + "; ".join(said)
