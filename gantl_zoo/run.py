"""`train`, `transfer`, `evaluate` as people call them: data, plan, loop, metrics and the run folder."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from gantl_zoo import data as data_room, registry, weights
from gantl_zoo.command import command_line
from gantl_zoo.data import ImageData
from gantl_zoo.data.grid import grid, save_picture
from gantl_zoo.errors import DataError, TrainingError, UsageError
from gantl_zoo.gan import GAN, build_gan, load_gan
from gantl_zoo.metrics.evaluate import METRIC_SEED, METRICS, Evaluator, Report
from gantl_zoo.metrics.features import ClassifierFeatures, Extractor, PixelFeatures
from gantl_zoo.training import engine
from gantl_zoo.training.folder import RunFolder
from gantl_zoo.training.loop import Trainer
from gantl_zoo.training.recipe import Recipe
from gantl_zoo.training.watch import Watch
from gantl_zoo.transfer.strategy import TransferStrategy
from gantl_zoo.zoo import load_model


@dataclass(frozen=True, kw_only=True)
class Job:
    """Everything that a run's `config.json` keeps, so that `--resume` needs nothing else."""

    verb: str  # "train" or "transfer"
    name: str  # the generator's name, or the source model's
    data: dict[str, Any]
    recipe: dict[str, Any]
    networks: dict[str, Any] = field(default_factory=dict)
    strategy: str = "full"
    strategy_config: dict[str, Any] = field(default_factory=dict)
    metrics: tuple[str, ...] = METRICS
    samples: int = 5_000
    extractor: str = "auto"
    title: str = ""


def train(
    generator: str = "dcgan",
    *,
    data: str | Path | ImageData,
    discriminator: str | None = None,
    generator_config: dict[str, Any] | None = None,
    discriminator_config: dict[str, Any] | None = None,
    image_size: int | None = None,
    channels: int | None = None,
    resume: str | Path | None = None,
    out: str | Path = "runs",
    quiet: bool = True,
    **settings: Any,
) -> GAN:
    """Train a GAN from scratch on `data`; returns the best model by the first metric.

    `settings` are those of `Recipe` (steps, batch, seed, loss, aug, …), of the data (data_root, shots,
    data_seed) and of the metrics (metrics, samples, extractor). `resume` continues a run folder.
    """
    if resume is not None:
        return continue_run(resume, quiet)
    common, images = _common(data, image_size, channels, settings)
    kept_channels, kept_size, _ = images.shape
    networks: dict[str, Any] = {
        "discriminator": discriminator,
        "generator_config": {"image_size": kept_size, "channels": kept_channels} | (generator_config or {}),
        "discriminator_config": discriminator_config or {},
    }
    job = Job(verb="train", name=generator, networks=networks, **common)
    with engine.seeded(0):
        build_gan(generator, **networks)  # a wrong name or argument fails before a folder is made
    folder = RunFolder.create(out, f"{generator}-{images.name}", asdict(job), quiet)
    return run(job, folder, images)


def transfer(
    source: str | Path | GAN,
    *,
    data: str | Path | ImageData,
    strategy: str | TransferStrategy = "full",
    strategy_config: dict[str, Any] | None = None,
    channels: int | None = None,
    compare_scratch: bool = False,
    resume: str | Path | None = None,
    out: str | Path = "runs",
    quiet: bool = True,
    **settings: Any,
) -> GAN:
    """Adapt `source` to `data` with a strategy; returns the best model by the first metric.

    Images are resized to the source's size; another channel count needs `channels`. `compare_scratch`
    trains the same budget from scratch beside it and tells who won. `settings` as for `train`.
    """
    if resume is not None:
        return continue_run(resume, quiet)
    gan = source if isinstance(source, GAN) else _source(source)
    wanted, size, _ = gan.image_shape
    common, images = _common(data, size, channels, settings)
    if images.shape[0] != wanted:
        raise DataError(
            f"{gan.name} makes images with {wanted} channel(s), {images.name} has {images.shape[0]}; "
            f"convert the data with --channels {wanted} or choose another source"
        )
    chosen = strategy if isinstance(strategy, str) else type(strategy).__name__
    name = gan.name if isinstance(source, GAN) else str(source)
    job = Job(verb="transfer", name=name, strategy=chosen, strategy_config=strategy_config or {}, **common)
    method = (
        registry.strategies.build(strategy, **job.strategy_config) if isinstance(strategy, str) else strategy
    )
    folder = RunFolder.create(out, f"{Path(name).name}-{images.name}-{chosen}", asdict(job), quiet)
    result = run(job, folder, images, copy.deepcopy(gan), method)
    if compare_scratch:
        from gantl_zoo.compare import compare

        compare(job, folder, images, gan, result)
    return result


def evaluate(
    model: str | Path | GAN,
    *,
    data: str | Path | ImageData,
    metrics: Sequence[str] = METRICS,
    samples: int = 10_000,
    extractor: str = "auto",
    channels: int | None = None,
    data_root: str | Path | None = None,
) -> Report:
    """Measure `samples` images of `model` against the held-out images of `data`."""
    if samples < 2:
        raise UsageError(f"samples must be at least 2, not {samples}")
    gan = model if isinstance(model, GAN) else _source(model, discriminator=False)
    wanted, size, _ = gan.image_shape
    spec = {"source": str(data), "image_size": size, "channels": channels, "root": data_root}
    judge = make_evaluator(spec | {"source": data}, extractor, tuple(metrics), samples)
    if judge.held_out.shape[0] != wanted:
        raise DataError(
            f"{gan.name} makes images with {wanted} channel(s), {judge.held_out.name} has "
            f"{judge.held_out.shape[0]}; convert the data with --channels {wanted}"
        )
    return judge(gan.generate(samples, seed=METRIC_SEED))


def continue_run(path: str | Path, quiet: bool = True) -> GAN:
    """Go on with the run in `path` from its newest checkpoint, as if it had never stopped."""
    folder, config = RunFolder.open(path, quiet)
    job = Job(**config | {"metrics": tuple(config["metrics"])})
    if job.data["fingerprint"] is None:
        raise TrainingError(f"{path} was given its images in memory; call train or transfer anew")
    images = _load(job.data)
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
    """Train what `job` describes in `folder`, and return the best model."""
    recipe = Recipe.from_settings(job.recipe)
    if gan is None:
        with engine.seeded(recipe.seed):
            gan = _source(job.name) if job.verb == "transfer" else build_gan(job.name, **job.networks)
    lineage = _lineage(job, gan, images)
    gan = replace(
        gan, name=job.title or folder.path.name, about={"lineage": lineage, "training": _training(job)}
    )
    strategy = strategy or registry.strategies.build(job.strategy, **job.strategy_config)
    machine = engine.choose(recipe.device, recipe.precision)
    trainer = Trainer(gan, strategy, images, recipe, machine)
    folder.log(f"engine: {machine}")
    folder.log(_learning(trainer))
    judge = _judge(job, folder)
    measure = None if judge is None else lambda g: judge(g.generate(job.samples, seed=METRIC_SEED)).results
    save_picture(grid(images.images[:64]), folder.path / "reals.png")
    with Watch(folder, recipe, measure, job.verb) as watch:
        trainer.run(watch, folder.path, resume)
    folder.log(f"done: best at step {watch.best_step}; metrics took {watch.seconds:.0f} s")
    return load_gan(folder.path / "model")


def make_evaluator(spec: dict[str, Any], extractor: str, metrics: tuple[str, ...], samples: int) -> Evaluator:
    """The judge of generated images for a data specification."""
    full = {key: value for key, value in spec.items() if key not in ("shots", "fingerprint")}
    train_images, held_out = _load(full), _load(full | {"split": "test"})
    return Evaluator(choose_extractor(extractor, train_images), train_images, held_out, metrics, samples)


def choose_extractor(name: str, reference: ImageData) -> Extractor:
    """The extractor of that name; "auto": `cnn-mnist` for grey images, else pixels."""
    if name == "auto":
        name = "cnn-mnist" if reference.shape[0] == 1 else "pixels"
    if name == "pixels":
        return PixelFeatures.fit(reference)
    model = load_model(name)
    if isinstance(model, GAN):
        raise UsageError(f"extractor {name} is a GAN; use a backbone such as cnn-mnist, or pixels")
    return ClassifierFeatures(model.name, model.backbone, model.lineage.get("data", {}).get("name", ""))


def _source(name: str | Path, discriminator: bool = True) -> GAN:
    model = load_model(name, discriminator=discriminator)
    if not isinstance(model, GAN):
        raise UsageError(f"{name} is a backbone, not a GAN; see gantl-zoo classify")
    return model


def _common(
    data: str | Path | ImageData, image_size: int | None, channels: int | None, settings: dict[str, Any]
) -> tuple[dict[str, Any], ImageData]:
    """The parts of a `Job` that training and transfer share, and the images."""
    settings = {key: value for key, value in settings.items() if value is not None}
    spec = {
        "source": data,
        "image_size": image_size,
        "channels": channels,
        "root": settings.pop("data_root", None),
        "shots": settings.pop("shots", None),
        "data_seed": settings.pop("data_seed", 0),
    }
    metrics = settings.pop("metrics", METRICS)
    common = {
        "metrics": tuple(metrics),
        "samples": settings.pop("samples", 5_000),
        "extractor": settings.pop("extractor", "auto"),
        "title": settings.pop("title", ""),
    }
    recipe = asdict(Recipe.from_settings(settings))
    images = _load(spec)
    in_memory = isinstance(data, ImageData)
    kept = spec | {
        "source": images.name if in_memory else str(data),
        "root": spec["root"] and str(spec["root"]),
    }
    kept["fingerprint"] = None if in_memory else images.fingerprint
    return common | {"data": kept, "recipe": recipe}, images


def _load(spec: dict[str, Any]) -> ImageData:
    arguments = {key: value for key, value in spec.items() if key not in ("source", "fingerprint")}
    return data_room.load(spec["source"], **arguments)


def _judge(job: Job, folder: RunFolder) -> Evaluator | None:
    """The run's evaluator, or None with a word in the log why there is none."""
    if not job.metrics or job.metrics == ("none",) or job.data["fingerprint"] is None:
        return None
    try:
        judge = make_evaluator(job.data, job.extractor, job.metrics, job.samples)
        return replace(judge, samples=min(job.samples, len(judge.held_out)))
    except (DataError, UsageError) as error:
        folder.log(f"no metrics: {error}")
        return None


def _lineage(job: Job, gan: GAN, images: ImageData) -> dict[str, Any]:
    lineage: dict[str, Any] = {"data": images.about(), "seed": job.recipe["seed"]}
    if job.verb == "train":
        return lineage
    lineage |= {"base_model": job.name, "strategy": job.strategy, "strategy_config": job.strategy_config}
    if gan.folder is not None:  # else the source exists in memory only
        lineage["base_sha256"] = weights.sha256(gan.folder / "generator.safetensors")
    return lineage | {"base_lineage": gan.lineage}


def _training(job: Job) -> dict[str, Any]:
    return {**job.recipe, "command": command_line(job.verb, job.name, asdict(job))}


def _learning(trainer: Trainer) -> str:
    """What learns, in one line."""
    said = []
    for role, network in trainer.networks.items():
        total = sum(p.numel() for p in network.parameters())
        learning = sum(p.numel() for p in trainer.plan.parameters(role))
        said.append(f"{role} {learning:,} of {total:,} parameters learn")
    return "plan: " + "; ".join(said)
