"""Regularizers: loss terms and other measures that keep adversarial training stable."""
