"""Pictures: grids of images and curves of a run."""
