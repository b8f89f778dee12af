"""Choose the feature extractor of a metric by its name."""

from __future__ import annotations

from typing import Any

from gantl_zoo import registry, zoo
from gantl_zoo.data import ImageData
from gantl_zoo.errors import UnknownNameError, ZooError, closest, suggestion
from gantl_zoo.metrics.catalogue import AUTO
from gantl_zoo.metrics.extractors import Channelwise, ClassifierFeatures, Extractor, PixelFeatures
from gantl_zoo.networks import pretrained
from gantl_zoo.networks.pretrained import BUNDLED, SMALL, check_trained

CHANNELWISE = "channelwise:"
WORDS = (AUTO, "pixels", "inception")  # extractors that are not models


def choose_extractor(name: str, reference: ImageData) -> Extractor:
    """The extractor of that name; "auto": `cnn-mnist` for small grey images, else pixels.

    "auto" differs from `usual` for colour images on purpose: strategies train against that classifier, so
    its features would favour them. Raises `UsageError` for what is not a trained backbone, `WeightsError`
    where weights can't be had.
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
        inner = name.removeprefix(CHANNELWISE)
        check_trained(inner, "extractor", "a trained classifier")  # timm's has none for these images
        return Channelwise(trained(inner), channels)
    try:
        return trained(name, channels=channels)
    except UnknownNameError as error:
        if not closest(name, WORDS):
            raise
        choices = (*WORDS, *registry.models.names(), *registry.backbones.names())
        raise UnknownNameError(f"unknown extractor {name!r}{suggestion(name, choices)}") from error


def choose_or_pixels(name: str, images: ImageData) -> Extractor:
    """The extractor of that name, or pixels where it can't be had or has another channel count."""
    try:
        extractor = choose_extractor(name, images)
        extractor.check(images.shape)
    except ZooError:  # weights that are not there, another channel count
        extractor = PixelFeatures.fit(images)
    return extractor


def trained(name: str, **config: Any) -> ClassifierFeatures:
    """The extractor in a trained backbone: a release, a folder, a model on the Hub, or `timm:NAME`."""
    found = pretrained.find(name, "extractor", zoo.find, **config)
    if found.folder is None:  # timm's classes are ImageNet's
        return ClassifierFeatures(name, found.load(), opinion=False)
    named = str(found.about.get("name") or found.folder.name)
    data = found.about.get("lineage", {}).get("data", {})
    return ClassifierFeatures(named, found.load(), data.get("name", ""))
