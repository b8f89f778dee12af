"""Load images from a data set name, a folder, a zip or memory, with or without labels.

`load` accepts all of these sources and returns `ImageData`.
"""

from gantl_zoo.data.arrays import as_image_data, source_of
from gantl_zoo.data.check import check_data
from gantl_zoo.data.fit import CROP, FITS
from gantl_zoo.data.images import ImageData, overlap
from gantl_zoo.data.registered import sized
from gantl_zoo.data.report import DataReport
from gantl_zoo.data.sources import estimate, is_name, load, spoken
from gantl_zoo.data.stream import Stream
from gantl_zoo.pixels import to_float, to_uint8

__all__ = [
    "CROP",
    "FITS",
    "DataReport",
    "ImageData",
    "Stream",
    "as_image_data",
    "check_data",
    "estimate",
    "is_name",
    "load",
    "overlap",
    "sized",
    "source_of",
    "spoken",
    "to_float",
    "to_uint8",
]
