"""`plugins --check`: the conformance suite as a table."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import typer

from gantl_zoo.cli.printing import bold, paragraph, table, write_json
from gantl_zoo.console import warn
from gantl_zoo.errors import UnknownNameError, unknown
from gantl_zoo.registry.builtins import REGISTRIES
from gantl_zoo.registry.plugins import Entry, Plugin, installed, normalise, singular
from gantl_zoo.scaffold.versions import newer
from gantl_zoo.testing.check import CheckResult
from gantl_zoo.testing.plugin import checked, named_entries, unmatched


def check_plugins(name: str | None, as_json: str | None) -> None:
    """Check a plug-in, a registered name, or all plug-ins. Exits with 1 after a failure."""
    rows: list[dict[str, Any]] = []
    wrong, count = 0, 0
    for entry in chosen(name):
        results = checked(entry)
        what = f"{singular(entry.kind)} {entry.name}, from {entry.owner} {entry.version}"
        rows += [{"kind": singular(entry.kind), "name": entry.name, "owner": entry.owner, **asdict(one)}
                 for one in results]  # fmt: skip
        wrong += sum(one.wrong for one in results)
        count += len(results)
        if as_json != "-":
            print("\n".join(page(what, results)), flush=True)
    if as_json is not None:
        write_json(rows, as_json)
    for plugin in plugins(name):
        for line in unmatched(plugin.name):
            warn(line)
    if as_json != "-":
        for plugin in plugins(name):
            print("".join(f"{line}\n" for line in [*broken(plugin), *newer(plugin.name)]), end="")
        print(f"{count} checks, {wrong} failure{'' if wrong == 1 else 's'}")
    if wrong or any(plugin.wrong for plugin in plugins(name)):
        raise typer.Exit(1)


def plugins(name: str | None) -> list[Plugin]:
    """The plug-in of that name, or all."""
    return [one for one in installed() if name is None or normalise(one.name) == normalise(name)]


def chosen(name: str | None) -> list[Entry]:
    """The names of a plug-in, of all plug-ins, or one registered name of any kind.

    Raises `UnknownNameError`.
    """
    if matching := plugins(name):
        return [entry for plugin in matching for entry in plugin.entries if not entry.instead]
    if name is None:
        return []
    if entries := named_entries(name):
        return entries
    known = [one.name for one in installed()] + [n for r in REGISTRIES.values() for n in r.names()]
    raise UnknownNameError(unknown("plug-in or name", name, known, hint="gantl-zoo list shows all names"))


def broken(plugin: Plugin) -> list[str]:
    """Lines about names of a plug-in that are not valid."""
    return [f"{plugin.name} {plugin.version}: {wrong}" for wrong in plugin.wrong]


def page(what: str, results: list[CheckResult]) -> list[str]:
    """The results of one name: a table, and the reasons of failures."""
    rows = [
        [one.check, one.status, f"{one.seconds:.1f} s", "" if one.wrong else one.reason] for one in results
    ]
    lines = [bold(what), *(f"  {line}" for line in table(rows, right=(2,), cut=True))]
    for one in results:
        if one.wrong:
            lines += ["", *(f"  {line}" for line in paragraph(one.reason))]
    return [*lines, ""]
