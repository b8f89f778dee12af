"""`train` and `transfer`: a GAN from scratch, or from another GAN."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated, Any

import typer

from gantl_zoo.cli.options import expand
from gantl_zoo.cli.shared import ADVERSARIAL, DATA, RUN, SIZE, print_run, with_options
from gantl_zoo.errors import UsageError
from gantl_zoo.registry.arguments import from_words
from gantl_zoo.training.recipe import VERBS, Recipe

TRAIN_EPILOG = """Examples:

  gantl-zoo train dcgan --data mnist --steps 20000 --batch 64 --out runs

  gantl-zoo train dcgan --data ./photos --image-size 64 --aug diffaugment

  gantl-zoo train dcgan --data mnist --conditional

  gantl-zoo train --resume runs/00003-dcgan-mnist"""
TRANSFER_EPILOG = """Examples:

  gantl-zoo transfer dcgan-mnist --data glyphs --compare-scratch

  gantl-zoo transfer dcgan-mnist --data ./photos --image-size 64 --shots 100

  gantl-zoo transfer dcgan-mnist --data fashion-mnist --strategy partial

  gantl-zoo transfer dcgan-mnist --data fashion-mnist --conditional

  gantl-zoo transfer dcgan-mnist --data glyphs --strategy freeze-d+l2-sp"""

GeneratorArgs = Annotated[
    list[str] | None,
    typer.Option("--generator-arg", help="Builder argument KEY=VALUE.", rich_help_panel="Networks"),
]
DiscriminatorArgs = Annotated[
    list[str] | None,
    typer.Option("--discriminator-arg", help="Builder argument KEY=VALUE.", rich_help_panel="Networks"),
]
DiscriminatorName = Annotated[
    str | None, typer.Option(help="Another discriminator.", rich_help_panel="Networks")
]
Strategy = Annotated[
    str,
    typer.Option(
        help="How to transfer: a name (gantl-zoo list --kind strategies), several joined by +, or auto.",
        rich_help_panel="Strategy",
    ),
]
StrategyArgs = Annotated[
    list[str] | None,
    typer.Option("--strategy-arg", help="Its setting KEY=VALUE.", rich_help_panel="Strategy"),
]
LatentDim = Annotated[
    int | None, typer.Option(help="Another latent size than the source's.", rich_help_panel="Strategy")
]
CompareScratch = Annotated[
    bool,
    typer.Option(
        "--compare-scratch", help="Also train from scratch, and compare.", rich_help_panel="Strategy"
    ),
]


def add(app: typer.Typer) -> None:
    app.command(epilog=TRAIN_EPILOG)(train)
    app.command(epilog=TRANSFER_EPILOG)(transfer)


@with_options(SIZE, DATA, ADVERSARIAL, RUN)
def train(
    context: typer.Context,
    generator: Annotated[str | None, typer.Argument(help="A generator's name.")] = None,
    discriminator: DiscriminatorName = None,
    generator_arg: GeneratorArgs = None,
    discriminator_arg: DiscriminatorArgs = None,
    **settings: Any,
) -> None:
    """Train a GAN from scratch. The run's folder is the last line on standard output."""
    need(generator or settings["preset"], settings, "a generator, such as dcgan")
    settings["discriminator"] = discriminator
    settings["generator_config"] = from_words(generator_arg or (), "--generator-arg")
    settings["discriminator_config"] = from_words(discriminator_arg or (), "--discriminator-arg")
    perform(context, generator or "", settings)


@with_options(SIZE, DATA, ADVERSARIAL, RUN, **VERBS["transfer"])
def transfer(
    context: typer.Context,
    source: Annotated[
        str | None, typer.Argument(help="A GAN: a release, a model or run folder.", callback=expand)
    ] = None,
    strategy: Strategy = "auto",
    strategy_arg: StrategyArgs = None,
    latent_dim: LatentDim = None,
    compare_scratch: CompareScratch = False,
    **settings: Any,
) -> None:
    """Adapt a GAN to your images. The run's folder is the last line on standard output."""
    need(source, settings, "a GAN, such as dcgan-mnist")
    settings |= {"strategy": strategy, "compare_scratch": compare_scratch, "latent_dim": latent_dim}
    settings["strategy_config"] = from_words(strategy_arg or (), "--strategy-arg")
    perform(context, source or "", settings)


def need(name: str | None, settings: dict[str, Any], what: str) -> None:
    """Name and data are needed, unless a run is resumed."""
    if settings["resume"] is not None:
        return
    if not name:
        raise UsageError(f"which one? name {what}, or continue a run with --resume RUN")
    if not settings["data"]:
        raise UsageError("--data is missing: a data name (mnist, glyphs, …), a folder or a zip of images")


def said(context: typer.Context, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that were typed; a resumed run has its own instead of our defaults."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    silent = {name for name, source in sources.items() if source is None or source.name != "COMMANDLINE"}
    there = {name: value for name, value in settings.items() if value not in (None, {})}
    return {name: value for name, value in there.items() if name not in silent}


def perform(context: typer.Context, name: str, settings: dict[str, Any]) -> None:
    """Call the function of that verb; the main process prints the run's path."""
    from gantl_zoo.runs.train import train
    from gantl_zoo.runs.transfer import transfer

    verb = str(context.info_name)
    settings["engine_config"] = from_words(settings.pop("engine_arg") or (), "--engine-arg")
    typed = said(context, settings)
    recipe = {field.name for field in fields(Recipe)}  # the verb has defaults of its own, or a preset's
    settings = {key: value for key, value in settings.items() if key in typed or key not in recipe}
    settings |= {"strategy": typed.get("strategy")} if verb == "transfer" else {}
    if settings.pop("dry_run"):
        print(dry(verb, name, settings))
        return
    if settings["resume"] is not None:
        settings = {"quiet": settings["quiet"]} | typed
    print_run(lambda: (train if verb == "train" else transfer)(name or None, **settings))


def dry(verb: str, name: str, settings: Any) -> str:
    """The text that describes a new run."""
    from gantl_zoo.runs.dry_run import dry_run
    from gantl_zoo.runs.train import prepare_train
    from gantl_zoo.runs.transfer import prepare_transfer

    if settings.pop("resume") is not None:
        raise UsageError("--dry-run says what a new run would do; with --resume it has nothing to say")
    data = settings.pop("data")
    if verb == "train":
        return dry_run(prepare_train(name or None, data, settings))
    return dry_run(prepare_transfer(name, data, settings.pop("strategy"), settings))
