"""Generators and discriminators: one file a family, read top-down: paper, block, network, builder."""
