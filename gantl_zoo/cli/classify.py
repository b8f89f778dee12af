"""`classify train|transfer|evaluate`: train, fine-tune and evaluate a classifier."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gantl_zoo.cli import options as o
from gantl_zoo.cli.command import Verbs
from gantl_zoo.cli.shared import CLASSIFIER, DATA, SIZE, print_run, typed, with_options
from gantl_zoo.cli.train import StrategyConfig, StrategyName
from gantl_zoo.console import say
from gantl_zoo.errors import UsageError
from gantl_zoo.training.classifier_recipe import CHOSEN

EPILOG = """Examples:

  gantl-zoo classify train cnn --data mnist --epochs 10

  gantl-zoo classify train timm:resnet18 --data ./photos --image-size 64

  gantl-zoo classify train cnn --data mnist --shots 100 --gan dcgan-mnist

  gantl-zoo classify transfer efficientnet-lite0-imagenet --data ./photos

  gantl-zoo classify transfer cnn-mnist --data fashion-mnist

  gantl-zoo classify transfer dcgan-mnist --data mnist --strategy freeze

  gantl-zoo classify train --resume runs/00003-cnn-mnist

  gantl-zoo classify evaluate cnn-mnist --data mnist"""
RESUME: o.Group = {"resume": (o.Resume, None)}
OFTEN = ("data", "shots", "image_size", "epochs", "batch", "lr", "out", "resume")
SAMPLES = "Samples of a GAN"

app = typer.Typer(
    cls=Verbs,
    help="Train, fine-tune and evaluate a classifier.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


BackboneName = Annotated[
    str | None,
    typer.Argument(
        help="A backbone, such as cnn (the default) or timm:resnet18.", autocompletion=o.names("backbones")
    ),
]
BackboneConfig = Annotated[list[str] | None, o.network_arguments("backbone", "An argument of the backbone.")]
HelperGan = Annotated[
    str | None,
    typer.Option(
        metavar="GAN",
        help="Add samples of this GAN to the training images.",
        rich_help_panel=SAMPLES,
        callback=o.expand,
        autocompletion=o.names("models"),
    ),
]
Pictures = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Write confusion.png and mistakes.png into this folder.",
        rich_help_panel=o.OUTPUT,
        callback=o.expand,
    ),
]
GanSamples = Annotated[
    int,
    typer.Option(
        metavar="N", help="Number of samples that a first classifier labels.", rich_help_panel=SAMPLES
    ),
]
GanConfidence = Annotated[
    float,
    typer.Option(
        metavar="X",
        help="Lowest probability of that label for a sample to be added.",
        rich_help_panel=SAMPLES,
    ),
]


@app.command(epilog=EPILOG)
@with_options(DATA, SIZE, CLASSIFIER, RESUME, often=(*OFTEN, "flip", "gan"))
def train(
    context: typer.Context,
    backbone: BackboneName = None,
    backbone_config: BackboneConfig = None,
    gan: HelperGan = None,
    gan_samples: GanSamples = 5_000,
    gan_confidence: GanConfidence = 0.95,
    **settings: Any,
) -> None:
    """Train a classifier on labelled images. The last line on standard output is the run's folder."""
    settings |= {"gan": gan, "gan_samples": gan_samples, "gan_confidence": gan_confidence}
    settings["backbone_config"] = o.arguments(backbone_config, "--backbone-arg")
    perform(context, "classify_train", backbone, settings)


@app.command(epilog=EPILOG)
@with_options(DATA, SIZE, CLASSIFIER, RESUME, often=(*OFTEN, "flip", "strategy"), **CHOSEN)
def transfer(
    context: typer.Context,
    source: Annotated[
        str | None,
        typer.Argument(
            help="A classifier, a timm: backbone or a GAN, whose discriminator becomes the backbone.",
            callback=o.expand,
            autocompletion=o.names("models"),
        ),
    ] = None,
    strategy: StrategyName = "auto",
    strategy_config: StrategyConfig = None,
    **settings: Any,
) -> None:
    """Fine-tune a classifier on other labelled images. The last line on standard output is the run.

    For a pretrained network of timm, strategy and recipe are chosen for the images.
    """
    settings["strategy"] = strategy
    settings["strategy_config"] = o.arguments(strategy_config, "--strategy-arg")
    perform(context, "classify_transfer", source, settings)


@app.command(epilog=EPILOG)
@with_options(DATA, SIZE, {"out": (Pictures, None), "as_json": (o.JsonFile, None)})
def evaluate(
    name: Annotated[
        str,
        typer.Argument(
            help="A classifier, such as cnn-mnist.", callback=o.expand, autocompletion=o.names("models")
        ),
    ],
    **settings: Any,
) -> None:
    """Measure the accuracy of a classifier on held-out images, in all and class by class."""
    need_data(settings["data"])
    from gantl_zoo.cli.printing import write_json
    from gantl_zoo.runs.classify import classify_evaluate

    as_json, out = settings.pop("as_json"), settings.pop("out")
    report = classify_evaluate(name, **settings)
    for picture in report.save_pictures(out) if out is not None else ():
        say(f"picture: {picture}")
    if as_json is not None:
        write_json(report.results, as_json)
    if as_json != "-":
        print(f"accuracy {report['accuracy']:.4f} on {report.result('accuracy')['on']}")
        print("\n".join(report.class_table()))


def need_data(data: object) -> None:
    if not data:
        raise UsageError(
            "--data is missing: name a data set (mnist, …), or a folder with one sub-folder per class"
        )


def perform(context: typer.Context, function: str, name: str | None, settings: dict[str, Any]) -> None:
    """Call that function; print the model's accuracy and the run's folder."""
    as_json = settings.pop("as_json")
    if settings["resume"] is None:
        need_data(settings["data"])
    else:  # the run has its own settings instead of our defaults
        settings = {"quiet": settings["quiet"]} | typed(context, settings)
    from gantl_zoo.runs import classify

    print_run(lambda: getattr(classify, function)(name, **settings), as_json, "accuracy {value:.4f} on {on}")
