"""Training: step, losses, regularisation, augmentation, weight averaging, checkpoints, training loop."""
