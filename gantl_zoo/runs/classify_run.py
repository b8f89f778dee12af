"""The run of a classifier: start or resume it, train, save the model."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from gantl_zoo import registry, seeding
from gantl_zoo.data import ImageData
from gantl_zoo.errors import DataError, Stopped, UsageError, unknown
from gantl_zoo.model.classifier import Classifier, build_classifier
from gantl_zoo.model.lineage import ancestor, pinned
from gantl_zoo.networks.base import blocks
from gantl_zoo.runs.agreement import agree, option_of, refusal
from gantl_zoo.runs.classifier_recorder import ClassifierRecorder
from gantl_zoo.runs.classify_job import ClassifierJob
from gantl_zoo.runs.classify_keep import ModelKeeper
from gantl_zoo.runs.classify_report import notes_on_classes
from gantl_zoo.runs.folder import RunFolder
from gantl_zoo.runs.memory import check_classifier
from gantl_zoo.runs.pseudo_labels import PseudoLabels
from gantl_zoo.runs.spec import note_on
from gantl_zoo.storage.folder import sha256
from gantl_zoo.strategy.base import TransferStrategy
from gantl_zoo.strategy.combine import build_strategy
from gantl_zoo.surgery.head import fitted_head
from gantl_zoo.training.callback import Callback, check_callbacks
from gantl_zoo.training.classifier import ClassifierTrainer
from gantl_zoo.training.classifier_recipe import ClassifierRecipe
from gantl_zoo.training.engine import Engine
from gantl_zoo.training.modes import training_modes
from gantl_zoo.zoo import gan_named, load_model

FIRST = "teacher"  # folder of the first classifier's run, inside the run that uses its pseudo-labels


@dataclass(frozen=True)
class ClassifierRun:
    """A job, its images and its engine."""

    job: ClassifierJob
    images: ImageData
    held_out: ImageData
    engine: Engine
    base: Base | None = None  # of a transfer, if it is already loaded
    notes: tuple[str, ...] = ()  # what was chosen, for the log


@dataclass(frozen=True)
class Base:
    """The model to fine-tune, its hash if it comes from a folder, and whether a GAN is the source."""

    model: Classifier
    hashes: dict[str, str]
    is_gan: bool = False


@dataclass(frozen=True)
class Start:
    """The model and strategy that a run starts with."""

    job: ClassifierJob  # if the source is on the Hub, with its commit
    model: Classifier
    strategy: TransferStrategy
    folder_name: str
    helper: PseudoLabels | None = None
    note: str = ""  # for the log


@training_modes()
def start_of(job: ClassifierJob, images: ImageData, loaded: Base | None = None) -> Start:
    """Build or load the backbone. Raises `ZooError` for invalid names, arguments or images."""
    if job.verb == "train":
        return from_scratch(job, images)
    loaded = loaded or base_of(job.name, images.shape[0])
    base, hashes = loaded.model, loaded.hashes
    check_channels(base, images)
    strategy = build_strategy(job.strategy, job.strategy_config)
    frozen = body_is_frozen(build_strategy(job.strategy, job.strategy_config), base)
    model, kept = fitted_head(base, images.classes, job.recipe.seed, zero=frozen)
    lineage = {**ancestor(base, job.name), **hashes, "base_lineage": base.lineage}
    lineage |= {"strategy": job.strategy, "strategy_config": job.strategy_config}
    model.about = {"lineage": lineage}
    note = (
        f"last block: {len(kept)} of {len(images.classes)} classes have weights in the source; others are new"
    )
    job = replace(job, name=pinned(base, job.name))
    return Start(job, model, strategy, f"{base.name}-{images.name}-{job.strategy}", note=note)


def body_is_frozen(strategy: TransferStrategy, base: Classifier) -> bool:
    """Whether the strategy trains only the last block. It prepares a copy of the backbone."""
    backbone = copy.deepcopy(base.backbone)
    plan = strategy.prepare_backbone(backbone)
    body = {id(p) for block in blocks(backbone)[:-1] for p in block.parameters()}
    return not any(id(p) in body for group in plan.groups["backbone"] for p in group.parameters)


def from_scratch(job: ClassifierJob, images: ImageData) -> Start:
    """The start of a training from scratch."""
    required = {"channels": images.shape[0], "num_classes": len(images.classes)}
    for key, value in required.items():
        if job.backbone_config.get(key, value) != value:
            raise UsageError(
                f"{key} is {value} in {images.name}: leave {key} out, since the data determine it"
            )
    with seeding.seeded(job.recipe.seed):
        model = build_classifier(job.name, required | job.backbone_config)
    helper = None
    if job.gan is not None:
        gan = gan_named(job.gan, discriminator=False)
        helper = PseudoLabels(gan, job.gan_samples, job.gan_confidence)
        helper.check(images)
    return Start(job, model, TransferStrategy(), f"{job.name.replace(':', '-')}-{images.name}", helper)


def base_of(source: str, channels: int) -> Base:
    """Load the model to fine-tune. A `timm:` backbone is built for images of `channels` channels."""
    if (source := registry.backbones.spelled(source)).startswith("timm:"):
        return Base(build_classifier(source, {"channels": channels}, name=source.replace(":", "-")), {})
    model = load_model(source)
    if isinstance(model, Classifier):
        return Base(model, {"base_sha256": sha256(f"{model.folder}/model.safetensors")})
    base = build_classifier("discriminator", {"of": str(model.folder)}, name=model.name)
    base.about["lineage"] = model.lineage
    base.about |= {"hub": model.about["hub"]} if "hub" in model.about else {}
    return Base(base, {"base_sha256": sha256(f"{model.folder}/discriminator.safetensors")}, is_gan=True)


def check_channels(model: Classifier, images: ImageData) -> None:
    """Raise `DataError` if images and classifier have different channel counts."""
    if images.shape[0] != model.channels:
        raise DataError(
            f"{model.name} takes {model.channels} channel(s), but {images.name} has {images.shape[0]}; "
            f"convert the data with --channels {model.channels}"
        )


def begin(run: ClassifierRun, out: str | Path, callbacks: Sequence[Callback], quiet: bool) -> Classifier:
    """Start a new run in a numbered folder under `out`."""
    start = start_of(run.job, run.images, run.base)
    check_classifier(start.model.backbone, run.images, run.job.recipe.batch)
    folder = RunFolder.create(out, start.folder_name, start.job.to_config(), quiet)
    with folder.begin(resume=False, refusal=UsageError):
        return perform(replace(run, job=start.job), start, folder, False, callbacks)


def perform(
    run: ClassifierRun, start: Start, folder: RunFolder, resume: bool, callbacks: Sequence[Callback]
) -> Classifier:
    """Train in `folder`, with pseudo-labelled samples if the start has a `helper`."""
    check_callbacks(callbacks)
    recipe = run.job.recipe
    with training_modes(), run.engine.applied():
        for note in (*run.notes, start.note) if not resume else ():
            if note:
                folder.log(note)
        if start.helper is not None:
            images = start.helper.joined(first_classifier(run, start, folder), run.images)
            joined = len(images) - len(run.images)
            folder.log(
                f"{joined:,} of {start.helper.samples:,} samples are added to {len(run.images):,} images"
            )
            epochs = max(1, round(recipe.epochs * len(run.images) / len(images)))
            run, recipe = replace(run, images=images), replace(recipe, epochs=epochs)
        return fit(run, start, recipe, folder, begun(folder.path), callbacks)


def begun(path: Path) -> bool:
    """Whether the run has a checkpoint to continue from."""
    return any((path / "checkpoints").glob("[0-9]*"))


def first_classifier(run: ClassifierRun, start: Start, folder: RunFolder) -> Classifier:
    """Train the first classifier on the images alone, or resume or load it if it was begun earlier."""
    earlier = sorted(folder.path.glob(f"[0-9]*-{FIRST}"))
    job = replace(run.job, gan=None, title="")
    resume = bool(earlier) and begun(earlier[-1])
    config = job.to_config()
    inner = (
        RunFolder(earlier[-1], folder.quiet)
        if resume
        else RunFolder.create(folder.path, FIRST, config, folder.quiet)
    )
    try:
        return fit(replace(run, job=job), start, job.recipe, inner, resume, ())
    except Stopped as stopped:
        raise Stopped("stopped in the run of the first classifier", folder.path) from stopped


def fit(
    run: ClassifierRun,
    start: Start,
    recipe: ClassifierRecipe,
    folder: RunFolder,
    resume: bool,
    callbacks: Sequence[Callback],
) -> Classifier:
    """Train a copy of the start's model on the run's images, and save it."""
    images, held_out, job = run.images, run.held_out, run.job
    with folder.begin(resume), seeding.seeded(recipe.seed):
        trainer = ClassifierTrainer(start.model, start.strategy, images, recipe, run.engine)
    if note := note_on(images):
        folder.log(note)
    folder.log(f"engine: {run.engine}")
    for line in notes_on_classes(
        images, held_out, in_memory=job.in_memory, weighted=recipe.class_weights == "balanced"
    ):
        folder.log(line)
    if trainer.features is not None:
        folder.log("only the last block is trained, so the features of all images are computed once")
    lineage = start.model.about.get("lineage", {})
    keeper = ModelKeeper(job, lineage, images, held_out, folder, trainer)
    recorder = ClassifierRecorder(folder, trainer, images, held_out, keeper, in_memory=job.in_memory)
    with recorder:
        trainer.run(recorder, folder.path, resume, callbacks)
        recorder.finish()
    assert keeper.model is not None
    return keeper.model


def load_classifier(name: str | Path) -> Classifier:
    """Load a classifier. Raises `UsageError` if the model is a GAN."""
    model = load_model(name)
    if not isinstance(model, Classifier):
        raise UsageError(f"{name} is a GAN, not a classifier; gantl-zoo list --kind models shows all models")
    return model


def check_settings(job: ClassifierJob, path: str | Path, requested: Mapping[str, Any]) -> None:
    """Raise `UsageError` for a requested setting that is unknown or differs from the run's own."""
    own = asdict(job.recipe) | {key: getattr(job.data, key) for key in ("shots", "data_seed", "fit")}
    own |= {"image_size": job.data.image_size, "channels": job.data.channels, "data_root": job.data.root}
    own |= {f: getattr(job, f) for f in job.__dataclass_fields__ if f not in ("data", "recipe", "verb")}
    if others := sorted(set(requested) - set(own)):
        raise UsageError(unknown("setting", others, own))
    for key, value in requested.items():
        if value in (None, {}, "") or agree(key, value, own[key]):
            continue
        source = "backbone" if job.verb == "train" else "source"
        option = source if key == "name" else option_of(key)
        raise UsageError(refusal(path, option, own[key], value, "start a new run"))
