"""Generators and discriminators: one file a family, read top-down: paper, block, network, builder.

What they have in common is in `base.py`; a new family gives its `blocks` and two builders, and its names a
line each in `registry.py`.
"""
