"""A small, complete plug-in of gantl_zoo. A released model is registered as the path of its folder."""

from pathlib import Path

resize_digits = Path(__file__).parent / "released" / "resize-digits"
