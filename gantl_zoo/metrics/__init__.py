"""Metrics of GANs: distances between features of a named extractor, and predictions of a classifier.

The name of a score includes its extractor: `fd_cnn-mnist`, never just "FID". `extract.py` turns images into
features, `catalogue.py` turns features into values, `evaluator.py` collects the values in a report.
"""

from gantl_zoo.registry.builtins import metrics as registry

register, names, info = registry.register, registry.names, registry.info  # as those of other kinds of names

__all__ = ["info", "names", "register", "registry"]
