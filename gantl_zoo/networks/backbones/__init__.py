"""Backbones: classifiers that also return features.

A backbone is a module with `blocks` (from the image to the logits; the last one is the classifier),
`forward(images)` -> logits (N, L), `pyramid(images)` -> feature maps from fine to coarse, and
`embed(images)` -> embeddings (N, D). If the logits are a function of the embedding, the optional
`classify(embedding)` saves metrics a second forward pass. Images are (N, C, H, W) in [-1, 1].
"""
