"""A verb and a group of verbs: what they add to typer's classes.

A group imports a verb's module when that verb is called. A verb shows its most used options in `--help` and
all of them in `--help-all`, and has a `--json` whose file may be left out.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup

from gantl_zoo.cli.help import page
from gantl_zoo.cli.values import simplify
from gantl_zoo.errors import UsageError, unknown

ALL = "--help-all"
JSON = "--json"


class Command(TyperCommand):
    """One verb."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The options and arguments, --help among them."""
        return simplify(super().get_params(ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Values of options and arguments from the words `args`."""
        if ALL in args and not ctx.resilient_parsing:
            typer.echo(page(self, ctx, everything=True))
            ctx.exit()
        json = next((p for p in self.params if JSON in p.opts and not getattr(p, "is_flag", False)), None)
        if json is not None:
            args = with_value(args, json.metavar == "[FILE]")
        rest: list[str] = super().parse_args(ctx, args)
        return rest

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """The page of `--help`."""
        formatter.write(page(self, ctx))


class Verbs(TyperGroup):
    """A group of verbs. `modules` maps the name of a verb to the module of `gantl_zoo.cli` that has it."""

    modules: ClassVar[dict[str, str]] = {}

    def get_params(self, ctx: Any) -> list[Any]:
        """The options and arguments, --help among them."""
        return simplify(super().get_params(ctx))

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of the verbs, in the order of the help."""
        return list(self.modules or self.commands)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The verb of that name, or None."""
        if cmd_name not in self.commands and cmd_name in self.modules:
            self.commands[cmd_name] = built(load(self.modules[cmd_name]), cmd_name)
        return self.commands.get(cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The verb that `args` start with. Raises `UsageError` with the closest names."""
        names = self.list_commands(ctx)
        if args[0] not in names and not args[0].startswith("-"):
            words = ctx.command_path.split()[1:]
            raise UsageError(unknown(" ".join([*words, "verb"]), args[0], names))
        return super().resolve_command(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """The page of `--help`."""
        formatter.write(page(self, ctx))


def load(module: str) -> typer.Typer:
    """The typer application of a module of verbs: its `app`, or what its `add` adds to a new one."""
    source = importlib.import_module(f"gantl_zoo.cli.{module}")
    if hasattr(source, "add"):
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        source.add(app)
    else:
        app = source.app
    for command in app.registered_commands:
        command.cls = Command
    return app


def built(app: typer.Typer, name: str) -> Any:
    """The verb or the group `name` of a module's application."""
    command: Any = typer.main.get_command(app)
    chosen = getattr(command, "commands", {}).get(name, command)
    chosen.name = name
    return chosen


def group(modules: dict[str, str]) -> type[Verbs]:
    """The class of a group whose verbs are in these modules of `gantl_zoo.cli`."""
    return type("Verbs", (Verbs,), {"modules": modules})


def with_value(words: Sequence[str], any_word: bool) -> list[str]:
    """The words, with `-` after a `--json` whose file was left out. The next word is the file if it is `-` or
    ends with .json, or, where `any_word`, if it is not an option.
    """
    completed: list[str] = []
    for i, word in enumerate(words):
        completed.append(word)
        if word == JSON and "--" not in words[:i]:
            following = words[i + 1] if i + 1 < len(words) else "--"
            plain = following == "-" or (any_word and not following.startswith("-"))
            if not plain and not following.endswith(".json"):
                completed.append("-")
    return completed
