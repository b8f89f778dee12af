"""A data name, a folder or a zip becomes image tensors, with or without labels.

`load` is the one door; `ImageData` is what comes out.
"""

from gantl_zoo.data.arrays import as_image_data, source_of
from gantl_zoo.data.images import ImageData, overlap
from gantl_zoo.data.sources import NAMES, estimate, load, spoken
from gantl_zoo.data.stream import Stream
from gantl_zoo.pixels import to_float, to_uint8

__all__ = [
    "NAMES",
    "ImageData",
    "Stream",
    "as_image_data",
    "estimate",
    "load",
    "overlap",
    "source_of",
    "spoken",
    "to_float",
    "to_uint8",
]
