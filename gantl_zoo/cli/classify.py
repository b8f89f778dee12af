"""`classify train|transfer|evaluate`: the backbone's three steps."""

from __future__ import annotations

from typing import Annotated

import typer

from gantl_zoo.cli import options as o
from gantl_zoo.errors import UsageError

EPILOG = """Examples:

  gantl-zoo classify train cnn --data mnist --epochs 10

  gantl-zoo classify train timm:resnet18 --data ./photos --image-size 64

  gantl-zoo classify transfer cnn-mnist --data fashion-mnist

  gantl-zoo classify evaluate cnn-mnist --data mnist"""

app = typer.Typer(
    help="Pre-train, fine-tune and evaluate a classifier.",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode="rich",
)
Epochs = Annotated[int, typer.Option(help="Passes over the images.", rich_help_panel=o.TRAINING)]
Lr = Annotated[float, typer.Option(help="Highest learning rate.", rich_help_panel=o.TRAINING)]
WeightDecay = Annotated[float, typer.Option("--weight-decay", rich_help_panel=o.TRAINING)]
Shift = Annotated[int, typer.Option(help="Shift images by up to so many pixels.", rich_help_panel=o.TRAINING)]
Flip = Annotated[bool, typer.Option("--flip", help="Mirror half of them.", rich_help_panel=o.TRAINING)]
Smoothing = Annotated[float, typer.Option(help="Of labels.", rich_help_panel=o.TRAINING)]


@app.command(epilog=EPILOG)
def train(
    backbone: Annotated[str, typer.Argument(help="A backbone, such as cnn or timm:resnet18.")] = "cnn",
    backbone_arg: Annotated[list[str] | None, typer.Option("--backbone-arg", help="KEY=VALUE.")] = None,
    data: o.Data = "",
    data_root: o.DataRoot = None,
    shots: o.Shots = None,
    data_seed: o.DataSeed = 0,
    image_size: o.ImageSize = None,
    channels: o.Channels = None,
    epochs: Epochs = 10,
    batch: o.BatchSize = 128,
    seed: o.Seed = 0,
    lr: Lr = 1e-3,
    weight_decay: WeightDecay = 0.01,
    shift: Shift = 2,
    flip: Flip = False,
    smoothing: Smoothing = 0.0,
    precision: o.Precision = "auto",
    device: o.Device = "auto",
    out: o.Out = o.RUNS,
    title: o.Title = "",
    quiet: o.Quiet = False,
) -> None:
    """Train a classifier on labelled images."""
    settings = dict(locals())
    settings["backbone_config"] = o.arguments(settings.pop("backbone_arg"), "--backbone-arg")
    perform("classify_train", "backbone", settings)


@app.command(epilog=EPILOG)
def transfer(
    source: Annotated[str, typer.Argument(help="A classifier, such as cnn-mnist.")],
    strategy: Annotated[
        str, typer.Option(help="freeze, partial, full, …", rich_help_panel="Strategy")
    ] = "full",
    strategy_arg: Annotated[
        list[str] | None, typer.Option("--strategy-arg", help="KEY=VALUE.", rich_help_panel="Strategy")
    ] = None,
    data: o.Data = "",
    data_root: o.DataRoot = None,
    shots: o.Shots = None,
    data_seed: o.DataSeed = 0,
    image_size: o.ImageSize = None,
    channels: o.Channels = None,
    epochs: Epochs = 10,
    batch: o.BatchSize = 128,
    seed: o.Seed = 0,
    lr: Lr = 1e-3,
    weight_decay: WeightDecay = 0.01,
    shift: Shift = 2,
    flip: Flip = False,
    smoothing: Smoothing = 0.0,
    precision: o.Precision = "auto",
    device: o.Device = "auto",
    out: o.Out = o.RUNS,
    title: o.Title = "",
    quiet: o.Quiet = False,
) -> None:
    """Fine-tune a classifier on other labelled images."""
    settings = dict(locals())
    settings["strategy_config"] = o.arguments(settings.pop("strategy_arg"), "--strategy-arg")
    perform("classify_transfer", "source", settings)


@app.command(epilog=EPILOG)
def evaluate(
    name: Annotated[str, typer.Argument(help="A classifier, such as cnn-mnist.")],
    data: o.Data = "",
    data_root: o.DataRoot = None,
    image_size: o.ImageSize = None,
    channels: o.Channels = None,
) -> None:
    """Accuracy on held-out images."""
    need_data(data)
    from gantl_zoo.classify import classify_evaluate

    result = classify_evaluate(name, data=data, data_root=data_root, image_size=image_size, channels=channels)
    typer.echo(f"accuracy {result['value']:.4f} on {result['on']}")


def need_data(data: object) -> None:
    if not data:
        raise UsageError("--data is missing: a data name (mnist, …), or a folder with a sub-folder a class")


def perform(name: str, positional: str, settings: dict[str, object]) -> None:
    """Call the function of that name; print its score and the run's path."""
    need_data(settings["data"])
    from gantl_zoo import classify

    model = getattr(classify, name)(settings.pop(positional), **settings)
    metric = model.about["metrics"][0]
    typer.echo(f"accuracy {metric['value']:.4f} on {metric['on']}")
    typer.echo(model.folder.parent)
