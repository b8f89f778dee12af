"""Generators, discriminators and backbones, one file per family: paper, blocks, network, builder.

`base.py` holds the base classes. A new family defines its `blocks` and two builders, and registers both
names in `registry/builtins.py`.
"""
