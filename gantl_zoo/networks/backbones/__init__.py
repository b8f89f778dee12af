"""Classifiers and feature pyramids behind one protocol.

A backbone is a module with `blocks` (from the image to the logits, the last one the classifier),
`forward(images)` -> logits (N, L), `pyramid(images)` -> feature maps from fine to coarse, and
`embed(images)` -> one vector an image (N, D). Where logits follow from that vector, `classify(embedding)`
spares metrics a second pass. Images are (N, C, H, W) in [-1, 1].
"""
