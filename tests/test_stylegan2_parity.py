"""StyleGAN2: outputs equal those of the published networks, whose tensors load under their own names."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

import gantl_zoo as gz
from gantl_zoo.networks.base import call

REFERENCE = os.environ.get("GANTL_ZOO_REFERENCE_VECTORS", "")  # a folder of their outputs
FILES = ["stylegan2-uncond-32-rgb", "stylegan2-uncond-64-rgb", "stylegan2-cond10-32-gray"]


def read(name: str) -> tuple[dict[str, Tensor], Any, Any]:
    """Tensors of a reference file, and our two networks with its weights."""
    from safetensors import safe_open

    path = Path(REFERENCE) / f"{name}.safetensors"
    if not REFERENCE or not path.is_file():
        pytest.skip("GANTL_ZOO_REFERENCE_VECTORS is not a folder with outputs of the original networks")
    with safe_open(path, "pt") as file:
        about = json.loads(file.metadata()["generator"])
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    config = {"image_size": about["img_resolution"], "channels": about["img_channels"]}
    config |= {"num_classes": about["c_dim"]}
    config |= {key: about["synthesis_kwargs"][key] for key in ("channel_base", "channel_max")}
    own = {"latent_dim": about["z_dim"], "w_dim": about["w_dim"]}
    own["mapping_layers"] = about["mapping_kwargs"]["num_layers"]
    generator = gz.generators.build("stylegan2", **config, **own).eval()
    discriminator = gz.discriminators.build("stylegan2", **config).eval()
    for role, network in (("generator", generator), ("discriminator", discriminator)):
        prefix = f"{role}."
        theirs = {key.removeprefix(prefix): t for key, t in tensors.items() if key.startswith(prefix)}
        network.load_state_dict(theirs)
    return tensors, generator, discriminator


def close(actual: Tensor, expected: Tensor, limit: float = 1e-5) -> None:
    """Check that two tensors agree to `limit` times the expected one's standard deviation."""
    assert actual.shape == expected.shape
    error = (actual.detach().double() - expected).abs().max() / expected.double().std()
    assert error < limit, float(error)


@pytest.mark.parametrize("name", FILES)
def test_outputs_equal_those_of_the_original(name: str) -> None:
    tensors, generator, discriminator = read(name)
    labels = tensors["in.label"].argmax(1) if "in.label" in tensors else None
    latents = generator.map(tensors["in.z"], labels)
    close(generator.synthesize(latents, noise="none"), tensors["out.image_untruncated_noise_none"])
    latents = generator.truncate(latents, 0.7)
    close(latents, tensors["out.w_truncated_0.7"])
    images = tensors["out.image_truncated_0.7_noise_const"]
    close(generator.synthesize(latents, noise="const"), images)
    close(generator.synthesize(latents), images)  # the default in eval mode
    close(generator.synthesize(latents, noise="none"), tensors["out.image_truncated_0.7_noise_none"])
    logits = tensors["out.logits_of_image_truncated_0.7_noise_const"]
    # these logits vary by a twelfth of their size only, so rounding weighs more
    close(call(discriminator, images, labels), logits.squeeze(1), 5e-5)
    first = None if labels is None else labels[:1].expand(8)
    batch8 = call(discriminator, tensors["in.batch8"], first)
    # float64 differs by 1.6e-5, too
    close(batch8, tensors["out.logits_of_batch8"].squeeze(1), 5e-5)
