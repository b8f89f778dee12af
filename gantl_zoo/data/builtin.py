"""Built-in data sets: torchvision's, scikit-learn's digits, and bundled portraits."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import torch
from torch import Tensor

from gantl_zoo.data import downloads, files
from gantl_zoo.data.images import ImageData
from gantl_zoo.data.registered import sized
from gantl_zoo.errors import DataError

FOLDERS = {"cifar10": "cifar-10-batches-py"}  # folder below the root; by default it has the class's name
STACKS = {"train": 128_000, "test": 26_000}
CLASSES = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "kmnist": "KMNIST", "cifar10": "CIFAR10"}
PORTRAITS = Path(__file__).parent / "portraits.zip"


@sized(60_000, 10_000, (1, 28, 28))
def mnist(split: str, *, root: Path) -> ImageData:
    """MNIST: 70,000 handwritten digits, 28×28 grey, downloaded (LeCun et al. 1998)."""
    return torchvision_set("mnist", split, root)


@sized(60_000, 10_000, (1, 28, 28))
def fashion_mnist(split: str, *, root: Path) -> ImageData:
    """Fashion-MNIST: 70,000 pictures of clothes, 28×28 grey, downloaded (Xiao et al. 2017).

    Paper: https://arxiv.org/abs/1708.07747.
    """
    return torchvision_set("fashion-mnist", split, root)


@sized(60_000, 10_000, (1, 28, 28))
def kmnist(split: str, *, root: Path) -> ImageData:
    """KMNIST: 70,000 Japanese characters, 28×28 grey, downloaded (Clanuwat et al. 2018).

    Paper: https://arxiv.org/abs/1812.01718.
    """
    return torchvision_set("kmnist", split, root)


@sized(50_000, 10_000, (3, 32, 32))
def cifar10(split: str, *, root: Path) -> ImageData:
    """CIFAR-10: 60,000 photographs of ten classes, 32×32 RGB, downloaded (Krizhevsky 2009)."""
    return torchvision_set("cifar10", split, root)


@sized(90, 10, (3, 64, 64))
def portraits(split: str, *, image_size: int | None, fit: str) -> ImageData:
    """Portraits: 100 drawn faces, 64×64 RGB, bundled ("Lorelei" by Lisa Wischofsky, CC0 1.0).

    Ten of them are the test split.
    """
    return files.load(PORTRAITS, split, image_size, fit=fit)


def torchvision_set(name: str, split: str, root: Path) -> ImageData:
    """A torchvision data set, read from `root` or downloaded into it. Raises `DataError`."""
    import torchvision.datasets  # here, since it takes 3 s

    kind = getattr(torchvision.datasets, CLASSES[name])
    folder = FOLDERS.get(name, CLASSES[name])
    downloads.check_root(name, folder, root)
    downloads.check_idx(root / folder / "raw")
    try:
        with contextlib.redirect_stdout(io.StringIO()), downloads.nothing_left(root / folder / "raw"):
            dataset = kind(root, train=split == "train", download=True)
    except Exception as error:
        downloads.check_archives(root / folder / "raw")
        downloads.check_sums(root, downloads.sums_of(kind, folder))
        raise DataError(
            f"{name} is not in {root} and can't be downloaded ({type(error).__name__}: {error}); give "
            "the folder that has it with --data-root or GANTL_ZOO_DATA, or try --data glyphs"
        ) from error
    images = torch.as_tensor(dataset.data)
    images = images.unsqueeze(1) if images.ndim == 3 else images.permute(0, 3, 1, 2)  # -> (N, C, H, W)
    labels: Tensor = torch.as_tensor(dataset.targets)
    return ImageData(images.contiguous(), labels.long(), tuple(map(str, dataset.classes)), name, split)


@sized(STACKS["train"], STACKS["test"], (3, 28, 28))
def stacked_mnist(split: str, *, root: Path) -> ImageData:
    """Stacked MNIST: 154,000 images of three digits, one per channel, 28×28 RGB, 1,000 classes.

    The digits are random ones of the same split of MNIST, and the classes are "000" to "999". The numbers of
    images are those of VEEGAN (Srivastava et al. 2017, https://arxiv.org/abs/1705.07761, section 4.2).
    """
    ones = torchvision_set("mnist", split, root)
    random = torch.Generator().manual_seed(int(split == "test"))
    index = torch.randint(len(ones), (STACKS[split], 3), generator=random)  # (N, 3)
    assert ones.labels is not None  # torchvision's sets have them
    labels = (ones.labels[index] * torch.tensor([100, 10, 1])).sum(1)
    classes = tuple(f"{i:03d}" for i in range(1000))
    return ImageData(ones.images[index].squeeze(2), labels, classes, "stacked-mnist", split)


@sized(1_438, 359, (1, 8, 8))
def digits(split: str) -> ImageData:
    """Digits: 1,797 handwritten digits, 8×8 grey, with scikit-learn (Alpaydin & Kaynak 1998).

    Each fifth image is in the test split.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise DataError("the data set 'digits' needs scikit-learn: pip install scikit-learn") from None
    dataset = load_digits()
    images = (
        torch.from_numpy(dataset.images * (255 / 16)).round().to(torch.uint8).unsqueeze(1)
    )  # (N, 1, 8, 8)
    labels = torch.from_numpy(dataset.target).long()
    held_out = torch.arange(len(images)) % 5 == 4
    index = (held_out if split == "test" else ~held_out).nonzero().squeeze(1)
    classes = tuple(map(str, range(10)))
    return ImageData(images, labels, classes, "digits", split).select(index)
