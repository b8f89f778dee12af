"""A small, whole plug-in of gantl_zoo. A release is a path to a model folder."""

from pathlib import Path

resize_digits = Path(__file__).parent / "released" / "resize-digits"
