"""Learning: the step, losses, regularisers, augmentation, averaging, checkpoints, the two loops."""
