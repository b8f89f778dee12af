"""`train` and `transfer`: a GAN from scratch, or from another GAN."""

from __future__ import annotations

from typing import Annotated

import typer

from gantl_zoo.cli import options as o
from gantl_zoo.errors import UsageError

TRAIN_EPILOG = """Examples:

  gantl-zoo train dcgan --data mnist --steps 20000 --batch 64 --out runs

  gantl-zoo train dcgan --data ./photos --image-size 64 --aug diffaugment

  gantl-zoo train --resume runs/00003-dcgan-mnist"""
TRANSFER_EPILOG = """Examples:

  gantl-zoo transfer dcgan-mnist --data glyphs --compare-scratch

  gantl-zoo transfer dcgan-mnist --data ./photos --channels 1 --shots 100

  gantl-zoo transfer dcgan-mnist --data fashion-mnist --strategy partial"""

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
Strategy = Annotated[str, typer.Option(help="How to transfer.", rich_help_panel="Strategy")]
StrategyArgs = Annotated[
    list[str] | None,
    typer.Option("--strategy-arg", help="Its setting KEY=VALUE.", rich_help_panel="Strategy"),
]
CompareScratch = Annotated[
    bool,
    typer.Option(
        "--compare-scratch", help="Train from scratch, too; tell who won.", rich_help_panel="Strategy"
    ),
]


def add(app: typer.Typer) -> None:
    app.command(epilog=TRAIN_EPILOG)(train)
    app.command(epilog=TRANSFER_EPILOG)(transfer)


def train(
    generator: Annotated[str | None, typer.Argument(help="A generator's name.")] = None,
    discriminator: DiscriminatorName = None,
    generator_arg: GeneratorArgs = None,
    discriminator_arg: DiscriminatorArgs = None,
    data: o.Data = "",
    data_root: o.DataRoot = None,
    shots: o.Shots = None,
    data_seed: o.DataSeed = 0,
    image_size: o.ImageSize = None,
    channels: o.Channels = None,
    steps: o.Steps = 20_000,
    batch: o.BatchSize = 64,
    seed: o.Seed = 0,
    loss: o.Loss = "non-saturating",
    aug: o.Augmentation = "none",
    r1: o.R1 = 0.0,
    lr: o.Lr = 2e-4,
    discriminator_lr: o.DiscriminatorLr = None,
    decay: o.Decay = 0.0,
    ema_images: o.EmaImages = 20_000,
    precision: o.Precision = "auto",
    device: o.Device = "auto",
    out: o.Out = o.RUNS,
    title: o.Title = "",
    resume: o.Resume = None,
    dry_run: o.DryRun = False,
    metrics: o.Metrics = "fd,classes",
    samples: o.Samples = 5_000,
    extractor: o.ExtractorName = "auto",
    metrics_every: o.MetricsEvery = 2_000,
    checkpoint_every: o.CheckpointEvery = 2_000,
    log_every: o.LogEvery = 100,
    quiet: o.Quiet = False,
) -> None:
    """Train a GAN from scratch. The run's folder is the last line on standard output."""
    settings = dict(locals())
    need(settings, "generator", "a generator, such as dcgan")
    for name in ("generator", "discriminator"):
        settings[f"{name}_config"] = o.arguments(settings.pop(f"{name}_arg"), f"--{name}-arg")
    perform("train", settings)


def transfer(
    source: Annotated[str | None, typer.Argument(help="A GAN: a release, a model or run folder.")] = None,
    strategy: Strategy = "full",
    strategy_arg: StrategyArgs = None,
    compare_scratch: CompareScratch = False,
    data: o.Data = "",
    data_root: o.DataRoot = None,
    shots: o.Shots = None,
    data_seed: o.DataSeed = 0,
    channels: o.Channels = None,
    steps: o.Steps = 2_000,
    batch: o.BatchSize = 64,
    seed: o.Seed = 0,
    loss: o.Loss = "non-saturating",
    aug: o.Augmentation = "none",
    r1: o.R1 = 0.0,
    lr: o.Lr = 2e-4,
    discriminator_lr: o.DiscriminatorLr = None,
    decay: o.Decay = 0.0,
    ema_images: o.EmaImages = 20_000,
    precision: o.Precision = "auto",
    device: o.Device = "auto",
    out: o.Out = o.RUNS,
    title: o.Title = "",
    resume: o.Resume = None,
    dry_run: o.DryRun = False,
    metrics: o.Metrics = "fd,classes",
    samples: o.Samples = 5_000,
    extractor: o.ExtractorName = "auto",
    metrics_every: o.MetricsEvery = 200,
    checkpoint_every: o.CheckpointEvery = 1_000,
    log_every: o.LogEvery = 50,
    quiet: o.Quiet = False,
) -> None:
    """Adapt a GAN to your images. The run's folder is the last line on standard output."""
    settings = dict(locals())
    need(settings, "source", "a GAN, such as dcgan-mnist")
    settings["strategy_config"] = o.arguments(settings.pop("strategy_arg"), "--strategy-arg")
    perform("transfer", settings)


def need(settings: dict[str, object], positional: str, what: str) -> None:
    """Name and data are needed, unless a run is resumed."""
    if settings["resume"] is not None:
        settings[positional] = settings[positional] or ""
    elif not settings[positional]:
        raise UsageError(f"which one? name {what}, or continue a run with --resume RUN")
    elif not settings["data"]:
        raise UsageError("--data is missing: a data name (mnist, glyphs, …), a folder or a zip of images")


def perform(verb: str, settings: dict[str, object]) -> None:
    """Call the function of that verb; print the run's path."""
    from gantl_zoo import run
    from gantl_zoo.dry import dry_run as say

    settings["metrics"] = o.metric_names(str(settings["metrics"]))
    if settings.pop("dry_run"):
        typer.echo(say(verb, settings))
        return
    function = run.train if verb == "train" else run.transfer
    gan = function(settings.pop("generator" if verb == "train" else "source"), **settings)  # type: ignore[arg-type]
    assert gan.folder is not None
    typer.echo(gan.folder.parent)
