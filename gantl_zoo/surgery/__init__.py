"""Fit the weights of a network to another shape, and report where each tensor came from."""
