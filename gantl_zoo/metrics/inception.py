"""The Inception network of the usual FID, KID and IS, from torch-fidelity (extra `fidelity`).

Uses torch-fidelity's weights, resampling and features, so that the same images give the same values as with
its command. The weights come from torch's cache or a download; `inception:PATH` names a file.
"""

from __future__ import annotations

import os
import warnings
from typing import Any

import torch
from torch import Tensor

from gantl_zoo.errors import UsageError, WeightsError
from gantl_zoo.metrics.extractors import Extractor, Outputs
from gantl_zoo.networks.base import digest, evaluating

NETWORK = "inception-v3-compat"
FEATURES, LOGITS = "2048", "logits_unbiased"


class InceptionFeatures(Extractor):
    """2,048 features and 1,008 logits. Grey images are repeated over three channels, as in torch-fidelity."""

    name, num_features, num_logits, side = "inception", 2048, 1008, 299
    trained_on = "imagenet"
    convention = (
        "8 bits, resized to 299 as TensorFlow 1 does (bilinear, not antialiased), as floats in [-1, 1]"
    )

    def __init__(self, path: str = "") -> None:
        """Raises `UsageError` without torch-fidelity, `WeightsError` if the weights can't be loaded."""
        try:
            from torch_fidelity.utils import create_feature_extractor
        except ImportError as error:
            raise UsageError(
                "extractor inception needs torch-fidelity: pip install 'gantl_zoo[fidelity]'"
            ) from error
        path = os.path.expanduser(path)
        check_file(path)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.network: Any = create_feature_extractor(
                    NETWORK,
                    [FEATURES, LOGITS],
                    cuda=False,
                    verbose=False,
                    feature_extractor_weights_path=path or None,
                )
        except (OSError, RuntimeError) as error:  # offline, or the weights of another network
            cause = str(error).strip().splitlines()[0]
            raise WeightsError(
                f"the Inception weights can't be loaded ({type(error).__name__}: {cause}); they are "
                "downloaded once; offline, use --extractor inception:PATH, or pixels"
            ) from error
        self.sha256 = digest(self.network.state_dict())

    def forward(self, images: Tensor) -> Outputs:
        colour = images if images.shape[1] == 3 else images.expand(-1, 3, -1, -1)
        self.network = evaluating(self.network)
        features, logits = self.network(colour.to(self.device))
        return features, logits


def check_file(path: str) -> None:
    """Raise `WeightsError` unless the file has tensors only, since torch-fidelity would unpickle anything."""
    if not path:
        return
    try:
        torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise WeightsError(f"{path} does not have Inception weights: {str(error).splitlines()[0]}") from error
