"""`strategy="auto"`: which strategy for how many images and how far a target. The guide, as code."""

from __future__ import annotations

from gantl_zoo.data import ImageData, to_uint8
from gantl_zoo.errors import ZooError
from gantl_zoo.gan import GAN
from gantl_zoo.judge import choose_extractor
from gantl_zoo.metrics.features import PixelFeatures
from gantl_zoo.metrics.neighbours import nearest

SAMPLES = 1_000
SEED = 3_000_000  # samples that nothing else looks at


def novelty(gan: GAN, images: ImageData) -> float:
    """How far the target is: median distance of its images to the nearest of 1,000 samples of the source,
    over the same between samples. 1: it makes such images already.

    In the features that metrics choose for these images, or in pixels if there are none for them.
    """
    few = images.few(min(SAMPLES, len(images))).images
    try:
        see = choose_extractor("auto", images)
        see.check(images.shape)
    except ZooError:  # weights that are not there, another channel count
        see = PixelFeatures.fit(images)
    made = see(to_uint8(gan.generate(SAMPLES, seed=SEED)))[0]
    theirs = nearest(see(few)[0], made)[0].median()
    own = nearest(made, made, same=True)[0].median()
    return float(theirs / own.clamp(min=1e-12))
