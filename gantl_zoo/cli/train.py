"""`train` and `transfer`: a GAN from scratch, or from another GAN."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated, Any

import typer

from gantl_zoo.cli.options import STRATEGY, arguments, expand, names, network_arguments
from gantl_zoo.cli.shared import ADVERSARIAL, DATA, RUN, SIZE, print_run, typed, with_options
from gantl_zoo.errors import UsageError
from gantl_zoo.training.recipe import VERBS, Recipe

TRAIN_EPILOG = """Examples:

  gantl-zoo train dcgan --data mnist --steps 20000 --batch 64 --out runs

  gantl-zoo train dcgan --data ./photos --image-size 64 --aug diffaugment

  gantl-zoo train dcgan --data mnist --conditional

  gantl-zoo train --resume runs/00003-dcgan-mnist"""
TRANSFER_EPILOG = """Examples:

  gantl-zoo transfer dcgan-faces --data ./photos

  gantl-zoo transfer dcgan-mnist --data glyphs --compare-scratch

  gantl-zoo transfer dcgan-faces --data ./photos --shots 100 --minutes 20

  gantl-zoo transfer dcgan-mnist --data fashion-mnist --strategy partial

  gantl-zoo transfer dcgan-mnist --data fashion-mnist --conditional

  gantl-zoo transfer dcgan-mnist --data glyphs --strategy freeze-d+l2-sp"""
OFTEN = ("data", "image_size", "preset", "steps", "minutes", "aug", "out", "resume")

GeneratorName = Annotated[
    str | None,
    typer.Argument(
        help="A generator; gantl-zoo list --kind generators shows all. [default: chosen for the images]",
        autocompletion=names("generators"),
    ),
]
SourceName = Annotated[
    str | None,
    typer.Argument(
        help="The GAN to adapt: a released model, a model folder, a run folder or a model on the Hub.",
        callback=expand,
        autocompletion=names("models"),
    ),
]
DiscriminatorName = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="A new discriminator. By default train builds the generator's counterpart, and transfer trains "
        "the source's own.",
        rich_help_panel="Networks",
        autocompletion=names("discriminators"),
    ),
]
GeneratorConfig = Annotated[
    list[str] | None, network_arguments("generator", "An argument of the generator, such as width=64.")
]
DiscriminatorConfig = Annotated[
    list[str] | None, network_arguments("discriminator", "An argument of the discriminator.")
]
StrategyName = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="How to transfer. gantl-zoo list --kind strategies shows all, + joins several, auto chooses.",
        rich_help_panel=STRATEGY,
        autocompletion=names("strategies"),
    ),
]
StrategyConfig = Annotated[
    list[str] | None, network_arguments("strategy", "An argument of the strategy, such as first=2.", STRATEGY)
]
LatentDim = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="Size of the latent, if it is not the source's.", rich_help_panel="Networks"
    ),
]
CompareScratch = Annotated[
    bool,
    typer.Option(
        "--compare-scratch",
        help="Also train from scratch for as many steps, and compare.",
        rich_help_panel=STRATEGY,
    ),
]


def add(app: typer.Typer) -> None:
    app.command(epilog=TRAIN_EPILOG)(train)
    app.command(epilog=TRANSFER_EPILOG)(transfer)


@with_options(DATA, SIZE, ADVERSARIAL, RUN, often=(*OFTEN, "conditional", "loss"))
def train(
    context: typer.Context,
    generator: GeneratorName = None,
    discriminator: DiscriminatorName = None,
    generator_config: GeneratorConfig = None,
    discriminator_config: DiscriminatorConfig = None,
    **settings: Any,
) -> None:
    """Train a GAN from scratch. The last line on standard output is the run's folder."""
    need_data(settings)
    settings["discriminator"] = discriminator
    settings["generator_config"] = arguments(generator_config, "--generator-arg")
    settings["discriminator_config"] = arguments(discriminator_config, "--discriminator-arg")
    perform(context, generator or "", settings)


@with_options(DATA, SIZE, ADVERSARIAL, RUN, often=(*OFTEN, "shots", "strategy"), **VERBS["transfer"])
def transfer(
    context: typer.Context,
    source: SourceName = None,
    strategy: StrategyName = "auto",
    strategy_config: StrategyConfig = None,
    discriminator: DiscriminatorName = None,
    discriminator_config: DiscriminatorConfig = None,
    latent_dim: LatentDim = None,
    compare_scratch: CompareScratch = False,
    **settings: Any,
) -> None:
    """Adapt a GAN to your images. The last line on standard output is the run's folder."""
    if settings["resume"] is None and not source:
        raise UsageError("name a GAN, such as dcgan-mnist, or continue a run with --resume RUN")
    need_data(settings)
    settings |= {"strategy": strategy, "compare_scratch": compare_scratch, "latent_dim": latent_dim}
    settings["strategy_config"] = arguments(strategy_config, "--strategy-arg")
    settings["discriminator"] = discriminator
    settings["discriminator_config"] = arguments(discriminator_config, "--discriminator-arg")
    perform(context, source or "", settings)


def need_data(settings: dict[str, Any]) -> None:
    """Data are needed, unless a run is resumed."""
    if settings["resume"] is None and not settings["data"]:
        raise UsageError("--data is missing: name a data set (mnist, glyphs, …), a folder or a zip of images")


def perform(context: typer.Context, name: str, settings: dict[str, Any]) -> None:
    """Call the function of that verb, and print its result."""
    from gantl_zoo.runs.train import train
    from gantl_zoo.runs.transfer import transfer

    verb, as_json = str(context.info_name), settings.pop("as_json")
    recipe = {field.name for field in fields(Recipe)}  # the verb has defaults of its own, or a preset's
    for key in (name for name in recipe if name.endswith("_config") or name == "final"):
        settings[key] = arguments(settings[key], f"--{key.replace('_config', '-arg')}")
    given = typed(context, settings)
    settings = {key: value for key, value in settings.items() if key in given or key not in recipe}
    settings |= {"strategy": given.get("strategy")} if verb == "transfer" else {}
    if settings.pop("dry_run"):
        print(dry(verb, name, settings))
        return
    if settings["resume"] is not None:
        settings = {key: settings[key] for key in ("quiet", "report")} | given
    print_run(lambda: (train if verb == "train" else transfer)(name or None, **settings), as_json)


def dry(verb: str, name: str, settings: Any) -> str:
    """The text that describes a new run."""
    from gantl_zoo.runs.dry_run import dry_run
    from gantl_zoo.runs.train import prepare_train
    from gantl_zoo.runs.transfer import prepare_transfer

    if settings.pop("resume") is not None:
        raise UsageError("--dry-run describes a new run, so --resume can't be used with it")
    data, _ = settings.pop("data"), settings.pop("report")
    if verb == "train":
        return dry_run(prepare_train(name or None, data, settings))
    return dry_run(prepare_transfer(name, data, settings.pop("strategy"), settings))
