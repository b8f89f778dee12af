"""Choose the feature extractor of the metrics by its name."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from gantl_zoo import registry, zoo
from gantl_zoo.data import ImageData
from gantl_zoo.errors import PluginError, UnknownNameError, WeightsError, ZooError, closest, suggestion
from gantl_zoo.metrics.catalogue import AUTO
from gantl_zoo.metrics.extractors import Channelwise, ClassifierFeatures, Extractor, PixelFeatures
from gantl_zoo.metrics.shared import stem_digest
from gantl_zoo.networks import pretrained
from gantl_zoo.networks.pretrained import BUNDLED, SMALL, check_trained

CHANNELWISE = "channelwise:"
WORDS = (AUTO, "pixels", "inception")  # names of extractors that are not models
# Networks trained on ImageNet, of a plug-in: the second one for models that were trained with the first one.
IMAGENET = ("mobilenetv2-imagenet", "efficientnet-lite2-imagenet")
PLUGIN = "gantl-zoo-imagenet"
ONLY_PIXELS = (
    "note: the metrics compare principal components of 16×16 pixels, which hardly notice blur; install the "
    f"plug-in {PLUGIN} to compare features of a network that was trained on ImageNet"
)


def choose_extractor(name: str, reference: ImageData, avoid: Collection[str] = ()) -> Extractor:
    """The extractor of that name for images like `reference`.

    "auto" means `cnn-mnist` for small grey images. For others it means the first network of the plug-in
    gantl-zoo-imagenet that the model was not trained with, or pixels without the plug-in. `avoid` has the
    `stem_digest` of the networks that the model was trained with: their features would favour it. So "auto"
    does not mean the bundled classifier of colour images, which strategies use.

    Raises `UsageError` for a backbone that is not trained, `WeightsError` if weights are not available.
    """
    channels, _, _ = reference.shape
    if name == AUTO:
        return _automatic(reference, avoid)
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


def small_and_grey(images: ImageData) -> bool:
    """Whether these images are like those of `cnn-mnist`."""
    return images.shape[0] == 1 and images.shape[1] <= SMALL


def _automatic(reference: ImageData, avoid: Collection[str]) -> Extractor:
    """The default extractor. An installed network that can't be loaded is left out, with a note."""
    if small_and_grey(reference):
        return trained(BUNDLED[1])
    shared: list[Extractor] = []
    note = ONLY_PIXELS
    for name in filter(registry.models.__contains__, IMAGENET):
        try:
            extractor = trained(registry.models.entry(name).qualified, channels=reference.shape[0])
        except (PluginError, WeightsError) as error:
            note = f"note: the metrics compare pixels, because {name} can't be loaded: {error}"
            continue
        if stem_digest(extractor.network) not in avoid:
            return extractor
        shared.append(extractor)
    if shared:  # a run warns of it
        return shared[0]
    pixels = PixelFeatures.fit(reference)
    pixels.note = note
    return pixels


def choose_or_pixels(name: str, images: ImageData) -> Extractor:
    """The extractor of that name, or pixels if it is not available or has another channel count.

    "auto" means an extractor that is fast: `cnn-mnist` for small grey images, else pixels.
    """
    if name == AUTO and not small_and_grey(images):
        return PixelFeatures.fit(images)
    try:
        extractor = choose_extractor(name, images)
        extractor.check(images.shape)
    except ZooError:  # missing weights, or another channel count
        extractor = PixelFeatures.fit(images)
    return extractor


def trained(name: str, *, channels: int | None = None) -> ClassifierFeatures:
    """The extractor of a trained backbone: a released model, a folder, a model on the Hub or `timm:NAME`.

    `channels` are those of the images. Grey images are repeated for a network of colour images.
    """
    config: dict[str, Any] = {} if channels is None else {"channels": channels}
    source = pretrained.find(name, "extractor", zoo.find, **config)
    if source.folder is None:  # of timm, with the classes of ImageNet
        return ClassifierFeatures(name, source.load(), opinion=False)
    title = str(source.about.get("name") or source.folder.name)
    data = str(source.about.get("lineage", {}).get("data", {}).get("name", ""))
    opinion = not data.startswith("imagenet")  # no data set here has its classes
    return ClassifierFeatures(title, source.load(), data, opinion=opinion, grey=channels == 1)
