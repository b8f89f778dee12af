"""The same weights for `timm:NAME`: functions that return their file, registered under timm's names."""

from pathlib import Path

from gantl_zoo.registry import release_folder


def tf_efficientnet_lite0() -> Path:
    """EfficientNet-Lite0, trained on ImageNet-1k."""
    return _file("efficientnet-lite0-imagenet")


def tf_efficientnet_lite1() -> Path:
    """EfficientNet-Lite1, trained on ImageNet-1k."""
    return _file("efficientnet-lite1-imagenet")


def tf_efficientnet_lite2() -> Path:
    """EfficientNet-Lite2, trained on ImageNet-1k."""
    return _file("efficientnet-lite2-imagenet")


def mobilenetv2_100() -> dict[str, object]:
    """torchvision's MobileNetV2, trained on ImageNet-1k with bilinear resizing."""
    return {"file": _file("mobilenetv2-imagenet"), "interpolation": "bilinear"}


def _file(name: str) -> Path:
    return release_folder(f"gantl-zoo-imagenet:{name}") / "model.safetensors"
