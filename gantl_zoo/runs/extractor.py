"""Choose the feature extractor of a metric by its name."""

from __future__ import annotations

from gantl_zoo import registry
from gantl_zoo.data import ImageData
from gantl_zoo.errors import UsageError, ZooError
from gantl_zoo.metrics.catalogue import AUTO
from gantl_zoo.metrics.extractors import Channelwise, ClassifierFeatures, Extractor, PixelFeatures
from gantl_zoo.model.gan import GAN
from gantl_zoo.zoo import load_model

SMALL = 64  # the side up to which grey images are shown to a classifier of digits


CHANNELWISE = "channelwise:"


def choose_extractor(name: str, reference: ImageData) -> Extractor:
    """The extractor of that name; "auto": `cnn-mnist` for small grey images, else pixels.

    Raises `UsageError` for what is no trained backbone, `WeightsError` where weights can't be had.
    """
    channels, side, _ = reference.shape
    if name == AUTO:
        name = "cnn-mnist" if channels == 1 and side <= SMALL else "pixels"
    if name == "pixels":
        return PixelFeatures.fit(reference)
    if name.split(":")[0] == "inception":
        from gantl_zoo.metrics.inception import InceptionFeatures

        return InceptionFeatures(name.partition(":")[2])
    if name.startswith(CHANNELWISE):
        return Channelwise(trained(name.removeprefix(CHANNELWISE)), channels)
    if name.startswith("timm:"):
        return ClassifierFeatures(name, registry.backbones.build(name, channels=channels), opinion=False)
    return trained(name)


def choose_or_pixels(name: str, images: ImageData) -> Extractor:
    """The extractor of that name, or pixels where it can't be had or doesn't see such images."""
    try:
        extractor = choose_extractor(name, images)
        extractor.check(images.shape)
    except ZooError:  # weights that are not there, another channel count
        extractor = PixelFeatures.fit(images)
    return extractor


def trained(name: str) -> ClassifierFeatures:
    """The extractor in a trained backbone's folder or release."""
    if name in registry.backbones:
        raise UsageError(
            f"extractor {name} is an architecture without a trained classifier; name one (gantl-zoo list "
            "--kind models) or its folder; timm:NAME, inception and pixels stand alone"
        )
    model = load_model(name)
    if isinstance(model, GAN):
        raise UsageError(f"extractor {name} is a GAN; use a backbone such as cnn-mnist, or pixels")
    return ClassifierFeatures(model.name, model.backbone, model.lineage.get("data", {}).get("name", ""))
