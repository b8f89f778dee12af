"""Checks of what is read rather than trained: data sets, metrics, presets, formats, weights.

N images, C channels, H, W image size, D features, L classes.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from gantl_zoo.data.images import ImageData
from gantl_zoo.data.registered import read, sizes_of
from gantl_zoo.errors import DataError, UsageError, ZooError
from gantl_zoo.metrics.catalogue import build_metric
from gantl_zoo.metrics.distance import Interval
from gantl_zoo.metrics.extract import Features
from gantl_zoo.metrics.extractors import Extractor
from gantl_zoo.metrics.metric import Counts
from gantl_zoo.networks.weights import registered
from gantl_zoo.storage.headers import look
from gantl_zoo.testing.check import Skip, Suite
from gantl_zoo.testing.subject import Subject, begun, loads
from gantl_zoo.training.presets import load_preset
from gantl_zoo.training.recipe import Recipe

COUNT, SIZE, LABELS = 60, 8, 5  # images, features and classes for metrics
METRICS = begun()
DATASETS, PRESETS, WEIGHTS, FORMATS = Suite(), Suite(), Suite(), Suite()
for _suite in (DATASETS, PRESETS, WEIGHTS, FORMATS):
    _suite.check("loads")(loads)


@dataclass
class Dataset(Subject):
    """A registered data set, with a folder for its downloads."""

    root: str | Path | None = None

    @cached_property
    def splits(self) -> dict[str, ImageData]:
        """Both splits. Raises `Skip` if the data can't be had here."""
        try:
            return {split: self.read(split) for split in ("train", "test")}
        except DataError as error:
            raise Skip(" ".join(str(error).split()), needed=True) from error

    def read(self, split: str) -> ImageData:
        """One split, at the data's own size."""
        return read(self.name, split, root=self.root, image_size=None, fit="crop", data_seed=0)


@DATASETS.check("function", "loads")
def is_function(subject: Dataset) -> str:
    """A data set is a function of the split, with keyword arguments that have defaults or are known."""
    function = subject.registry.load(subject.name)
    if not callable(function):
        return f"it is a {type(function).__name__}; register a function"
    parameters = list(inspect.signature(function).parameters.values())
    if not parameters or parameters[0].kind is inspect.Parameter.KEYWORD_ONLY:
        return "its first argument is not the split; write `def name(split: str, *, root: Path)`"
    known = ("root", "image_size", "fit", "data_seed")
    several = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    needed = [p.name for p in parameters[1:] if p.default is p.empty and p.kind not in several]
    other = [name for name in needed if name not in known]
    return f"{other[0]!r} has no default; it is called with {', '.join(known)}" if other else ""


@DATASETS.check("splits", "function")
def both_splits(subject: Dataset) -> str:
    """both splits, "train" and "test", have images of one shape"""
    shapes = {split: images.shape for split, images in subject.splits.items() if len(images)}
    if len(shapes) < 2:
        return "a split is empty; hold some images out"
    return "" if len(set(shapes.values())) == 1 else f"their shapes are {shapes}; make them equal"


@DATASETS.check("pixels", "splits")
def pixels(subject: Dataset) -> str:
    """Images are grey or RGB, with values from 0 to 255."""
    images = subject.splits["train"].images[:256]
    if images.shape[1] not in (1, 3):
        return f"they have {images.shape[1]} channels; convert them to 1 or 3"
    return "" if int(images.max()) > 1 else "no value is above 1; scale them to 0…255"


@DATASETS.check("labels", "splits")
def labels(subject: Dataset) -> str:
    """Labels are whole numbers below the number of class names, the same classes in both splits."""
    train, test = subject.splits.values()
    if train.classes != test.classes or (train.labels is None) != (test.labels is None):
        return "the splits have other classes; give both the same names in the same order"
    for images in (train, test):
        if images.labels is None:
            continue
        if images.labels.is_floating_point() or not images.classes:
            return "labels without class names, or not whole numbers; pass names as the third argument"
        if int(images.labels.min()) < 0 or int(images.labels.max()) >= len(images.classes):
            return f"a label is {int(images.labels.max())}, but there are {len(images.classes)} class names"
    return ""


@DATASETS.check("declared-size", "splits")
def declared_size(subject: Dataset) -> str:
    """The numbers that `sized` declares are true."""
    if (sizes := sizes_of(subject.name)) is None:
        raise Skip("it declares no sizes")
    train, test = subject.splits.values()
    actual = (len(train), len(test), train.shape)
    return "" if actual == tuple(sizes) else f"it declares {tuple(sizes)} and has {actual}"


@DATASETS.check("same-twice", "splits")
def same_twice(subject: Dataset) -> str:
    """Reading a split again gives the same images."""
    again = subject.read("test")
    if again.fingerprint == subject.splits["test"].fingerprint:
        return ""
    return "they differ; sort file names, and draw random numbers from data_seed"


@DATASETS.check("held-out", "splits")
def held_out(subject: Dataset) -> str:
    """no image of "test" is in "train", because metrics would then reward copies"""
    train, test = (digests(images) for images in subject.splits.values())
    count = sum(one in train for one in test)
    return f"{count} of {len(test)} are; leave them out of one split" if count else ""


def digests(images: ImageData) -> set[bytes]:
    """What identifies each of the first 2,000 images by its pixels."""
    return {bytes(one.numpy().tobytes()) for one in images.images[:2000]}


@dataclass
class MetricSubject(Subject):
    """A registered metric, with random features to measure."""

    @cached_property
    def sides(self) -> dict[str, Features]:
        """Features of samples and of real images, and Counts of them. Raises `Skip` if it has other needs."""
        random = torch.Generator().manual_seed(0)

        def features(shift: float) -> Features:
            values = torch.randn(COUNT, SIZE, generator=random) + shift
            return Features(
                values, torch.randn(COUNT, LABELS, generator=random), torch.arange(COUNT) % LABELS
            )

        extractor = Extractor()
        extractor.name, extractor.sha256, extractor.convention = "random", "0" * 16, "random"
        extractor.num_features, extractor.num_logits, extractor.trained_on = SIZE, LABELS, "random"
        try:
            build_metric(self.name).check(Counts(extractor, "random", COUNT, COUNT, COUNT, 2 * COUNT))
        except (DataError, UsageError) as error:
            raise Skip(str(error), needed=True) from error
        return {"fake": features(0.5), "real": features(0.0), "train": features(0.0)}

    @cached_property
    def values(self) -> Any:
        """What it measures."""
        return build_metric(self.name).measure(*self.sides.values())


@METRICS.check("metric", "builds")
def is_metric(subject: MetricSubject) -> str:
    """A metric is a `gz.Metric`."""
    build_metric(subject.name)
    return ""


@METRICS.check("values", "metric")
def values(subject: MetricSubject) -> str:
    """`measure` returns a dict of names and finite numbers."""
    result = subject.values
    if not isinstance(result, Mapping) or not result:
        return f"it returns a {type(result).__name__}; return {{'name': value}}"
    for name, value in result.items():
        number = value.value if isinstance(value, Interval) else value
        if isinstance(number, bool) or not isinstance(number, int | float):
            return f"{name!r} is a {type(number).__name__}; convert it with float()"
        if not math.isfinite(number):
            return f"{name!r} is {number}; check for divisions by 0"
    return ""


@METRICS.check("directions", "values")
def directions(subject: MetricSubject) -> str:
    """`lower` and `neutral` name values that `measure` returns."""
    metric = build_metric(subject.name)
    known = set(subject.values) | {n for n in (*metric.lower, *metric.neutral) if "-pca" in n}
    wrong = sorted({*metric.lower, *metric.neutral} - known)
    return f"{wrong[0]!r} is not among its values {', '.join(subject.values)}" if wrong else ""


@METRICS.check("same-twice", "values")
def measured_twice(subject: MetricSubject) -> str:
    """Measuring again gives the same numbers, and changes neither features nor the random state."""
    before, copied = torch.get_rng_state(), [one.features.clone() for one in subject.sides.values()]
    again = build_metric(subject.name).measure(*subject.sides.values())
    if dict(again) != dict(subject.values):
        return "the numbers differ; draw random numbers from a torch.Generator with a fixed seed"
    if not torch.equal(before, torch.get_rng_state()):
        return "the random state has changed; draw from a torch.Generator of its own"
    kept = all(torch.equal(a, b.features) for a, b in zip(copied, subject.sides.values(), strict=True))
    return "" if kept else "it has changed the features in place"


@METRICS.check("floor", "values")
def floor(subject: MetricSubject) -> str:
    """`floor` returns values of the same names for real images."""
    result = build_metric(subject.name).floor(*(subject.sides[k] for k in ("train", "real", "train")))
    return "" if set(result) <= set(subject.values) else f"its names are {sorted(result)}"


@PRESETS.check("recipe", "loads")
def recipe(subject: Subject) -> str:
    """A preset is a `gz.Preset`, whose settings make a valid recipe for `train` or `transfer`."""
    preset = load_preset(subject.name)
    for verb in ("train", "transfer"):
        settings = {k: v for k, v in preset.for_verb(verb).items() if k in Recipe.__dataclass_fields__}
        Recipe(**settings)
    return "" if preset.description else "it has no description"


@FORMATS.check("format", "loads")
def is_format(subject: Subject) -> str:
    """A format has a method `read`."""
    target = subject.registry.load(subject.name)
    if not isinstance(target, type):  # a function that returns one
        target = subject.built
    return "" if callable(getattr(target, "read", None)) else "it has none (gantl_zoo.convert.formats)"


@WEIGHTS.check("file", "loads")
def weights_file(subject: Subject) -> str:
    """Weights are the path of a safetensors file that exists."""
    try:
        path, _ = registered(subject.name)
        stored = look(path)
    except (ZooError, OSError) as error:
        return str(error)
    return "" if stored.slots else f"{path} has no tensors"
