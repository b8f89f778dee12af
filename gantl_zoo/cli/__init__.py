"""The command line, with one file per verb. It parses and prints; the rooms below do the work."""

from gantl_zoo.cli.app import main

__all__ = ["main"]
