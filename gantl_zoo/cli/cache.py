"""`cache`: list what the cache on disk holds, and remove it."""

from __future__ import annotations

from typing import Annotated

import typer

from gantl_zoo.cli.command import Verbs
from gantl_zoo.cli.options import Json
from gantl_zoo.errors import UsageError

EPILOG = """Examples:

  gantl-zoo cache list

  gantl-zoo cache list --kind images --json

  gantl-zoo cache remove images/photos

  gantl-zoo cache remove --all"""

KIND = typer.Option(metavar="KIND", help="Only entries of this kind: images, sums, features or models.")

app = typer.Typer(
    cls=Verbs,
    help="List and remove what is kept on disk: decoded images, checksums, features, models.",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.callback()
def cache() -> None:
    """List and remove what is kept on disk: decoded images, checksums, features, models."""


@app.command("list", epilog=EPILOG)
def list_entries(kind: Annotated[str | None, KIND] = None, as_json: Json = None) -> None:
    """List the entries of the cache, their sizes, and when they were last used."""
    import time

    from gantl_zoo.cli.printing import print_page, table, write_json
    from gantl_zoo.storage.kept import KINDS, entries

    kept = entries(KINDS if kind is None else [kind])
    if as_json is not None:
        rows = [
            {"name": e.name, "kind": e.kind, "path": str(e.path), "bytes": e.size, "used": int(e.used)}
            for e in kept
        ]
        return write_json(rows, as_json)
    if not kept:
        print_page("the cache is empty")
        return
    lines = [
        [e.name, size_text(e.size), time.strftime("%Y-%m-%d %H:%M", time.localtime(e.used))] for e in kept
    ]
    total = ["total", size_text(sum(entry.size for entry in kept)), ""]
    print_page("\n".join(table([["entry", "size", "last used"], *lines, total], right=[1])))


@app.command("remove", epilog=EPILOG)
def remove_entries(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME…]", help="Entries as `cache list` names them, or how these begin."),
    ] = None,
    kind: Annotated[str | None, KIND] = None,
    everything: Annotated[bool, typer.Option("--all", help="Remove all entries, or all of --kind.")] = False,
) -> None:
    """Remove entries of the cache. A run that uses one decodes or computes again."""
    from gantl_zoo.cli.printing import print_page
    from gantl_zoo.storage.kept import KINDS, entries, named, remove

    if bool(names) == everything:
        raise UsageError("name the entries to remove, or give --all; gantl-zoo cache list names them")
    kept = entries(KINDS if kind is None else [kind])
    chosen = kept if everything else named(names or [], kept)
    lines = [f"removed {entry.name}" for entry in chosen]  # the name depends on the kind of the file
    for entry in chosen:
        remove(entry)
    freed = size_text(sum(entry.size for entry in chosen))
    print_page("\n".join([*lines, f"{freed} freed"]))


def size_text(size: int) -> str:
    """A number of bytes as text, such as "1.2 GB"."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if size >= factor:
            return f"{size / factor:,.1f} {unit}"
    return f"{size / 1e3:,.1f} kB"
