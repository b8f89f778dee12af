"""`list`: all registered names, what they mean, and the packages that bring them."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gantl_zoo.cli.options import Json
from gantl_zoo.cli.printing import bold, megabytes, print_page, shape, table, write_json
from gantl_zoo.cli.share import Endpoint
from gantl_zoo.errors import PluginError, UnknownNameError, UsageError, WeightsError, unknown
from gantl_zoo.registry.builtins import REGISTRIES
from gantl_zoo.registry.plugins import Entry

LIST_EPILOG = """Examples:

  gantl-zoo list

  gantl-zoo list 'dc*' --kind models --json

  gantl-zoo list --kind strategies

  gantl-zoo list --hub mnist"""


def kinds(incomplete: str) -> list[str]:
    """The kinds of names that begin with what is typed."""
    return [kind for kind in REGISTRIES if kind.startswith(incomplete)]


def add(app: typer.Typer) -> None:
    app.command("list", epilog=LIST_EPILOG)(list_names)


def list_names(
    pattern: Annotated[str, typer.Argument(help="A shell pattern of names, such as 'dc*'.")] = "*",
    kind: Annotated[
        str | None,
        typer.Option(
            metavar="KIND", help=f"Only one kind of names: {', '.join(REGISTRIES)}.", autocompletion=kinds
        ),
    ] = None,
    as_json: Json = None,
    hub: Annotated[
        bool, typer.Option("--hub", help="List models on the Hub whose names contain PATTERN.")
    ] = False,
    endpoint: Endpoint = None,
) -> None:
    """List all names: models, networks, strategies, data sets, presets. gantl-zoo info NAME describes one."""
    if hub and kind not in (None, "models"):
        raise UsageError(f"--hub lists models, so it can't be used with --kind {kind}")
    if endpoint and not hub:
        raise UsageError("--endpoint is the address of a Hub, so it needs --hub")
    if hub:
        return list_hub("" if pattern == "*" else pattern, as_json, endpoint)
    if kind is not None and kind not in REGISTRIES:
        raise UsageError(unknown("--kind", kind, REGISTRIES))
    rows = {
        k: [row(k, name) for name in REGISTRIES[k].names(pattern)] for k in ([kind] if kind else REGISTRIES)
    }
    if as_json is not None:
        return write_json([one for group in rows.values() for one in group], as_json)
    if not any(rows.values()):
        raise UnknownNameError(f"no name matches {pattern!r}; gantl-zoo list shows all")
    print_page("\n\n".join(page(k, entries) for k, entries in rows.items() if entries))


def row(kind: str, name: str) -> dict[str, Any]:
    """The row of a name in the list. Imports no plug-in."""
    from gantl_zoo.registry.summary import summary

    entry = REGISTRIES[kind].lookup(name)[0]
    if kind == "models":
        known = model_row(entry)
    else:
        known = {"summary": preset_summary(entry) if kind == "presets" else summary(entry)}
    return {"kind": kind, "name": name, "owner": entry.owner, "version": entry.version, **known}


def preset_summary(entry: Entry) -> str:
    """The description of a preset that can be read without importing a plug-in."""
    from gantl_zoo.training.presets import Preset

    target = entry.load() if entry.owner == "gantl_zoo" else entry.target
    return target.description if isinstance(target, Preset) else ""


def model_row(entry: Entry) -> dict[str, Any]:
    """Image shape, size and description of a model that can be read without importing a plug-in."""
    from gantl_zoo.model.info import release_info

    nothing = {"image": None, "bytes": None, "summary": ""}
    if entry.owner != "gantl_zoo" and entry.target is None:  # its folder is known only after an import
        return nothing
    try:
        info = release_info(entry)
    except (PluginError, WeightsError) as error:
        return nothing | {"summary": str(error)}
    image = info.image_shape and list(info.image_shape)
    return {"image": image, "bytes": info.bytes, "summary": info.description}


def page(kind: str, rows: list[dict[str, Any]]) -> str:
    """A kind's heading, and a line for each name."""
    if kind == "models":
        cells = [[r["name"], shape(r["image"]), megabytes(r["bytes"]), about(r)] for r in rows]
        lines = table(cells, right=(2,), cut=True)
    else:
        lines = table([[r["name"], about(r)] for r in rows], cut=True)
    return "\n".join([bold(kind.capitalize()), *(f"  {line}" for line in lines)])


def about(entry: dict[str, Any]) -> str:
    """The summary of a name, and the plug-in that brings it."""
    owner = f"{entry['owner']} {entry['version']}".strip()
    return " ".join(filter(None, [entry["summary"], "" if entry["owner"] == "gantl_zoo" else f"({owner})"]))


def list_hub(query: str, as_json: str | None, endpoint: str | None) -> None:
    """Print the models of this library on the Hub, each with the metrics of its card."""
    from gantl_zoo.hub.search import search_hub

    rows = search_hub(query, endpoint=endpoint)
    if as_json is not None:
        return write_json([row.to_dict() for row in rows], as_json)
    if not rows:
        raise UnknownNameError(f"no model of gantl_zoo on the Hub has {query!r} in its name")
    for row in rows:
        print(f"{row.name:32} {row.task or '':32} {row.license or ''}".rstrip())
        for metric, value in row.metrics.items():
            print(f"  {value:<10.4g} {metric}" if isinstance(value, float) else f"  {value} {metric}")
