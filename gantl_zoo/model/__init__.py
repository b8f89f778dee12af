"""Models in memory: `GAN` and `Classifier`, loading them from a folder, lineage, sampling by seed."""
