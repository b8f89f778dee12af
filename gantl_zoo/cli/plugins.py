"""`plugins`: the installed plug-ins, what each brings, what is broken, and what breaks a convention."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from gantl_zoo.cli.options import Json
from gantl_zoo.cli.printing import write_json
from gantl_zoo.errors import PluginError, UnknownNameError, unknown
from gantl_zoo.registry.builtins import REGISTRIES
from gantl_zoo.registry.plugins import Entry, Plugin, installed, normalise, singular

EPILOG = """Examples:

  gantl-zoo plugins

  gantl-zoo plugins --json

  gantl-zoo plugins --check

  gantl-zoo plugins gantl-zoo-example --check"""
SLOW = 2.0  # seconds of an import that are worth a note


def add(app: typer.Typer) -> None:
    app.command("plugins", epilog=EPILOG)(show_plugins)


def typed(incomplete: str) -> list[str]:
    """The names of plug-ins that begin with what is typed."""
    return [plugin.name for plugin in installed() if plugin.name.startswith(incomplete)]


def show_plugins(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="A plug-in; with --check also one registered name.", autocompletion=typed
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Check that each name keeps the conventions of its kind.")
    ] = False,
    as_json: Json = None,
) -> None:
    """List the installed plug-ins and what each brings. The exit code is 1 if one is broken."""
    if check:
        from gantl_zoo.cli.plugins_check import check_plugins

        check_plugins(name, as_json)
        return
    states = [state(plugin) for plugin in chosen(name)]
    if as_json is not None:
        write_json(states, as_json)
    elif not states:
        print("no plug-ins are installed (or GANTL_ZOO_DISABLE_PLUGINS turns them off)")
    else:
        for plugin in states:
            print("\n".join(lines(plugin)))
    if any(plugin["broken"] for plugin in states):
        raise typer.Exit(1)


def chosen(name: str | None) -> list[Plugin]:
    """The plug-in of that name, or all. Raises `UnknownNameError`."""
    matching = [plugin for plugin in installed() if name is None or normalise(plugin.name) == normalise(name)]
    if name is not None and not matching:
        raise UnknownNameError(unknown("plug-in", name, [plugin.name for plugin in installed()]))
    return matching


def state(plugin: Plugin) -> dict[str, Any]:
    """A plug-in, its names, what is wrong with it, and how long it takes to import."""
    import torch  # noqa: F401  # so that its own import does not count as the plug-in's

    start = time.perf_counter()
    names = [name_state(entry) for entry in plugin.entries]
    seconds = round(time.perf_counter() - start, 1)
    broken = [*plugin.wrong, *(one["error"] for one in names if one["error"])]
    about = {"name": plugin.name, "version": plugin.version, "names": names, "broken": broken}
    return about | {"seconds": seconds}


def name_state(entry: Entry) -> dict[str, str]:
    """A plug-in's name: what is wrong with it, or another owner of the same name, or its new name."""
    about = {"kind": singular(entry.kind), "name": entry.name, "error": "", "note": ""}
    if entry.instead:
        return about | {"note": f"deprecated; it is now called {entry.instead}"}
    try:
        entry.load()
    except PluginError as error:
        return about | {"error": str(error)}
    others = [e for e in REGISTRIES[entry.kind].lookup(entry.name) if e != entry]
    if others:
        about["note"] = f"reachable as {entry.qualified} only, because {others[0].owner} has {entry.name} too"
    return about


def lines(plugin: dict[str, Any]) -> list[str]:
    """A plug-in and its names, for people."""
    slow = plugin["seconds"] >= SLOW
    note = f" (takes {plugin['seconds']} s to import: import large packages inside functions)" if slow else ""
    text = [f"{plugin['name']} {plugin['version']}{note}"]
    for one in plugin["names"]:
        wrong = f"BROKEN: {one['error']}" if one["error"] else one["note"]
        text.append(f"  {one['kind']} {one['name']}" + (f": {wrong}" if wrong else ""))
    listed = {one["error"] for one in plugin["names"]}
    return text + [f"  BROKEN: {wrong}" for wrong in plugin["broken"] if wrong not in listed]
