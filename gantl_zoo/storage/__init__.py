"""A model folder on disk, and everything that reads bytes from strangers."""
