"""The command line: one file a verb. It parses and prints, and decides nothing."""

from gantl_zoo.cli.app import main

__all__ = ["main"]
