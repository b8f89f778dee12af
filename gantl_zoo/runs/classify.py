"""`classify`: the backbone's three steps, pre-train, fine-tune, evaluate. The article's second half."""

from __future__ import annotations

import copy
import math
import shlex
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from gantl_zoo import data as data_room, seeding
from gantl_zoo.data import ImageData
from gantl_zoo.errors import DataError, UsageError
from gantl_zoo.model.classifier import Classifier, build_classifier
from gantl_zoo.model.lineage import ancestor, pinned
from gantl_zoo.registry.arguments import given, to_word
from gantl_zoo.runs.folder import RunFolder
from gantl_zoo.runs.pseudo_labels import PseudoLabels
from gantl_zoo.storage import schema
from gantl_zoo.storage.folder import sha256
from gantl_zoo.storage.untrusted import storable
from gantl_zoo.strategy.base import TransferStrategy
from gantl_zoo.strategy.combine import build_strategy
from gantl_zoo.surgery.head import fresh_head
from gantl_zoo.training import classifier as loop, engine
from gantl_zoo.training.launcher import launched
from gantl_zoo.zoo import gan_named, load_model

Data = str | Path | ImageData
LEAST = 200  # held-out images of which a look while training tells the accuracy
LOOKS = 20  # while training, at most
DATA_SETTINGS = ("data_root", "shots", "data_seed", "image_size", "channels")


def classify_train(
    backbone: str = "cnn",
    *,
    data: Data,
    backbone_config: dict[str, Any] | None = None,
    gan: str | Path | None = None,
    gan_samples: int = 5_000,
    gan_confidence: float = 0.95,
    out: str | Path = "runs",
    quiet: bool = True,
    **settings: Any,
) -> Classifier:
    """Train a backbone from scratch (`timm:` ones from their pre-trained weights) on labelled data.

    With `gan` a first classifier names that GAN's samples, and a second one learns from the images and from
    those samples that the first was sure of, in as many steps (`gantl_zoo.runs.pseudo_labels`).

    `settings` are those of `ClassifierRecipe` (epochs, batch, seed, lr, …), `precision`, `device`,
    `title`, and of the data.
    """
    images, held_out, recipe, rest = _prepare(data, settings)
    needed = {"channels": images.shape[0], "num_classes": len(images.classes)}
    for key, value in needed.items():
        if (backbone_config or {}).get(key, value) != value:
            raise UsageError(f"{key} is {value} in {images.name}; leave {key} to the data")
    with seeding.seeded(recipe.seed):
        model = build_classifier(backbone, needed | (backbone_config or {}))
    words = f"gantl-zoo classify train {backbone} {rest['data']}{spelled(recipe)}"
    words += arguments("backbone-arg", backbone_config or {})
    helper = None if gan is None else helper_of(gan, gan_samples, gan_confidence, images)
    folder = RunFolder.create(out, f"{backbone.replace(':', '-')}-{images.name}", asdict(recipe), quiet)
    if helper is not None:
        first = RunFolder.create(folder.path, "teacher", asdict(recipe), quiet)
        teacher = _fit(model, TransferStrategy(), images, held_out, recipe, first, rest | {"words": words})
        every = helper.joined(teacher, images)
        folder.log(f"{len(every) - len(images):,} of {gan_samples:,} samples join {len(images):,} images")
        words += f" --gan {shlex.quote(str(gan))}"
        words += f" --gan-samples {gan_samples} --gan-confidence {gan_confidence}"
        recipe = replace(recipe, epochs=max(1, round(recipe.epochs * len(images) / len(every))))
        images = every
    return _fit(model, TransferStrategy(), images, held_out, recipe, folder, rest | {"words": words})


def classify_transfer(
    source: str | Path,
    *,
    data: Data,
    strategy: str = "full",
    strategy_config: dict[str, Any] | None = None,
    out: str | Path = "runs",
    quiet: bool = True,
    **settings: Any,
) -> Classifier:
    """Fine-tune a classifier on other labelled data. Another set of classes gets a fresh last block.

    `source` may also be a `timm:` backbone with its pre-trained weights, or a GAN, whose discriminator
    becomes the backbone (`gantl_zoo.networks.backbones.discriminator_features`). Raises `DataError` for
    images without labels or of other channels, `UsageError` for a strategy that is for GANs alone.
    """
    images, held_out, recipe, rest = _prepare(data, settings)
    base, start = base_of(source, images.shape[0])
    check_channels(base, images)
    model = fresh_head(base, len(images.classes), recipe.seed)
    model.about = {
        "lineage": {
            **ancestor(base, str(source)),
            **start,
            "strategy": strategy,
            "strategy_config": strategy_config or {},
            "base_lineage": base.lineage,
        }
    }
    method = build_strategy(strategy, strategy_config or {})
    named = shlex.quote(storable(pinned(base, str(source)), "the source"))
    words = f"gantl-zoo classify transfer {named} {rest['data']} --strategy {strategy}"
    words += arguments("strategy-arg", strategy_config or {}) + spelled(recipe)
    folder = RunFolder.create(out, f"{base.name}-{images.name}-{strategy}", asdict(recipe), quiet)
    return _fit(model, method, images, held_out, recipe, folder, rest | {"words": words})


def classify_evaluate(model: str | Path | Classifier, *, data: Data, **settings: Any) -> dict[str, Any]:
    """Accuracy (0 to 1) of a classifier on the held-out images of `data`, and what it was measured on. Raises
    `DataError` for images of other channels or another number of classes.
    """
    found = model if isinstance(model, Classifier) else load_classifier(model)
    held_out = data_room.load(data, split="test", **_data_settings(settings))
    if settings:
        raise UsageError(f"unknown setting {', '.join(sorted(settings))}")
    if len(held_out.classes) != found.num_classes:
        raise DataError(
            f"{found.name} knows {found.num_classes} classes, {held_out.name} has {len(held_out.classes)}"
        )
    check_channels(found, held_out)
    if held_out.labels is not None and set(held_out.classes) == set(found.classes):  # in another order, maybe
        order = torch.tensor([found.classes.index(name) for name in held_out.classes])
        held_out = replace(held_out, labels=order[held_out.labels])
    return _accuracy(found, held_out)


def check_channels(model: Classifier, images: ImageData) -> None:
    """Raises `DataError` for images of other channels than the classifier sees."""
    if images.shape[0] != model.channels:
        raise DataError(
            f"{model.name} sees {model.channels} channel(s), {images.name} has {images.shape[0]}; "
            f"convert the data with --channels {model.channels}"
        )


def load_classifier(name: str | Path) -> Classifier:
    """The classifier of that name. Raises `UsageError` if the name is a GAN's."""
    model = load_model(name)
    if not isinstance(model, Classifier):
        raise UsageError(f"{name} is a GAN, not a backbone; gantl-zoo list --kind models shows all")
    return model


def base_of(source: str | Path, channels: int) -> tuple[Classifier, dict[str, str]]:
    """What is fine-tuned, and the hash of its weights where they come from a folder."""
    if str(source).startswith("timm:"):
        return build_classifier(str(source), {"channels": channels}, name=str(source).replace(":", "-")), {}
    model = load_model(source)
    if isinstance(model, Classifier):
        return model, {"base_sha256": sha256(f"{model.folder}/model.safetensors")}
    base = build_classifier("discriminator", {"of": str(model.folder)}, name=model.name)
    base.about["lineage"] = model.lineage
    base.about |= {"hub": model.about["hub"]} if "hub" in model.about else {}
    return base, {"base_sha256": sha256(f"{model.folder}/discriminator.safetensors")}


def _prepare(
    data: Data, settings: dict[str, Any]
) -> tuple[ImageData, ImageData, loop.ClassifierRecipe, dict[str, Any]]:
    """Images, held-out images, the recipe, and what remains: engine, title, the data in words."""
    if size := launched():
        raise UsageError(f"a classifier is trained in one process: start without a launcher, or unset {size}")
    settings = given(settings)
    spec = _data_settings(settings)
    device, precision = (settings.pop(key, "auto") for key in ("device", "precision"))
    rest = {"title": settings.pop("title", "")}
    if wrong := schema.title(rest["title"]):
        raise UsageError(f"title {wrong}")
    known = loop.ClassifierRecipe.__dataclass_fields__
    if unknown := sorted(set(settings) - set(known)):
        raise UsageError(f"unknown setting {', '.join(unknown)}; there are: {', '.join(known)}")
    recipe = loop.ClassifierRecipe(**settings)
    if precision == "fp16":
        raise UsageError("precision fp16 needs gradients that are scaled, as a GAN's are; use bf16 or fp32")
    usual = {"device": (device, "auto"), "precision": (precision, "auto"), "title": (rest["title"], "")}
    said = {key: value for key, (value, default) in usual.items() if value != default}
    rest |= {"engine": engine.choose(device, precision), "data": _said(data, spec | said)}
    images = data_room.load(data, **spec)
    if images.labels is None:
        raise DataError(f"{images.name} has no labels: put each class's images into a sub-folder")
    storable(rest["data"], "the option", DataError)
    for one in images.classes:
        storable(one, f"the class of {images.name}", DataError)
    held_out = data_room.load(data, split="test", **{k: v for k, v in spec.items() if k != "shots"})
    return images, held_out, recipe, rest


def _said(data: Data, spec: dict[str, Any]) -> str:
    """The data as on the command line."""
    name = shlex.quote(data_room.spoken(data))
    few = {key.replace("_", "-"): value for key, value in spec.items() if key != "root"}
    return f"--data {name}" + "".join(f" --{key} {shlex.quote(str(value))}" for key, value in few.items())


def _data_settings(settings: dict[str, Any]) -> dict[str, Any]:
    spec = {key: settings.pop(key, None) for key in DATA_SETTINGS}
    return {
        ("root" if key == "data_root" else key): value for key, value in spec.items() if value is not None
    }


def _fit(
    model: Classifier,
    strategy: TransferStrategy,
    images: ImageData,
    held_out: ImageData,
    recipe: loop.ClassifierRecipe,
    folder: RunFolder,
    rest: dict[str, Any],
) -> Classifier:
    with folder.begin(resume=False), seeding.seeded(recipe.seed):
        trainer = loop.ClassifierTrainer(copy.deepcopy(model.backbone), strategy, rest["engine"])
    folder.log(f"engine: {rest['engine']}")
    # as many as it learns from, and not at every one of many epochs: looking must not cost more than learning
    shown = held_out.few(min(len(held_out), max(LEAST, len(images))))
    every = math.ceil(recipe.epochs / LOOKS)

    def report(epoch: int, loss: float, rate: float) -> None:
        if epoch % every and epoch != recipe.epochs:
            return
        score = loop.accuracy(trainer.backbone, shown)
        folder.append(
            "stats.jsonl", {"step": epoch, "loss": loss, "images_per_second": rate, "accuracy": score}
        )
        said = f"loss {loss:.4f}  accuracy {score:.4f} of {len(shown):,}"
        folder.log(f"epoch {epoch}/{recipe.epochs}  {said}  {rate:.0f} images/s")

    with seeding.seeded(recipe.seed):
        trainer.fit(images, recipe, report)
    lineage = {"data": images.about(), "seed": recipe.seed}
    training = {**asdict(recipe), "classes": list(images.classes), "command": rest["words"]}
    about = {"lineage": model.about.get("lineage", {}) | lineage, "training": training}
    result = replace(model, backbone=trainer.backbone, about=about, name=rest["title"] or folder.path.name)
    about["metrics"] = [_accuracy(result, held_out)]
    result.folder = result.save(folder.path / "model")
    folder.log(f"model: {result.folder}")
    return result


def helper_of(gan: str | Path, samples: int, confidence: float, images: ImageData) -> PseudoLabels:
    """The GAN whose samples join the images, if they are alike."""
    storable(str(gan), "the GAN")
    helper = PseudoLabels(gan_named(gan, discriminator=False), samples, confidence)
    helper.check(images)
    return helper


def arguments(flag: str, settings: dict[str, Any]) -> str:
    """Builder or strategy arguments as options."""
    return "".join(f" --{flag} {shlex.quote(to_word(key, value))}" for key, value in settings.items())


def spelled(recipe: loop.ClassifierRecipe) -> str:
    """The recipe as options: what differs from the defaults, epochs and seed always."""
    usual = asdict(loop.ClassifierRecipe())
    said = {k: v for k, v in asdict(recipe).items() if v != usual[k] or k in ("epochs", "seed")}
    return "".join(f" --{k.replace('_', '-')}" + ("" if v is True else f" {v}") for k, v in said.items())


def _accuracy(model: Classifier, held_out: ImageData) -> dict[str, Any]:
    return {
        "name": "accuracy",
        "metric": "accuracy",
        "value": loop.accuracy(model.backbone, held_out),
        "on": f"{len(held_out):,} {held_out.split} images of {held_out.name}",
        "data_fingerprint": held_out.fingerprint,
    }
