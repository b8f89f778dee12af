"""This package's version, as `pyproject.toml` has it: looking it up among what is installed costs 40 ms."""

VERSION = "0.1.0"
