"""Choose the feature extractor of a metric by its name."""

from __future__ import annotations

from gantl_zoo import registry
from gantl_zoo.data import ImageData
from gantl_zoo.errors import UsageError, ZooError
from gantl_zoo.metrics.catalogue import AUTO
from gantl_zoo.metrics.extractors import Channelwise, ClassifierFeatures, Extractor, PixelFeatures
from gantl_zoo.model.gan import GAN
from gantl_zoo.networks.pretrained import BUNDLED, SMALL, check_trained
from gantl_zoo.zoo import load_model

CHANNELWISE = "channelwise:"


def choose_extractor(name: str, reference: ImageData) -> Extractor:
    """The extractor of that name; "auto": `cnn-mnist` for small grey images, else pixels.

    Raises `UsageError` for what is no trained backbone, `WeightsError` where weights can't be had.
    """
    channels, side, _ = reference.shape
    if name == AUTO:
        name = BUNDLED[1] if channels == 1 and side <= SMALL else "pixels"
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
    check_trained(name, "extractor", "a trained classifier")
    model = load_model(name)
    if isinstance(model, GAN):
        raise UsageError(f"extractor {name} is a GAN; use a backbone such as cnn-mnist, or pixels")
    return ClassifierFeatures(model.name, model.backbone, model.lineage.get("data", {}).get("name", ""))
