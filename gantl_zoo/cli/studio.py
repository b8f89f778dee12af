"""`studio`: a web application on this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from gantl_zoo.cli.options import expand, names
from gantl_zoo.studio.settings import HOST, PORT

EPILOG = """Examples:

  gantl-zoo studio

  gantl-zoo studio --model dcgan-mnist --root ~/pictures

  gantl-zoo studio --port 0 --no-browser"""
TOKEN = "GANTL_ZOO_STUDIO_TOKEN"


def add(app: typer.Typer) -> None:
    app.command(epilog=EPILOG)(studio)


def studio(
    model: Annotated[
        str, typer.Option(metavar="NAME", help="The model to show first.", autocompletion=names("models"))
    ] = "",
    root: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER", help="The folder that the studio may read and write.", callback=expand
        ),
    ] = Path("."),
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Parent of the numbered run folders. [default: runs, in --root]",
            callback=expand,
        ),
    ] = None,
    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS", help="Address to listen on. Any but this machine's own needs a token."
        ),
    ] = HOST,
    port: Annotated[int, typer.Option(metavar="N", help="Port to listen on; 0 takes a free one.")] = PORT,
    device: Annotated[str, typer.Option(help="Where samples are computed: cpu, cuda, cuda:1, …")] = "cpu",
    browser: Annotated[
        bool | None,
        typer.Option("--browser/--no-browser", help="Open the page in a browser. [default: in a terminal]"),
    ] = None,
) -> None:
    """Open a web page on this machine to explore, train, compare and share models. Prints its address."""
    import sys

    from gantl_zoo.studio.server import serve
    from gantl_zoo.studio.settings import settings_for

    shown = sys.stdout.isatty() and sys.stderr.isatty() if browser is None else browser
    places = {"host": host, "port": port, "token": os.environ.get(TOKEN, "")}
    serve(settings_for(root, out, model=model, device=device, **places), browser=shown)
