"""`plugins`: the installed plug-ins, what each brings, and what is broken."""

from __future__ import annotations

from typing import Any

import typer

from gantl_zoo.cli.options import Json
from gantl_zoo.cli.printing import write_json
from gantl_zoo.errors import PluginError
from gantl_zoo.registry.builtins import REGISTRIES
from gantl_zoo.registry.plugins import Entry, Plugin, installed, singular

EPILOG = """Examples:

  gantl-zoo plugins

  gantl-zoo plugins --json"""


def add(app: typer.Typer) -> None:
    app.command("plugins", epilog=EPILOG)(show_plugins)


def show_plugins(as_json: Json = None) -> None:
    """List the installed plug-ins and what each brings. The exit code is 1 if one is broken."""
    found = [state(plugin) for plugin in installed()]
    if as_json is not None:
        write_json(found, as_json)
    elif not found:
        print("no plug-ins are installed (or GANTL_ZOO_DISABLE_PLUGINS turns them off)")
    else:
        for plugin in found:
            print("\n".join(lines(plugin)))
    if any(plugin["broken"] for plugin in found):
        raise typer.Exit(1)


def state(plugin: Plugin) -> dict[str, Any]:
    """A plug-in, its names, and what is wrong with it."""
    names = [name_state(entry) for entry in plugin.entries]
    broken = [*plugin.wrong, *(one["error"] for one in names if one["error"])]
    return {"name": plugin.name, "version": plugin.version, "names": names, "broken": broken}


def name_state(entry: Entry) -> dict[str, str]:
    """A plug-in's name: what is wrong with it, or another owner of the same name."""
    found = {"kind": singular(entry.kind), "name": entry.name, "error": "", "note": ""}
    try:
        entry.load()
    except PluginError as error:
        return found | {"error": str(error)}
    others = [e for e in REGISTRIES[entry.kind].lookup(entry.name) if e != entry]
    if others:
        found["note"] = f"reachable as {entry.qualified} only, because {others[0].owner} has {entry.name} too"
    return found


def lines(plugin: dict[str, Any]) -> list[str]:
    """A plug-in and its names, for people."""
    found = [f"{plugin['name']} {plugin['version']}"]
    for one in plugin["names"]:
        wrong = f"BROKEN: {one['error']}" if one["error"] else one["note"]
        found.append(f"  {one['kind']} {one['name']}" + (f": {wrong}" if wrong else ""))
    listed = {one["error"] for one in plugin["names"]}
    return found + [f"  BROKEN: {wrong}" for wrong in plugin["broken"] if wrong not in listed]
