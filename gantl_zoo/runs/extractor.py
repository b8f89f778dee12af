"""Choose the feature extractor of the metrics by its name."""

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
WORDS = (AUTO, "pixels", "inception")  # names of extractors that are not models


def choose_extractor(name: str, reference: ImageData) -> Extractor:
    """The extractor of that name; "auto" means `cnn-mnist` for small grey images, else pixels.

    For colour images "auto" differs from `usual` on purpose: strategies train against that classifier, so its
    features would favour them. Raises `UsageError` for a backbone that is not trained, `WeightsError` if
    weights are not available.
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
        check_trained(inner, "extractor", "a trained classifier")  # timm has weights, but no such one
        return Channelwise(trained(inner), channels)
    try:
        return trained(name, channels=channels)
    except UnknownNameError as error:
        if not closest(name, WORDS):
            raise
        choices = (*WORDS, *registry.models.names(), *registry.backbones.names())
        raise UnknownNameError(f"unknown extractor {name!r}{suggestion(name, choices)}") from error


def choose_or_pixels(name: str, images: ImageData) -> Extractor:
    """The extractor of that name, or pixels if it is not available or has another channel count."""
    try:
        extractor = choose_extractor(name, images)
        extractor.check(images.shape)
    except ZooError:  # missing weights, or another channel count
        extractor = PixelFeatures.fit(images)
    return extractor


def trained(name: str, **config: Any) -> ClassifierFeatures:
    """The extractor of a trained backbone: a released model, a folder, a model on the Hub or `timm:NAME`."""
    source = pretrained.find(name, "extractor", zoo.find, **config)
    if source.folder is None:  # of timm, with the classes of ImageNet
        return ClassifierFeatures(name, source.load(), opinion=False)
    title = str(source.about.get("name") or source.folder.name)
    data = source.about.get("lineage", {}).get("data", {})
    return ClassifierFeatures(title, source.load(), data.get("name", ""))
