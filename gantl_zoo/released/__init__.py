"""Paths of the bundled models: one folder each, with the same layout as a repository on the Hub."""

from pathlib import Path

_HERE = Path(__file__).parent

cnn_fashion_mnist = _HERE / "cnn-fashion-mnist"
cnn_mnist = _HERE / "cnn-mnist"
dcgan_cats = _HERE / "dcgan-cats"
dcgan_emoji = _HERE / "dcgan-emoji"
dcgan_faces = _HERE / "dcgan-faces"
dcgan_fashion_mnist = _HERE / "dcgan-fashion-mnist"
dcgan_mnist = _HERE / "dcgan-mnist"
dcgan_mnist_conditional = _HERE / "dcgan-mnist-conditional"
dcgan_peeps = _HERE / "dcgan-peeps"
dcgan_portraits = _HERE / "dcgan-portraits"
timm_mobilenetv3_cifar10 = _HERE / "timm-mobilenetv3-cifar10"
