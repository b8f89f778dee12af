"""`info`: what a name means."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from gantl_zoo.cli.options import Json, expand, names
from gantl_zoo.cli.printing import print_page, write_json
from gantl_zoo.errors import UnknownNameError, closest, unknown
from gantl_zoo.registry.builtins import REGISTRIES
from gantl_zoo.registry.releases import is_path

EPILOG = """Examples:

  gantl-zoo info dcgan-mnist

  gantl-zoo info freeze-d

  gantl-zoo info runs/00003-mine --json"""


def add(app: typer.Typer) -> None:
    app.command(epilog=EPILOG)(info)


def info(
    name: Annotated[
        str,
        typer.Argument(
            help="A model's name or folder, or any other name in gantl-zoo list.",
            callback=expand,
            autocompletion=names(),
        ),
    ],
    as_json: Json = None,
) -> None:
    """Show what a name means. Of a model: sizes, origin, recipe and metrics; else the arguments."""
    check(name)
    kinds = [kind for kind in REGISTRIES if name in REGISTRIES[kind]] or ["models"]
    shown = [model_pages(name) if kind == "models" else pages(kind, name) for kind in kinds]
    if as_json is not None:
        alone = len(shown) == 1 or kinds[0] == "models"  # its preset has a page, but is not the model
        write_json(shown[0][1] if alone else [facts for _, facts in shown], as_json)
    else:
        print_page("\n\n".join(text for text, _ in shown))


def check(name: str) -> None:
    """Raises `UnknownNameError`, with the closest names of all kinds, for a word that is none of them and
    is not a path or a model on the Hub.
    """
    if is_path(name) or "/" in name or ":" in name or os.path.isdir(name):
        return
    if not any(registry.lookup(name) for registry in REGISTRIES.values()):
        near = closest(name, (one for registry in REGISTRIES.values() for one in registry.names()))
        hint = f"gantl-zoo list shows all; there is no folder {name}, and a model on the Hub is user/name"
        raise UnknownNameError(unknown("name", name, near, hint=hint))


def pages(kind: str, name: str) -> tuple[str, dict[str, Any]]:
    """A registered name as a page, and as data."""
    from gantl_zoo.cli.info_builder import facts, page

    about = facts(kind, name)
    return page(about), about


def model_pages(name: str) -> tuple[str, dict[str, Any]]:
    """A model as a page, and as data."""
    from gantl_zoo.cli.info_model import facts, page

    about = facts(name)
    return page(about), about
