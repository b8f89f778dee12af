"""The options that verbs share, in groups, with the recipes' defaults. A verb takes them as `**settings`:

@with_options(DATA, ADVERSARIAL, steps=2_000)
def transfer(source: …, **settings: object) -> None: …
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, TypeVar

from gantl_zoo.cli import options as o
from gantl_zoo.errors import Stopped
from gantl_zoo.training.classifier_recipe import ClassifierRecipe
from gantl_zoo.training.recipe import Recipe

Verb = TypeVar("Verb", bound=Callable[..., Any])
Group = Mapping[str, tuple[Any, Any]]  # name: (annotation, default)

DATA: Group = {
    "data": (o.Data, ""),
    "data_root": (o.DataRoot, None),
    "shots": (o.Shots, None),
    "data_seed": (o.DataSeed, 0),
    "channels": (o.Channels, None),
}
SIZE: Group = {"image_size": (o.ImageSize, None)}
OUTPUT: Group = {"out": (o.Out, o.RUNS), "title": (o.Title, ""), "quiet": (o.Quiet, False)}


def with_defaults(recipe: Any, kinds: Mapping[str, Any]) -> Group:
    """Options with the defaults that the dataclass `recipe` has for them."""
    usual = {field.name: field.default for field in fields(recipe)}
    return {name: (kind, usual[name]) for name, kind in kinds.items()}


MACHINE = with_defaults(Recipe, {"precision": o.Precision, "device": o.Device})
TRAINING = {
    "steps": o.Steps,
    "batch": o.BatchSize,
    "accumulate": o.Accumulate,
    "seed": o.Seed,
    "loss": o.Loss,
    "aug": o.Augmentation,
    "r1": o.R1,
    "lr": o.Lr,
    "discriminator_lr": o.DiscriminatorLr,
    "beta1": o.Beta1,
    "beta2": o.Beta2,
    "decay": o.Decay,
    "ema_images": o.EmaImages,
}
STEADINESS = {
    "skip_limit": o.SkipLimit,
    "rollback_limit": o.RollbackLimit,
    "on_collapse": o.OnCollapse,
    "watch_every": o.WatchEvery,
}
ADVERSARIAL: Group = {
    "conditional": (o.Conditional, None),
    "preset": (o.PresetName, None),
    "minutes": (o.Minutes, None),
    **with_defaults(Recipe, TRAINING),
    **MACHINE,
    "engine_arg": (o.EngineArgs, None),
    **with_defaults(Recipe, STEADINESS),
}
INTERVALS = {
    "metrics_every": o.MetricsEvery,
    "checkpoint_every": o.CheckpointEvery,
    "log_every": o.LogEvery,
    "log": o.Log,
}
RUN: Group = {
    "resume": (o.Resume, None),
    "dry_run": (o.DryRun, False),
    "metrics": (o.Metrics, "auto"),
    "samples": (o.Samples, 5_000),
    "extractor": (o.ExtractorName, "auto"),
    **with_defaults(Recipe, INTERVALS),
    **OUTPUT,
}
CLASSIFYING = {
    "epochs": o.Epochs,
    "batch": o.BatchSize,
    "seed": o.Seed,
    "lr": o.HighestLr,
    "weight_decay": o.WeightDecay,
    "shift": o.Shift,
    "flip": o.Flip,
    "smoothing": o.Smoothing,
}
CLASSIFIER: Group = {**with_defaults(ClassifierRecipe, CLASSIFYING), **MACHINE, **OUTPUT}


def with_options(*groups: Group, **defaults: Any) -> Callable[[Verb], Verb]:
    """Give a verb the options of `groups`; `defaults` replace theirs. typer reads the signature."""
    merged = {name: option for group in groups for name, option in group.items()}

    def decorate(verb: Verb) -> Verb:
        signature = inspect.signature(verb, eval_str=True)
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        added = [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=defaults.get(name, usual), annotation=kind
            )
            for name, (kind, usual) in merged.items()
        ]
        verb.__signature__ = signature.replace(parameters=own + added)  # type: ignore[attr-defined]
        return verb

    return decorate


def print_run(train: Callable[[], Any]) -> None:
    """Train, and print the run's folder in the main process; after Ctrl-C, how to go on."""
    from gantl_zoo.training.launcher import is_main

    try:
        model = train()
    except Stopped as stopped:
        print(stopped, file=sys.stderr)
        raise
    if is_main():
        print(model.folder.parent)
