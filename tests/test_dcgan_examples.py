"""The DCGAN of PyTorch's examples: its tensors' names and shapes; outputs and gradients of the original."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import gantl_zoo as gz

REFERENCE = os.environ.get("GANTL_ZOO_REFERENCE_VECTORS", "")  # a folder with outputs of the original
STEM = "dcgan-pytorch-examples-64"
TOLERANCE = 1e-5


def shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items() if tensor.ndim == 4}


def test_tensors_have_the_names_and_shapes_of_the_example() -> None:
    gan = gz.build_gan("dcgan-examples")
    assert shapes(gan.generator) == {
        "main.0.weight": (100, 512, 4, 4), "main.3.weight": (512, 256, 4, 4),
        "main.6.weight": (256, 128, 4, 4), "main.9.weight": (128, 64, 4, 4), "main.12.weight": (64, 3, 4, 4),
    }  # fmt: skip
    assert shapes(gan.discriminator) == {
        "main.0.weight": (64, 3, 4, 4), "main.2.weight": (128, 64, 4, 4), "main.5.weight": (256, 128, 4, 4),
        "main.8.weight": (512, 256, 4, 4), "main.11.weight": (1, 512, 4, 4),
    }  # fmt: skip
    counts = [sum(p.numel() for p in net.parameters()) for net in (gan.generator, gan.discriminator)]
    assert counts == [3_576_704, 2_765_568]
    names = {name.rsplit(".", 1)[0] for name in gan.discriminator.state_dict() if name.endswith("_mean")}
    assert names == {"main.3", "main.6", "main.9"}


@pytest.mark.parametrize("size", [8, 16, 128])
def test_any_power_of_two_is_an_image_size(size: int) -> None:
    small = {"image_size": size, "width": 2}
    gan = gz.build_gan("dcgan-examples", generator_config=small, discriminator_config={"width": 2})
    images = gan.generate(2)
    assert images.shape == (2, 3, size, size) and gan.discriminator(images).shape == (2,)


@pytest.mark.parametrize("size", [4, 28, 48, 0, -64])
def test_other_image_sizes_are_refused(size: int) -> None:
    with pytest.raises(gz.UsageError, match=rf"image_size {size} is not a power of two from 8"):
        gz.build_gan("dcgan-examples", generator_config={"image_size": size})


def original() -> tuple[dict[str, Tensor], gz.GAN]:
    """The reference's tensors, and our networks with its weights."""
    from safetensors.torch import load_file

    folder = Path(REFERENCE)
    if not REFERENCE or not (folder / f"{STEM}.safetensors").is_file():
        pytest.skip("GANTL_ZOO_REFERENCE_VECTORS is not a folder with outputs of the original networks")
    widths = {"width": 16}
    gan = gz.build_gan("dcgan-examples", generator_config=widths, discriminator_config=widths)
    for role, network in (("netG", gan.generator), ("netD", gan.discriminator)):
        state = torch.load(folder / f"{STEM}-{role}.pt", weights_only=True, map_location="cpu")
        network.load_state_dict(state)
    return load_file(folder / f"{STEM}.safetensors"), gan


def near(found: Tensor, expected: Tensor) -> bool:
    found, expected = found.squeeze().double(), expected.squeeze().double()
    return torch.allclose(found, expected, atol=TOLERANCE, rtol=TOLERANCE)


def test_outputs_in_eval_mode_are_the_originals() -> None:
    tensors, gan = original()
    with torch.no_grad():
        fakes = gan.generator(tensors["in.z"].flatten(1))
        assert near(fakes, tensors["out.eval.fakes"])
        for name, images in (("reals", tensors["in.reals"]), ("fakes", tensors["out.eval.fakes"])):
            logits = gan.discriminator(images)
            assert near(logits.sigmoid(), tensors[f"out.eval.netD_of_{name}"])
            if name == "reals":
                assert near(logits, tensors["out.eval.netD_of_reals_before_sigmoid"])


def test_outputs_and_statistics_in_training_are_the_originals() -> None:
    tensors, gan = original()
    gan.generator.train(), gan.discriminator.train()
    with torch.no_grad():
        fakes = gan.generator(tensors["in.z"].flatten(1))
        assert near(fakes, tensors["out.train.fakes"])
        for name, images in (("reals", tensors["in.reals"]), ("fakes", tensors["out.train.fakes"])):
            assert near(gan.discriminator(images).sigmoid(), tensors[f"out.train.netD_of_{name}"])
    for role, network in (("netG", gan.generator), ("netD", gan.discriminator)):
        after = {n: t for n, t in tensors.items() if n.startswith(f"out.train.{role}_after.")}
        assert after
        for name, tensor in after.items():
            assert near(network.state_dict()[name.removeprefix(f"out.train.{role}_after.")], tensor), name


def test_losses_and_gradients_are_the_originals() -> None:
    tensors, gan = original()
    gan.generator.train(), gan.discriminator.train()
    fakes = gan.generator(tensors["in.z"].flatten(1))

    def loss(images: Tensor, label: float) -> Tensor:
        logits = gan.discriminator(images)
        return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))

    real, fake = loss(tensors["in.reals"], 1.0), loss(fakes.detach(), 0.0)
    (real + fake).backward()
    norms = {f"netD.{n}": p.grad.norm() for n, p in gan.discriminator.named_parameters()}
    again = loss(fakes, 1.0)
    again.backward()
    norms |= {f"netG.{n}": p.grad.norm() for n, p in gan.generator.named_parameters()}
    for name, value in (("errD_real", real), ("errD_fake", fake), ("errG", again)):
        assert near(value, tensors[f"out.step.{name}"]), name
    expected = {n.removeprefix("out.step.grad_norm."): t for n, t in tensors.items() if "step.grad_norm" in n}
    assert expected.keys() == norms.keys()
    for name, value in norms.items():
        assert near(value, expected[name]), name
