"""The options of the training verbs in groups. A verb takes them as `**settings`:

@with_options(DATA, ADVERSARIAL, often=("data", "steps"), steps=2_000)
def transfer(source: …, **settings: object) -> None: …
"""

from __future__ import annotations

import inspect
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import typer

from gantl_zoo.cli import options as o
from gantl_zoo.cli.options import Group, field_options
from gantl_zoo.errors import Stopped
from gantl_zoo.runs.measuring import Measuring
from gantl_zoo.runs.spec import DataSpec
from gantl_zoo.training.classifier_recipe import ClassifierRecipe
from gantl_zoo.training.recipe import Recipe

Verb = TypeVar("Verb", bound=Callable[..., Any])

STABILITY = ("skip_limit", "rollback_limit", "on_collapse", "watch_every")
INTERVALS = ("metrics_every", "checkpoint_every", "log_every", "log")
MACHINE = ("precision", "device")
KEPT = ("split_by", "place", "memory")  # fields that a run keeps and nobody types

SPOKEN = {"source": "data", "root": "data_root"}
DATA: Group = field_options(DataSpec, o.DATA, without=(*KEPT, "image_size"), names=SPOKEN)
SIZE: Group = field_options(DataSpec, o.DATA, only=("image_size",))
MEASURING: Group = field_options(Measuring, o.OUTPUT)
OUTPUT: Group = {
    "out": (o.Out, o.RUNS),
    "title": (o.Title, ""),
    "quiet": (o.Quiet, False),
    "as_json": (o.JsonFile, None),
}
ADVERSARIAL: Group = {
    "conditional": (o.Conditional, None),
    "preset": (o.PresetName, None),
    "minutes": (o.Minutes, None),
    **field_options(Recipe, o.TRAINING, without=(*STABILITY, *INTERVALS)),
    **field_options(Recipe, o.STABILITY, only=STABILITY),
}
RUN: Group = {
    "resume": (o.Resume, None),
    "dry_run": (o.DryRun, False),
    **MEASURING,
    **field_options(Recipe, o.OUTPUT, only=INTERVALS),
    **OUTPUT,
    "report": (o.Report, True),
}
CLASSIFIER: Group = {
    **field_options(ClassifierRecipe, o.TRAINING),
    **field_options(Recipe, o.TRAINING, only=MACHINE),
    **OUTPUT,
}


def with_options(*groups: Group, often: Iterable[str] = (), **defaults: Any) -> Callable[[Verb], Verb]:
    """Give a verb the options of `groups`, whose defaults `defaults` replace; typer reads the signature.

    `often` names the options that the plain help shows; --help-all shows all.
    """
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
        verb.often = tuple(often)  # type: ignore[attr-defined]
        return verb

    return decorate


def print_run(train: Callable[[], Any], as_json: str | None = None, line: str = "") -> None:
    """Train. The main process prints what `line` makes of the first metric, and the run's folder as the last
    line; or, for the file "-", JSON alone. After Ctrl-C it prints how to go on.
    """
    from gantl_zoo.training.launcher import is_main

    start = time.perf_counter()
    try:
        model = train()
    except Stopped as stopped:
        print(stopped, file=sys.stderr)
        raise
    if not is_main():
        return
    if as_json is not None:
        from gantl_zoo.cli.printing import write_json

        write_json(result(model, time.perf_counter() - start), as_json)
    if as_json != "-":
        if line:
            print(line.format(**model.about["metrics"][0]))
        print(model.folder.parent)


def result(model: Any, seconds: float) -> dict[str, Any]:
    """The result of a run as values that JSON can hold."""
    training = model.about.get("training", {})
    return {
        "run": str(model.folder.parent),
        "model": str(model.folder),
        "kept_step": training.get("best_step"),
        "seconds": round(seconds, 1),
        "metrics": model.about.get("metrics", []),
    }


def typed(context: typer.Context, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that were typed; a resumed run has its own in place of the verb's defaults."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    silent = {name for name, source in sources.items() if source is None or source.name != "COMMANDLINE"}
    given = {name: value for name, value in settings.items() if value not in (None, {})}
    return {name: value for name, value in given.items() if name not in silent}
