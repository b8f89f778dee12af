"""Models in memory: `GAN` and `Classifier`, loading from a folder, lineage, sampling by seed."""
