"""The package's version, the same as in `pyproject.toml`. A look-up with `importlib.metadata` takes 40 ms."""

VERSION = "0.1.0"
