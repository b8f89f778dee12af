"""The application: verbs put together, and errors turned into one line."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from gantl_zoo.cli import bench, classify, evaluate, listing, output, resume, sample, share, train
from gantl_zoo.errors import UsageError, ZooError, suggestion

EPILOG = """Examples:

  gantl-zoo list

  gantl-zoo sample dcgan-mnist --seeds 0-15 --out grid.png

  gantl-zoo transfer dcgan-mnist --data glyphs --steps 600 --out runs"""

app = typer.Typer(
    help="Trained GANs by name, adapted to your images.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
listing.add(app)
sample.add(app)
train.add(app)
resume.add(app)
evaluate.add(app)
share.add(app)
app.add_typer(classify.app, name="classify")
app.add_typer(bench.app, name="bench")

# typer keeps its copy of click private; the base class of its own errors is reached by inheritance
ClickError = typer.BadParameter.__mro__[2]


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Trained GANs by name, adapted to your images."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 used wrongly, 130 interrupted."""
    words = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in words
    output.guard()
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
    """One line on standard error; returns the exit code."""
    from gantl_zoo.storage.untrusted import escaped
    from gantl_zoo.training.launcher import prefix

    if isinstance(error, typer.Exit):
        return int(error.exit_code)
    if isinstance(error, typer.Abort):  # Ctrl-C at a question
        print("interrupted", file=sys.stderr)
        return 130
    if isinstance(error, ClickError):
        text, code = error.format_message(), 2  # type: ignore[attr-defined]
        if not text:  # a verb alone: its help was the answer
            return code
        if options := getattr(error, "possibilities", None):  # click lists them in alphabetical order
            option = getattr(error, "option_name", "")
            text = f"no such option {option}{suggestion(option, options)}"
        text = f"{text.rstrip('.')} (gantl-zoo VERB --help shows what there is)"
    elif isinstance(error, ZooError):
        text, code = str(error), 2 if isinstance(error, UsageError) else 1
    else:
        text, code = f"unexpected {type(error).__name__}: {error} (--debug shows where)", 1
    print(f"error{prefix()}: " + escaped(" ".join(text.split())), file=sys.stderr)
    return code
