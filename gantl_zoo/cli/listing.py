"""`list`, `info`, `plugins`: what there is, and who brings it."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from gantl_zoo.cli.options import expand
from gantl_zoo.cli.share import Endpoint
from gantl_zoo.errors import PluginError, UnknownNameError, UsageError, unknown
from gantl_zoo.registry.builtins import REGISTRIES
from gantl_zoo.registry.plugins import KINDS, Entry, installed, singular

LIST_EPILOG = """Examples:

  gantl-zoo list

  gantl-zoo list 'dc*' --kind models --json

  gantl-zoo list --hub mnist"""


def add(app: typer.Typer) -> None:
    app.command("list", epilog=LIST_EPILOG)(list_names)
    app.command(epilog="Examples:\n\n  gantl-zoo info dcgan-mnist\n\n  gantl-zoo info freeze")(info)
    app.command("plugins", epilog="Example:\n\n  gantl-zoo plugins")(show_plugins)


def list_names(
    pattern: Annotated[str, typer.Argument(help="Shell pattern, such as 'dc*'.")] = "*",
    kind: Annotated[str | None, typer.Option(help=f"One of {', '.join(KINDS)}.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    hub: Annotated[bool, typer.Option("--hub", help="Models on the Hub; PATTERN is part of a name.")] = False,
    endpoint: Endpoint = None,
) -> None:
    """List names: models, generators, discriminators, backbones, strategies, presets."""
    if hub and kind not in (None, "models"):
        raise UsageError(f"--hub lists models, so --kind {kind} has no meaning with it")
    if endpoint and not hub:
        raise UsageError("--endpoint says which Hub, so it needs --hub")
    if hub:
        return list_hub("" if pattern == "*" else pattern, as_json, endpoint)
    if kind is not None and kind not in KINDS:
        raise UsageError(unknown("--kind", kind, KINDS))
    rows = [
        {"kind": k, "name": name, "owner": entry.owner, "version": entry.version}
        for k in ([kind] if kind else KINDS)
        for name in REGISTRIES[k].names(pattern)
        for entry in [REGISTRIES[k].entry(name)]
    ]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    if not rows:
        raise UnknownNameError(f"no name matches {pattern!r}; gantl-zoo list shows all")
    for row in rows:
        owner = "" if row["owner"] == "gantl_zoo" else f"{row['owner']} {row['version']}"
        print(f"{row['kind']:15} {row['name']:24} {owner}".rstrip())


def list_hub(query: str, as_json: bool, endpoint: str | None) -> None:
    """Models on the Hub that name our library, each with the metrics of its card."""
    from gantl_zoo.hub.search import search_hub

    rows = search_hub(query, endpoint=endpoint)
    if as_json:
        print(json.dumps([row.to_dict() for row in rows], indent=2))
        return
    if not rows:
        raise UnknownNameError(f"no model of gantl_zoo on the Hub has {query!r} in its name")
    for row in rows:
        print(f"{row.name:32} {row.task or '':32} {row.license or ''}".rstrip())
        for metric, value in row.metrics.items():
            print(f"  {value:<10.4g} {metric}" if isinstance(value, float) else f"  {value} {metric}")


def info(
    name: Annotated[str, typer.Argument(help="A model, or any registered name.", callback=expand)],
) -> None:
    """Say what a name is, who brings it, its lineage and its metrics."""
    entries = [REGISTRIES[k].info(name) for k in KINDS if name in REGISTRIES[k] and k != "models"]
    for entry in entries:
        describe(name, entry)
    if entries and name not in REGISTRIES["models"]:  # a released model's recipe is a preset of its name
        return
    from gantl_zoo.storage import card
    from gantl_zoo.storage.schema import read_config
    from gantl_zoo.zoo import locate

    folder, origin = locate(name, weights=False)
    config = read_config(folder)
    print(f"{name}: {config['kind']} in {folder}")
    if origin:
        print(f"from the Hub: {origin['repo']} at commit {origin['revision']}")
    print(f"licence: {config.get('license') or 'not stated'}")
    print(card.facts(config, address=name))
    print("lineage: " + json.dumps(config.get("lineage", {}), indent=2))


def describe_preset(name: str) -> None:
    """A preset: what it is for, its settings, and where each was measured."""
    from gantl_zoo.training.presets import load_preset

    preset = load_preset(name)
    print(f"preset {name}: {preset.description}")
    for key, value, measured in preset.describe():
        print(f"  {key:20} {value!s:16} {measured}")


def describe(name: str, entry: Entry) -> None:
    """A registered name, as it was asked for: its owner, arguments and documentation."""
    if entry.kind == "presets":
        return describe_preset(name)
    print(
        f"{singular(entry.kind)} {entry.name}: {entry.reference}, from {entry.owner} {entry.version}".rstrip()
    )
    target: Any = entry.load()
    print(f"  {(target.__doc__ or 'no documentation').strip().splitlines()[0]}")
    defaults = REGISTRIES[entry.kind].configure(name)
    print("  " + (", ".join(f"{k}={v!r}" for k, v in defaults.items()) or "no arguments"))


def show_plugins() -> None:
    """List installed plug-ins, what each brings, and what is wrong with it."""
    if not installed():
        print("no plug-ins are installed (or GANTL_ZOO_DISABLE_PLUGINS turns them off)")
    for plugin in installed():
        print(f"{plugin.name} {plugin.version}")
        for entry in plugin.entries:
            print(f"  {singular(entry.kind)} {entry.name}{state(entry)}")
        for wrong in plugin.wrong:
            print(f"  BROKEN: {wrong}")


def state(entry: Entry) -> str:
    """What is wrong with a plug-in's name, if anything."""
    try:
        entry.load()
    except PluginError as error:
        return f": BROKEN: {error}"
    others = [e for e in REGISTRIES[entry.kind].lookup(entry.name) if e != entry]
    if others:
        return f": reachable as {entry.qualified} only, because {others[0].owner} has {entry.name} too"
    return ""
