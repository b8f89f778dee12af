"""The bundled models: one folder each, in the very layout that a Hub repository has."""

from pathlib import Path

_HERE = Path(__file__).parent

cnn_fashion_mnist = _HERE / "cnn-fashion-mnist"
cnn_mnist = _HERE / "cnn-mnist"
dcgan_fashion_mnist = _HERE / "dcgan-fashion-mnist"
dcgan_mnist = _HERE / "dcgan-mnist"
timm_mobilenetv3_cifar10 = _HERE / "timm-mobilenetv3-cifar10"
