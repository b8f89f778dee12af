"""The typer application: its verbs, and errors printed as one line."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Annotated, Any

import typer

from gantl_zoo.cli import output
from gantl_zoo.cli.command import group
from gantl_zoo.cli.help import metavar
from gantl_zoo.errors import UsageError, ZooError, closest

EPILOG = """Examples:

  gantl-zoo list

  gantl-zoo sample dcgan-mnist --seeds 0-15 --out grid.png

  gantl-zoo transfer dcgan-mnist --data glyphs --steps 600 --out runs

  gantl-zoo --install-completion"""

# The verbs in the order of the help, and the module of each, which is imported when the verb is called.
VERBS = {
    "list": "listing",
    "info": "info",
    "sample": "sample",
    "latent": "latent",
    "data": "data",
    "train": "train",
    "transfer": "train",
    "resume": "resume",
    "doctor": "doctor",
    "report": "report",
    "evaluate": "evaluate",
    "classify": "classify",
    "adapter": "adapter",
    "import": "import_",
    "export": "export",
    "serve": "serve",
    "bench": "bench",
    "studio": "studio",
    "push": "share",
    "pull": "share",
    "plugins": "plugins",
    "plugin": "plugin",
    "cache": "cache",
    "env": "env",
}

app = typer.Typer(
    cls=group(VERBS),
    help="Trained GANs by name, adapted to your images.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

# typer keeps its copy of click private; the base class of its own errors is reached by inheritance
ClickError = typer.BadParameter.__mro__[2]
COMPLETE = "_GANTL_ZOO_COMPLETE"  # set by a shell that asks for completions


def show_version(asked: bool) -> None:
    """Print the version and exit."""
    if asked:
        from gantl_zoo.version import VERSION

        print(f"gantl-zoo {VERSION}")
        raise typer.Exit


def completions() -> Any:
    """typer's module for shell completion, initialised."""
    completion: Any = importlib.import_module("typer.completion")
    completion.completion_init()
    return completion


def complete(action: str) -> Any:
    """The callback of `--install-completion` or `--show-completion`, which typer implements."""

    def act(context: typer.Context, asked: bool) -> None:
        if asked and not context.resilient_parsing:
            completion = completions()
            getattr(completion, f"{action}_callback")(context, None, True)

    return act


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=show_version, is_eager=True)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    install: Annotated[
        bool,
        typer.Option(
            "--install-completion",
            help="Let this shell complete verbs, options and names with Tab.",
            callback=complete("install"),
        ),
    ] = False,
    show: Annotated[
        bool,
        typer.Option("--show-completion", help="Print the script that does so.", callback=complete("show")),
    ] = False,
) -> None:
    """Trained GANs by name, adapted to your images."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 invalid usage, 130 interrupted."""
    words = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in words
    output.guard()
    if COMPLETE in os.environ:
        completions()
    try:
        done = app([w for w in words if w != "--debug"], prog_name="gantl-zoo", standalone_mode=False)
        code = done if isinstance(done, int) else 0
    except Exception as error:
        if debug:
            raise
        code = explain(error)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = 130
    sys.exit(output.finish(code))


def explain(error: Exception) -> int:
    """Print an error as one line on standard error. Returns the exit code."""
    from gantl_zoo.registry.plugins import plugin_of
    from gantl_zoo.storage.untrusted import escaped

    if isinstance(error, typer.Exit):
        return int(error.exit_code)
    if isinstance(error, typer.Abort):  # Ctrl-C at a question
        print("interrupted", file=sys.stderr)
        return 130
    if type(error).__name__ == "NoArgsIsHelpError":
        print(error, file=sys.stderr)
        return 2
    if isinstance(error, ClickError):
        text, code = parsing(error), 2
    elif isinstance(error, ZooError):
        text, code = str(error), 2 if isinstance(error, UsageError) else 1
    else:
        text, code = f"unexpected {type(error).__name__}: {error} (--debug shows where)", 1
        if plugin := plugin_of(error):
            text = f"plug-in {plugin.name} {plugin.version} raised an {text}"
    print(f"error{in_process()}: " + escaped(" ".join(text.split())), file=sys.stderr)
    return code


def in_process() -> str:
    """Which of a launcher's processes this is, for a message; "" without a launcher."""
    from gantl_zoo.training.launcher import prefix

    return prefix()


def parsing(error: Any) -> str:
    """The message for arguments that the verb does not accept, with the closest options."""
    command = error.ctx.command_path if error.ctx else "gantl-zoo VERB"
    hint = f"{command} --help shows the options"
    if type(error).__name__ == "NoSuchOption":
        own = [name for p in error.ctx.command.params for name in (*p.opts, *p.secondary_opts)]
        options = [name for name in own if name.startswith("--")]
        near = closest(error.option_name, options)
        added = f"; did you mean {' or '.join(near)}?" if near else ""
        return f"unknown option {error.option_name!r}{added} ({hint})"
    if type(error).__name__ == "MissingParameter" and error.param:
        return f"{metavar(error.param)} is missing ({hint})"
    if isinstance(error, typer.BadParameter) and error.message and "must be" in error.message:
        return f"{error.message} ({hint})"
    return f"{error.format_message().rstrip('.')} ({hint})"
