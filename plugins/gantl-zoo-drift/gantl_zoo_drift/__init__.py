"""A drifting loss: a generator is trained without a discriminator."""
