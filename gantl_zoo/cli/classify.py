"""`classify train|transfer|evaluate`: the backbone's three steps."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from gantl_zoo.cli import options as o
from gantl_zoo.cli.shared import CLASSIFIER, DATA, SIZE, Group, with_options
from gantl_zoo.cli.train import said
from gantl_zoo.errors import Stopped, UsageError
from gantl_zoo.registry.arguments import from_words

EPILOG = """Examples:

  gantl-zoo classify train cnn --data mnist --epochs 10

  gantl-zoo classify train timm:resnet18 --data ./photos --image-size 64

  gantl-zoo classify train cnn --data mnist --shots 100 --gan dcgan-mnist

  gantl-zoo classify transfer cnn-mnist --data fashion-mnist

  gantl-zoo classify transfer dcgan-mnist --data mnist --strategy freeze

  gantl-zoo classify train --resume runs/00003-cnn-mnist

  gantl-zoo classify evaluate cnn-mnist --data mnist"""
RESUME: Group = {"resume": (o.Resume, None)}

app = typer.Typer(
    help="Pre-train, fine-tune and evaluate a classifier.",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode="rich",
)


@app.command(epilog=EPILOG)
@with_options(SIZE, DATA, CLASSIFIER, RESUME)
def train(
    context: typer.Context,
    backbone: Annotated[
        str | None, typer.Argument(help="A backbone, such as cnn (the default) or timm:resnet18.")
    ] = None,
    backbone_arg: Annotated[list[str] | None, typer.Option("--backbone-arg", help="KEY=VALUE.")] = None,
    gan: Annotated[
        str | None,
        typer.Option(help="A GAN whose samples are used, too.", rich_help_panel="Samples", callback=o.expand),
    ] = None,
    gan_samples: Annotated[
        int, typer.Option(help="How many samples a first classifier labels.", rich_help_panel="Samples")
    ] = 5_000,
    gan_confidence: Annotated[
        float, typer.Option(help="Its least probability for a sample to be used.", rich_help_panel="Samples")
    ] = 0.95,
    **settings: Any,
) -> None:
    """Train a classifier on labelled images."""
    settings |= {"gan": gan, "gan_samples": gan_samples, "gan_confidence": gan_confidence}
    settings["backbone_config"] = from_words(backbone_arg or (), "--backbone-arg")
    perform(context, "classify_train", backbone, settings)


@app.command(epilog=EPILOG)
@with_options(SIZE, DATA, CLASSIFIER, RESUME)
def transfer(
    context: typer.Context,
    source: Annotated[
        str | None, typer.Argument(help="A classifier, a timm: backbone, or a GAN.", callback=o.expand)
    ] = None,
    strategy: Annotated[
        str, typer.Option(help="freeze, partial, full, …", rich_help_panel="Strategy")
    ] = "full",
    strategy_arg: Annotated[
        list[str] | None, typer.Option("--strategy-arg", help="KEY=VALUE.", rich_help_panel="Strategy")
    ] = None,
    **settings: Any,
) -> None:
    """Fine-tune a classifier on other labelled images."""
    settings["strategy"] = strategy
    settings["strategy_config"] = from_words(strategy_arg or (), "--strategy-arg")
    perform(context, "classify_transfer", source, settings)


@app.command(epilog=EPILOG)
def evaluate(
    name: Annotated[str, typer.Argument(help="A classifier, such as cnn-mnist.", callback=o.expand)],
    data: o.Data = "",
    data_root: o.DataRoot = None,
    image_size: o.ImageSize = None,
    channels: o.Channels = None,
) -> None:
    """Accuracy on held-out images."""
    need_data(data)
    from gantl_zoo.runs.classify import classify_evaluate

    report = classify_evaluate(name, data=data, data_root=data_root, image_size=image_size, channels=channels)
    print(f"accuracy {report['accuracy']:.4f} on {report.result('accuracy')['on']}")


def need_data(data: object) -> None:
    if not data:
        raise UsageError("--data is missing: a data name (mnist, …), or a folder with a sub-folder a class")


def perform(context: typer.Context, function: str, name: str | None, settings: dict[str, Any]) -> None:
    """Call that function; print the model's score and the run's path."""
    if settings["resume"] is None:
        need_data(settings["data"])
    else:  # the run has its own settings instead of our defaults
        settings = {"quiet": settings["quiet"]} | said(context, settings)
    from gantl_zoo.runs import classify

    try:
        model = getattr(classify, function)(name, **settings)
    except Stopped as stopped:
        print(stopped, file=sys.stderr)
        raise
    metric = model.about["metrics"][0]
    print(f"accuracy {metric['value']:.4f} on {metric['on']}")
    print(model.folder.parent)
