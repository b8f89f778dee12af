"""The options that verbs share, in groups. A verb takes them as `**settings`:

@with_options(DATA, ADVERSARIAL, steps=2_000)
def transfer(source: …, **settings: object) -> None: …
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from gantl_zoo.cli import options as o

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
MACHINE: Group = {"precision": (o.Precision, "auto"), "device": (o.Device, "auto")}
ADVERSARIAL: Group = {
    "conditional": (o.Conditional, None),
    "steps": (o.Steps, 20_000),
    "batch": (o.BatchSize, 64),
    "accumulate": (o.Accumulate, 1),
    "seed": (o.Seed, 0),
    "loss": (o.Loss, "non-saturating"),
    "aug": (o.Augmentation, "none"),
    "r1": (o.R1, 0.0),
    "lr": (o.Lr, 2e-4),
    "discriminator_lr": (o.DiscriminatorLr, None),
    "beta1": (o.Beta1, 0.5),
    "beta2": (o.Beta2, 0.99),
    "decay": (o.Decay, 0.0),
    "ema_images": (o.EmaImages, 20_000),
    **MACHINE,
    "engine_arg": (o.EngineArgs, None),
    "skip_limit": (o.SkipLimit, 20),
    "rollback_limit": (o.RollbackLimit, 3),
    "on_collapse": (o.OnCollapse, "warn"),
    "watch_every": (o.WatchEvery, 500),
}
OUTPUT: Group = {"out": (o.Out, o.RUNS), "title": (o.Title, ""), "quiet": (o.Quiet, False)}
RUN: Group = {
    "resume": (o.Resume, None),
    "dry_run": (o.DryRun, False),
    "metrics": (o.Metrics, "auto"),
    "samples": (o.Samples, 5_000),
    "extractor": (o.ExtractorName, "auto"),
    "metrics_every": (o.MetricsEvery, 0),
    "checkpoint_every": (o.CheckpointEvery, 2_000),
    "log_every": (o.LogEvery, 100),
    "log": (o.Log, "none"),
    **OUTPUT,
}
CLASSIFIER: Group = {
    "epochs": (o.Epochs, 10),
    "batch": (o.BatchSize, 128),
    "seed": (o.Seed, 0),
    "lr": (o.HighestLr, 1e-3),
    "weight_decay": (o.WeightDecay, 0.01),
    "shift": (o.Shift, 2),
    "flip": (o.Flip, False),
    "smoothing": (o.Smoothing, 0.0),
    **MACHINE,
    **OUTPUT,
}


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
