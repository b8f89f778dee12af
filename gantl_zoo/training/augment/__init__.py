"""Augmentation of the images that the discriminator sees."""
