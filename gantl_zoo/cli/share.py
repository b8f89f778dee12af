"""`push` and `pull`: models on the Hugging Face Hub."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from gantl_zoo.cli.options import expand

PUSH_EPILOG = """Examples:

  gantl-zoo push runs/00003-mine me/my-gan --license mit

  gantl-zoo push my-gan me/my-gan --license mit --dry-run

  gantl-zoo push my-gan team/their-gan --create-pr"""
PULL_EPILOG = """Examples:

  gantl-zoo pull me/my-gan

  gantl-zoo pull me/my-gan@v1.2 --to my-gan"""

Endpoint = Annotated[
    str | None,
    typer.Option(
        help="Another Hub's address (else HF_ENDPOINT). One without Xet storage needs HF_HUB_DISABLE_XET=1.",
        rich_help_panel="Where",
    ),
]


def add(app: typer.Typer) -> None:
    app.command(epilog=PUSH_EPILOG)(push)
    app.command(epilog=PULL_EPILOG)(pull)


def push(
    source: Annotated[
        str, typer.Argument(help="A model or run folder, or a released model.", callback=expand)
    ],
    repo: Annotated[str, typer.Argument(help="user/name; made if there is none.")],
    private: Annotated[bool, typer.Option("--private", help="A new one is hidden.")] = False,
    revision: Annotated[str | None, typer.Option(help="Branch.", rich_help_panel="Where")] = None,
    create_pr: Annotated[bool, typer.Option("--create-pr", help="As a pull request.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show files and card, send nothing.")] = False,
    license: Annotated[str | None, typer.Option(help="Licence id: mit, apache-2.0, cc-by-4.0, …")] = None,
    card: Annotated[
        Path | None, typer.Option(help="Card whose text is kept (else README.md).", callback=expand)
    ] = None,
    endpoint: Endpoint = None,
) -> None:
    """Share a model, in one commit. Log in first (hf auth login, HF_TOKEN). The last line is model@commit."""
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
        card_file=card,
        endpoint=endpoint,
    )
    print(done)


def pull(
    name: Annotated[str, typer.Argument(help="user/name, or user/name@ and a branch, tag or commit.")],
    to: Annotated[Path | None, typer.Option(help="A folder (else the Hub's cache).", callback=expand)] = None,
    endpoint: Endpoint = None,
) -> None:
    """Fetch a model and check it. Prints the folder and, as the last line, model@commit."""
    from gantl_zoo.hub import pull as hub

    print(hub.pull(name, to=to, endpoint=endpoint))
