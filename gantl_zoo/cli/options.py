"""Options that several verbs share, and options that are derived from the fields of a dataclass.

A dataclass of settings gives the type, the default and the help of each of its options (`field_options`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from gantl_zoo.errors import UsageError
from gantl_zoo.registry.arguments import from_words
from gantl_zoo.registry.field_help import field_help

DATA, TRAINING, STABILITY, OUTPUT = "Data", "Training", "Stability", "Output"
NETWORKS, STRATEGY = "Networks", "Strategy"
RUNS = Path("runs")
Place = TypeVar("Place", Path, str, None)
Group = Mapping[str, tuple[Any, Any]]  # name: (annotation, default)

# The annotation of a dataclass's field: the type of its option, and the placeholder of the value.
TYPES: dict[str, tuple[Any, str]] = {
    "int": (int, "N"),
    "int | None": (int | None, "N"),
    "float": (float, "X"),
    "float | None": (float | None, "X"),
    "bool": (bool, ""),
    "str": (str, "NAME"),
    "str | None": (str | None, "NAME"),
    "str | Path | None": (Path | None, "FOLDER"),
    "str | Path | ImageData": (str, "DATA"),
    "tuple[str, ...]": (str, "NAMES"),
    "dict[str, Any]": (list[str] | None, "KEY=VALUE"),
    "dict[str, float]": (list[str] | None, "KEY=VALUE"),
}


def expand(place: Place) -> Place:
    """A path, or a name that may be one, with the home folder for `~`: a shell leaves it in --out=~/runs."""
    return place if place is None else type(place)(os.path.expanduser(place))


# What the option of a field has besides the field's type, default and help. Keys are options' names.
SPECIAL: dict[str, dict[str, Any]] = {
    "data": {"callback": expand},
    "data_root": {"callback": expand, "envvar": "GANTL_ZOO_DATA"},
}


def field_options(
    kind: type,
    panel: str,
    *,
    only: Iterable[str] = (),
    without: Iterable[str] = (),
    names: Mapping[str, str] | None = None,
) -> Group:
    """The options of a dataclass's fields: those in `only` if any are, never those in `without`. `names`
    maps a field to its option's name, where that differs.
    """
    texts, chosen, skipped = field_help(kind), set(only), set(without)
    options: dict[str, tuple[Any, Any]] = {}
    for field in fields(kind):
        if field.name in skipped or (chosen and field.name not in chosen):
            continue
        name = (names or {}).get(field.name, field.name)
        option_type, placeholder = TYPES[str(field.type)]
        info = typer.Option(
            *spellings(name, str(field.type)),
            help=sentence(texts.get(field.name, "")),
            metavar=placeholder,
            rich_help_panel=panel,
            **SPECIAL.get(name, {}),
        )
        options[name] = (Annotated[option_type, info], default_of(field))
    return options


def sentence(text: str) -> str:
    """A field's help as a sentence."""
    return text[:1].upper() + text[1:]


def spellings(name: str, annotation: str) -> list[str]:
    """The names of an option: a dict of arguments is `--engine-arg`, or `--engine-config` as in Python.

    A bool has a second name that turns it off.
    """
    option = f"--{name.replace('_', '-')}"
    if annotation == "bool":
        return [f"{option}/--no-{option.removeprefix('--')}"]
    short = option.replace("-config", "-arg") if annotation.startswith("dict") else option
    return [short, option] if short != option else [option]


def default_of(field: Any) -> Any:
    """The default of a field as the command line has it."""
    if field.default is MISSING:
        return None if field.default_factory is not MISSING else ""
    return ",".join(field.default) if isinstance(field.default, tuple) else field.default


def arguments(words: Iterable[str] | None, option: str) -> dict[str, Any]:
    """Keyword arguments from `KEY=VALUE` words, or from a JSON object. Raises `UsageError`."""
    import json

    values: dict[str, Any] = {}
    for word in words or ():
        if not word.lstrip().startswith("{"):
            values |= from_words([word], option)
            continue
        try:
            values |= json.loads(word)
        except ValueError as error:
            raise UsageError(f"{option} {word!r:.80} is not a valid JSON object: {error}") from error
    return values


def network_arguments(name: str, what: str, panel: str = NETWORKS) -> Any:
    """The option for the builder arguments of a network or a strategy."""
    return typer.Option(
        f"--{name}-arg", f"--{name}-config", metavar="KEY=VALUE", help=what, rich_help_panel=panel
    )


def names(*kinds: str) -> Callable[[str], list[str]]:
    """A function that completes names of these kinds in a shell."""

    def complete(incomplete: str) -> list[str]:
        from gantl_zoo.registry.builtins import REGISTRIES

        known = [name for kind in kinds or REGISTRIES for name in REGISTRIES[kind].names("*")]
        return sorted({name for name in known if name.startswith(incomplete)})

    return complete


Conditional = Annotated[
    bool | None,
    typer.Option(
        "--conditional/--unconditional",
        help="Condition the model on the classes of the data, or do not. By default a transfer keeps what "
        "its source does, and a training from scratch is unconditional.",
        rich_help_panel=DATA,
    ),
]
Minutes = Annotated[
    float | None,
    typer.Option(
        metavar="N",
        help="Train for as many steps as take N minutes on this machine, in the place of --steps.",
        rich_help_panel=TRAINING,
    ),
]
PresetName = Annotated[
    str | None,
    typer.Option(
        "--preset",
        metavar="NAME",
        help="A recipe by name. gantl-zoo list --kind presets shows all; other options replace its settings.",
        rich_help_panel=TRAINING,
        autocompletion=names("presets"),
    ),
]
Out = Annotated[
    Path,
    typer.Option(
        metavar="FOLDER",
        help="Parent of the numbered run folders.",
        rich_help_panel=OUTPUT,
        callback=expand,
    ),
]
Title = Annotated[
    str,
    typer.Option(
        metavar="TEXT", help="Name of the model; by default that of its run.", rich_help_panel=OUTPUT
    ),
]
Resume = Annotated[
    Path | None,
    typer.Option(
        metavar="RUN",
        help="Continue this run with its own settings.",
        rich_help_panel=OUTPUT,
        callback=expand,
    ),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Describe the run, and do not train.", rich_help_panel=OUTPUT),
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", help="Write nothing but results and errors.", rich_help_panel=OUTPUT),
]
Report = Annotated[
    bool,
    typer.Option(
        "--report/--no-report",
        help="Write report.html at the end.",
        rich_help_panel=OUTPUT,
        show_default=False,
    ),
]
Json = Annotated[
    str | None,
    typer.Option(
        "--json", metavar="[FILE.json]", help="Print JSON in place of the table, or write it to a file."
    ),
]
JsonFile = Annotated[
    str | None,
    typer.Option(
        "--json",
        metavar="[FILE]",
        help="Write the results to FILE as JSON. Without FILE, or with -, print JSON and nothing else.",
        rich_help_panel=OUTPUT,
        callback=expand,
    ),
]


def seeds(text: str, option: str = "--seeds") -> list[int]:
    """`0-15,40` as numbers. Raises `UsageError` for an empty, reversed or unreadable range."""
    from gantl_zoo.model.seeds import seeds_in

    return seeds_in(text, option)
