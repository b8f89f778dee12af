"""`push` and `pull`: models on the Hugging Face Hub."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from gantl_zoo.cli.options import expand, names

PUSH_EPILOG = """Examples:

  gantl-zoo push runs/00003-mine me/my-gan --license mit

  gantl-zoo push my-gan me/my-gan --license mit --dry-run

  gantl-zoo push my-gan team/their-gan --create-pr

  gantl-zoo push my-gan me/my-gan --space me/my-gan-samples"""
PULL_EPILOG = """Examples:

  gantl-zoo pull me/my-gan

  gantl-zoo pull me/my-gan@v1.2 --to my-gan"""

Endpoint = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Address of another Hub, in place of HF_ENDPOINT. A Hub without Xet storage needs "
        "HF_HUB_DISABLE_XET=1.",
    ),
]


def add(app: typer.Typer) -> None:
    app.command(epilog=PUSH_EPILOG)(push)
    app.command(epilog=PULL_EPILOG)(pull)


Source = Annotated[
    str,
    typer.Argument(
        help="A model folder, a run folder or a released model.",
        callback=expand,
        autocompletion=names("models"),
    ),
]
Repo = Annotated[str, typer.Argument(help="A repository, user/name. It is created if it does not exist.")]
Private = Annotated[bool, typer.Option("--private", help="Create a private repository.")]
Branch = Annotated[str | None, typer.Option(metavar="BRANCH", help="Push to this branch.")]
CreatePr = Annotated[bool, typer.Option("--create-pr", help="Open a pull request.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the files and the card, and send nothing.")]
License = Annotated[
    str | None, typer.Option(metavar="ID", help="Licence of the model: mit, apache-2.0, cc-by-4.0, …")
]
OwnWeights = Annotated[
    bool,
    typer.Option(
        "--own-weights",
        help="Confirm that nobody else trained the imported weights, so that terms for other files of their "
        "format don't restrict the licence.",
    ),
]
Card = Annotated[
    Path | None,
    typer.Option(
        "--card",
        "--card-file",
        metavar="FILE",
        help="A model card whose text is kept; by default the folder's README.md.",
        callback=expand,
    ),
]


Space = Annotated[
    str | None,
    typer.Option(
        metavar="USER/NAME", help="Also push a small Gradio application for the model to this Space."
    ),
]


def push(
    source: Source,
    repo: Repo,
    private: Private = False,
    revision: Branch = None,
    create_pr: CreatePr = False,
    dry_run: DryRun = False,
    license: License = None,
    own_weights: OwnWeights = False,
    card: Card = None,
    space: Space = None,
    endpoint: Endpoint = None,
) -> None:
    """Share a model on the Hub, in one commit. Log in first, with hf auth login or HF_TOKEN. The last line on
    standard output is model@commit.
    """
    from gantl_zoo.hub import push as hub

    if license is None and sys.stdin.isatty() and not hub.licence_of(source):
        license = typer.prompt("Licence of the model (mit, apache-2.0, cc-by-4.0, …)")
    done = hub.push(
        source,
        repo,
        private=private,
        revision=revision,
        create_pr=create_pr,
        dry_run=dry_run,
        license=license,
        own_weights=own_weights,
        card_file=card,
        space=space,
        endpoint=endpoint,
    )
    print(done)


def pull(
    name: Annotated[
        str, typer.Argument(help="A model on the Hub: user/name, or user/name@ and a branch, tag or commit.")
    ],
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Copy the model here; by default it stays in the Hub's cache.",
            callback=expand,
        ),
    ] = None,
    endpoint: Endpoint = None,
) -> None:
    """Fetch a model from the Hub and check it. Prints the folder and, as the last line, model@commit."""
    from gantl_zoo.hub import pull as hub

    print(hub.pull(name, to=to, endpoint=endpoint))
