"""How good a GAN is: features of a named extractor, distances between them, what a classifier predicts.

A score carries its extractor's name: `fd_cnn-mnist`, never bare "FID". Images become features (`seen`),
features become numbers (`table`), numbers become a report (`evaluate`).
"""
