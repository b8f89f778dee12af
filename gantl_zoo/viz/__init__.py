"""Pictures: grids of images, and curves of a training run."""
