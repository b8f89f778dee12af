"""Metrics of GANs: distances between features of a named extractor, and predictions of a classifier.

The name of a score includes its extractor: `fd_cnn-mnist`, never just "FID". `extract.py` turns images into
features, `catalogue.py` turns features into values, `evaluator.py` collects the values in a report.
"""
