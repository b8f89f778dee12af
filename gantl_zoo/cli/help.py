"""The page of `--help`: at most 80 columns, the most used options first, examples at the end."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

WIDTH = 80
LEFT = 28  # of the column with the options
OPTIONS = "Options"  # the title of what is in no panel


def page(command: Any, ctx: Any, everything: bool = False) -> str:
    """The help of a verb or of a group. `everything`: also the options that are used rarely."""
    width = min(WIDTH, max(50, shutil.get_terminal_size((WIDTH, 24)).columns))
    parameters = [p for p in command.get_params(ctx) if not getattr(p, "hidden", False)]
    arguments = [p for p in parameters if p.param_type_name == "argument"]
    options = [p for p in parameters if p.param_type_name == "option"]
    lines = [f"Usage: {' '.join([ctx.command_path, *usage(command, arguments)])}", ""]
    lines += textwrap.wrap(" ".join((command.help or "").split()), width, break_on_hyphens=False)
    lines += section("Arguments", [(metavar(p), text_of(p, ctx)) for p in arguments], width)
    often = getattr(command.callback, "often", ())
    lines += option_sections(options, often, ctx, width, everything)
    if hasattr(command, "list_commands"):
        verbs = [(name, command.get_command(ctx, name)) for name in command.list_commands(ctx)]
        lines += section("Verbs", [(name, first_sentence(verb.help)) for name, verb in verbs], width)
    if command.epilog:
        lines += ["", *examples(command.epilog)]
    return "\n".join(lines) + "\n"


def usage(command: Any, arguments: Iterable[Any]) -> list[str]:
    """The words of the usage line after the verb."""
    if hasattr(command, "list_commands"):
        return ["VERB", "…"]
    return [*(metavar(p) if p.required else f"[{metavar(p)}]" for p in arguments), "[OPTIONS]"]


def option_sections(
    options: list[Any], often: tuple[str, ...], ctx: Any, width: int, everything: bool
) -> Iterator[str]:
    """The options used `often` in one section, or all if none are named; by panels for `everything`."""
    panels: dict[str, list[tuple[str, str]]] = {}
    order = sorted(options, key=lambda p: often.index(p.name) if p.name in often else len(often))
    for option in options if everything else order:
        title = panel(option) if everything else OPTIONS
        if everything or not often or option.name in (*often, "help"):
            panels.setdefault(title, []).append((spelled(option), text_of(option, ctx)))
    if sum(map(len, panels.values())) < len(options):
        panels[OPTIONS].append(("--help-all", f"Show all {len(options)} options."))
    for title in sorted(panels, key=lambda title: title == OPTIONS):
        yield from section(title, panels[title], width)


def panel(option: Any) -> str:
    """The title of the section that an option belongs to."""
    return str(getattr(option, "rich_help_panel", None) or OPTIONS)


def spelled(option: Any) -> str:
    """`--steps N`, or `--conditional / --unconditional`: the names without aliases, and the value."""
    names = [option.opts[0], *option.secondary_opts[:1]]
    value = "" if getattr(option, "is_flag", False) else f" {metavar(option)}"
    return " / ".join(names) + value


def metavar(parameter: Any) -> str:
    """The placeholder of a value."""
    return str(parameter.metavar or parameter.name.upper().replace("_", "-"))


def text_of(parameter: Any, ctx: Any) -> str:
    """The help of a parameter, its other names, its environment variable and its default."""
    notes = [] if parameter.param_type_name == "argument" else [f"or {name}" for name in parameter.opts[1:]]
    if variable := getattr(parameter, "envvar", None):
        notes.append(f"environment: {variable}")
    default = parameter.get_default(ctx, call=False)
    if getattr(parameter, "show_default", True) and default not in (None, "", False, (), []):
        shown = f"{default:,}" if type(default) is int and default >= 1_000 else str(default)
        notes.append(f"default: {shown}")
    text = " ".join((getattr(parameter, "help", None) or "").split())
    return " ".join(filter(None, [text, f"[{'; '.join(notes)}]" if notes else ""]))


def section(title: str, rows: list[tuple[str, str]], width: int) -> Iterator[str]:
    """A heading and two columns; nothing if there are no rows."""
    if not rows:
        return
    yield ""
    yield heading(title)
    left = min(LEFT, 4 + max(len(name) for name, _ in rows))
    for name, text in rows:
        wrapped = textwrap.wrap(text, width - left, break_long_words=False, break_on_hyphens=False) or [""]
        if len(name) + 4 > left:
            yield f"  {name}"
            name = ""
        yield f"  {name:{left - 2}}{wrapped[0]}".rstrip()
        yield from (" " * left + line for line in wrapped[1:])


def heading(title: str) -> str:
    """A section's title, in bold for a person."""
    bold = "NO_COLOR" not in os.environ and getattr(sys.stdout, "isatty", bool)()
    return f"\033[1m{title}:\033[0m" if bold else f"{title}:"


def first_sentence(text: str | None) -> str:
    """The first sentence of a verb's help."""
    return " ".join((text or "").split()).partition(". ")[0].rstrip(".") + "."


def examples(epilog: str) -> list[str]:
    """The lines of an epilog, a paragraph a line, none of them wrapped."""
    paragraphs = [line.strip() for line in epilog.strip().split("\n") if line.strip()]
    return [heading(paragraphs[0].rstrip(":")), *(f"  {line}" for line in paragraphs[1:])]
