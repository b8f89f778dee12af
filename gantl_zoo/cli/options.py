"""Options that several verbs share, and how their values are read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from gantl_zoo.errors import UsageError

DATA, TRAINING, STEADINESS, OUTPUT = "Data", "Training", "Steadiness", "Output"
RUNS = Path("runs")
Place = TypeVar("Place", Path, str, None)


def expand(place: Place) -> Place:
    """A path, or a name that may be one, with the home folder for `~`: a shell leaves it in --out=~/runs."""
    return place if place is None else type(place)(os.path.expanduser(place))


Data = Annotated[
    str,
    typer.Option("--data", help="Data name, folder or zip of images.", rich_help_panel=DATA, callback=expand),
]
DataRoot = Annotated[
    Path | None,
    typer.Option(
        "--data-root",
        help="Where torchvision's sets are.",
        rich_help_panel=DATA,
        envvar="GANTL_ZOO_DATA",
        callback=expand,
    ),
]
Shots = Annotated[int | None, typer.Option(help="Use only so many images.", rich_help_panel=DATA)]
DataSeed = Annotated[int, typer.Option("--data-seed", help="Which subset.", rich_help_panel=DATA)]
ImageSize = Annotated[
    int | None, typer.Option("--image-size", help="Side to which images are resized.", rich_help_panel=DATA)
]
Channels = Annotated[int | None, typer.Option(help="Convert to 1 (grey) or 3 (RGB).", rich_help_panel=DATA)]

Conditional = Annotated[
    bool | None,
    typer.Option(
        "--conditional/--unconditional",
        help="With the data's classes, or without; else as the source.",
        rich_help_panel=DATA,
    ),
]

Steps = Annotated[int, typer.Option(help="Training steps.", rich_help_panel=TRAINING)]
Minutes = Annotated[
    float | None,
    typer.Option(help="As many steps as take so many minutes here.", rich_help_panel=TRAINING),
]
PresetName = Annotated[
    str | None,
    typer.Option(
        "--preset",
        help="A recipe by name (gantl-zoo list --kind presets); other options replace its settings.",
        rich_help_panel=TRAINING,
    ),
]
BatchSize = Annotated[int, typer.Option("--batch", help="Images a step.", rich_help_panel=TRAINING)]
Seed = Annotated[int, typer.Option(help="Seed of everything random.", rich_help_panel=TRAINING)]
Loss = Annotated[
    str,
    typer.Option(help="hinge, minimax, non-saturating or relativistic.", rich_help_panel=TRAINING),
]
Accumulate = Annotated[
    int, typer.Option(help="Rounds in which a batch is worked off (less memory).", rich_help_panel=TRAINING)
]
Augmentation = Annotated[
    str, typer.Option("--aug", help="none, diffaugment or ada.", rich_help_panel=TRAINING)
]
R1 = Annotated[float, typer.Option("--r1", help="Weight of the gradient penalty.", rich_help_panel=TRAINING)]
Lr = Annotated[float, typer.Option(help="Learning rate of both players.", rich_help_panel=TRAINING)]
DiscriminatorLr = Annotated[
    float | None,
    typer.Option("--discriminator-lr", help="Another for the discriminator.", rich_help_panel=TRAINING),
]
Beta1 = Annotated[float, typer.Option("--beta1", help="Adam's first decay.", rich_help_panel=TRAINING)]
Beta2 = Annotated[float, typer.Option("--beta2", help="Adam's second decay.", rich_help_panel=TRAINING)]
Decay = Annotated[
    float,
    typer.Option(help="Learning rates fall to zero over this last share.", rich_help_panel=TRAINING),
]
EmaImages = Annotated[
    int, typer.Option("--ema-images", help="Half-life of the average, in images.", rich_help_panel=TRAINING)
]
Precision = Annotated[str, typer.Option(help="auto, fp32, bf16, or (GANs) fp16.", rich_help_panel=TRAINING)]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, …", rich_help_panel=TRAINING)]

EngineArgs = Annotated[
    list[str] | None,
    typer.Option(
        "--engine-arg",
        help="KEY=VALUE: allocator, compile, memory_format, optimizer, threads.",
        rich_help_panel=TRAINING,
    ),
]
SkipLimit = Annotated[
    int,
    typer.Option(
        "--skip-limit", help="Steps skipped in a row before a roll-back.", rich_help_panel=STEADINESS
    ),
]
RollbackLimit = Annotated[
    int, typer.Option("--rollback-limit", help="Roll-backs before the run stops.", rich_help_panel=STEADINESS)
]
OnCollapse = Annotated[
    str, typer.Option("--on-collapse", help="warn, rollback or stop.", rich_help_panel=STEADINESS)
]
WatchEvery = Annotated[
    int,
    typer.Option("--watch-every", help="Steps between checks for a collapse.", rich_help_panel=STEADINESS),
]
Epochs = Annotated[int, typer.Option(help="Passes over the images.", rich_help_panel=TRAINING)]
HighestLr = Annotated[float, typer.Option(help="Highest learning rate.", rich_help_panel=TRAINING)]
WeightDecay = Annotated[float, typer.Option("--weight-decay", rich_help_panel=TRAINING)]
Shift = Annotated[int, typer.Option(help="Shift images by up to so many pixels.", rich_help_panel=TRAINING)]
Flip = Annotated[bool, typer.Option("--flip", help="Mirror half of them.", rich_help_panel=TRAINING)]
Smoothing = Annotated[float, typer.Option(help="Of labels.", rich_help_panel=TRAINING)]

Out = Annotated[
    Path,
    typer.Option(
        "--out", help="Parent of the numbered run folders.", rich_help_panel=OUTPUT, callback=expand
    ),
]
Title = Annotated[
    str, typer.Option("--title", help="The model's name (else the run's).", rich_help_panel=OUTPUT)
]
Resume = Annotated[
    Path | None,
    typer.Option(help="Continue this run, with its own settings.", rich_help_panel=OUTPUT, callback=expand),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done.", rich_help_panel=OUTPUT)]
Metrics = Annotated[
    str,
    typer.Option(
        help="auto, none, or of fd, kd, pr, is, mifid, memory, diversity, classes, modes.",
        rich_help_panel=OUTPUT,
    ),
]
Samples = Annotated[int, typer.Option(help="Images that are measured.", rich_help_panel=OUTPUT)]
ExtractorName = Annotated[
    str,
    typer.Option(
        "--extractor",
        help="auto, pixels, inception, a backbone's name, or channelwise:NAME.",
        rich_help_panel=OUTPUT,
    ),
]
MetricsEvery = Annotated[
    int,
    typer.Option(
        "--metrics-every", help="In steps; 0: as often as takes a tenth of the time.", rich_help_panel=OUTPUT
    ),
]
CheckpointEvery = Annotated[int, typer.Option("--checkpoint-every", help="In steps.", rich_help_panel=OUTPUT)]
LogEvery = Annotated[int, typer.Option("--log-every", help="In steps.", rich_help_panel=OUTPUT)]
Log = Annotated[str, typer.Option(help="tensorboard, or none.", rich_help_panel=OUTPUT)]
Quiet = Annotated[bool, typer.Option("--quiet", help="Nothing on standard error.", rich_help_panel=OUTPUT)]


MOST_SEEDS = 100_000  # their images lie in memory


def seeds(text: str) -> list[int]:
    """`0-15,40` as numbers. Raises `UsageError` for an empty, reversed or unreadable range."""
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise UsageError(
                f"--seeds {text!r}: {part!r} is no seed; write numbers and ranges, such as 0-15,40"
            )
        if dash and int(last) < int(first):
            raise UsageError(f"--seeds {text!r}: the range {part} runs backwards; write {last}-{first}")
        count = len(found) + int(last or first) - int(first) + 1
        if count > MOST_SEEDS or int(last or first) >= 1 << 32:
            raise UsageError(f"--seeds {text!r}: at most {MOST_SEEDS:,} at once, each below 2³²")
        found += range(int(first), int(last or first) + 1)
    return found
