"""The format `rosinality`: checkpoints become `stylegan2`, tensor by tensor, and compute what they did."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from official import FILTER, close, load_into, reference, rosinality_discriminator, rosinality_generator
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

import gantl_zoo as gz
from gantl_zoo.convert.formats import ImportedNetworks
from gantl_zoo.convert.unpickle import read
from gantl_zoo.surgery.fit import adapt

WIDTHS = {4: 8, 8: 8, 16: 4}  # min(64 / side, 8)
Tensors = dict[str, Tensor]


def found_in(path: Path) -> ImportedNetworks:
    """What the format finds in a file."""
    found: ImportedNetworks = gz.formats.build("rosinality").read(read(path))
    return found


def checkpoint() -> dict[str, Any]:
    """A training checkpoint."""
    torch.manual_seed(0)
    return {
        "g": rosinality_generator(WIDTHS),
        "d": rosinality_discriminator(WIDTHS),
        "g_ema": rosinality_generator(WIDTHS),
        "g_optim": {
            "state": {0: {"step": torch.tensor(1.0)}},
            "param_groups": [{"lr": 0.002, "params": [0]}],
        },
        "d_optim": {"state": {}, "param_groups": []},
        "args": argparse.Namespace(size=16, latent=5, n_mlp=2, channel_multiplier=2),
        "ada_aug_p": 0.0,
    }


@pytest.mark.parametrize("old", [False, True])
def test_each_tensor_of_a_checkpoint_has_its_place(old: bool, tmp_path: Path) -> None:
    content = checkpoint()
    torch.save(content, tmp_path / "550000.pt", _use_new_zipfile_serialization=not old)
    found = found_in(tmp_path / "550000.pt")
    g, d = content["g_ema"], content["d"]
    ours, critic = found.generator_weights, found.discriminator_weights
    expected = {
        "mapping.fc1.bias": g["style.2.bias"],
        "synthesis.b4.const": g["input.input"][0],
        "synthesis.b4.conv1.weight": g["conv1.conv.weight"][0],
        "synthesis.b4.conv1.noise_const": g["noises.noise_0"][0, 0],
        "synthesis.b4.torgb.weight": g["to_rgb1.conv.weight"][0],
        "synthesis.b8.conv0.weight": g["convs.0.conv.weight"][0],
        "synthesis.b8.conv0.noise_const": g["noises.noise_1"][0, 0],
        "synthesis.b8.conv1.noise_const": g["noises.noise_2"][0, 0],
        "synthesis.b16.conv0.noise_strength": g["convs.2.noise.weight"][0],
        "synthesis.b16.conv1.affine.bias": g["convs.3.conv.modulation.bias"],
        "synthesis.b16.conv1.bias": g["convs.3.activate.bias"],
        "synthesis.b16.torgb.bias": g["to_rgbs.1.bias"].flatten(),
        "synthesis.b16.torgb.affine.weight": g["to_rgbs.1.conv.modulation.weight"],
    }  # fmt: skip
    assert all(torch.equal(ours[name], tensor) for name, tensor in expected.items())
    expected = {
        "b16.fromrgb.weight": d["convs.0.0.weight"],
        "b16.conv0.bias": d["convs.1.conv1.1.bias"],
        "b8.conv1.weight": d["convs.2.conv2.1.weight"],
        "b8.skip.weight": d["convs.2.skip.1.weight"],
        "b4.conv.bias": d["final_conv.1.bias"],
        "b4.fc.weight": d["final_linear.0.weight"],
        "b4.out.weight": d["final_linear.1.weight"],
    }
    assert all(torch.equal(critic[name], tensor) for name, tensor in expected.items())
    generator, discriminator = load_into(found)  # refuses missing, superfluous and other shapes
    assert discriminator is not None
    for name, tensor in [*generator.named_buffers(), *discriminator.named_buffers()]:
        assert not name.endswith("resample_filter") or torch.equal(tensor, FILTER), name


def test_the_mean_latent_is_that_of_the_converter_or_an_estimate(tmp_path: Path) -> None:
    content = checkpoint()
    torch.save({"g_ema": content["g_ema"], "latent_avg": torch.arange(5.0)[None]}, tmp_path / "converted.pt")
    converted = found_in(tmp_path / "converted.pt")
    assert torch.equal(converted.generator_weights["mapping.w_avg"], torch.arange(5.0))
    assert converted.discriminator is None and len(converted.notes) == 1
    torch.save(content, tmp_path / "training.pt")
    found = found_in(tmp_path / "training.pt")
    mean = found.generator_weights["mapping.w_avg"]
    assert "the mean of 10,000 mapped latents, seed 0, takes its place" in found.notes[1]
    assert torch.equal(mean, found_in(tmp_path / "training.pt").generator_weights["mapping.w_avg"])
    x = torch.randn(20_000, 5, dtype=torch.float64)
    x = x * x.square().mean(1, keepdim=True).rsqrt()
    for layer in ("style.1", "style.2"):
        weight, bias = (
            content["g_ema"][f"{layer}.weight"].double(),
            content["g_ema"][f"{layer}.bias"].double(),
        )
        x = functional.leaky_relu(x @ (weight * 0.01 / 5**0.5).T + bias * 0.01, 0.2) * 2**0.5
    assert (mean - x.mean(0)).abs().max() < 5 * x.std() / 100


def demodulated(weight: Tensor, style: Tensor, scale: float) -> Tensor:
    """Modulated weights divided by their norms: `scale` is that of the weights before 1e-8 is added."""
    modulated = scale * weight * style[None, :, None, None]
    return modulated * (modulated.square().sum((1, 2, 3), keepdim=True) + 1e-8).rsqrt()


def test_channels_of_tiny_weights_are_rescaled_for_the_other_epsilon(tmp_path: Path) -> None:
    content = checkpoint()
    content["g_ema"]["convs.1.conv.weight"][:, 2:5] *= 1e-3
    original = content["g_ema"]["convs.1.conv.weight"][0]
    torch.save(content, tmp_path / "a.pt")
    found = found_in(tmp_path / "a.pt")
    weight = found.generator_weights["synthesis.b8.conv1.weight"]
    assert found.notes[1].startswith("tiny weights of synthesis.b8.conv1.weight are divided by √fan-in")
    assert [torch.equal(*pair) for pair in zip(weight, original, strict=True)] == [True] * 2 + [False] * 3 + [
        True
    ] * 3
    style = torch.rand(8, dtype=torch.float64) + 0.5
    theirs = demodulated(original.double(), style, (8 * 9) ** -0.5)
    torch.testing.assert_close(demodulated(weight.double(), style, 1.0), theirs, rtol=1e-5, atol=0)
    unchanged = demodulated(original.double(), style, 1.0)
    assert ((unchanged - theirs)[2:5].abs() > 1e-4 * theirs[2:5].abs()).all()


def changed(key: str, name: str, tensor: Tensor | None) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A change of a checkpoint: another tensor, or none of this name."""

    def change(content: dict[str, Any]) -> dict[str, Any]:
        content[key].pop(name, None)
        if tensor is not None:
            content[key][name] = tensor
        return content

    return change


WRONG: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "a list": (lambda c: [1], "not a checkpoint of rosinality's StyleGAN2: it has list, but not g_ema"),
    "another program": (
        lambda c: {"state_dict": {}, "epoch": 3}, "it has state_dict, epoch, but not g_ema"
    ),
    "no tensors": (lambda c: {"g_ema": {"style.1.weight": 3}}, "g_ema is not a state dict: style"),
    "another name": (changed("g_ema", "conv9.weight", torch.ones(2)), "conv9.weight is not a tensor"),
    "another layer": (changed("d", "convs.1.conv3.0.weight", torch.ones(2)), "is not a tensor of"),
    "no mapping": (changed("g_ema", "style.1.weight", None), "mapping.fc0.weight is missing"),
    "two kernels": (
        changed("g_ema", "conv1.conv.weight", torch.ones(2, 8, 8, 3, 3)),
        r"conv1.conv.weight has the shape \(2, 8, 8, 3, 3\), not one",
    ),
    "another filter": (changed("g_ema", "convs.0.conv.blur.kernel", FILTER), "kernel is not the low-pass"),
    "a block too far": (
        changed("g_ema", "to_rgbs.99999999999.bias", torch.ones(3)),
        "to_rgbs.99999999999.bias is not a tensor",
    ),
    "a wide mapping": (
        changed("g_ema", "style.1.weight", torch.ones(1, 1 << 15)), "more than 16,384 numbers"
    ),
    "a hole": (changed("g_ema", "convs.1.conv.weight", None), "its blocks have the resolutions 4, 16,"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_one_line(case: str, tmp_path: Path) -> None:
    change, message = WRONG[case]
    torch.save(change(checkpoint()), tmp_path / "a.pt")
    with pytest.raises(gz.WeightsError, match=message) as error:
        found_in(tmp_path / "a.pt")
    assert "\n" not in str(error.value)


def test_an_imported_folder_can_be_sampled_and_transferred(tmp_path: Path) -> None:
    torch.save(checkpoint(), tmp_path / "550000.pt")
    gz.import_weights("rosinality", tmp_path / "550000.pt", to=tmp_path / "mine", licence="mit")
    gan = gz.load_model(tmp_path / "mine")
    assert gan.generate(2, truncation=0.5).shape == (2, 3, 16, 16)
    fitted, _ = adapt(gan, gan.image_shape)
    assert torch.equal(fitted.generate(2), gan.generate(2))


@pytest.mark.parametrize("old", [False, True])
def test_a_file_that_ends_early_is_damaged(old: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    torch.save(checkpoint(), path, _use_new_zipfile_serialization=not old)
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(gz.WeightsError, match=r"a\.pt"):
        found_in(path)


def test_the_training_checkpoint_computes_what_it_did() -> None:
    tensors = load_file(reference("stylegan2-rosinality-32.safetensors"))
    found = found_in(reference("stylegan2-rosinality-32.pt"))
    generator, discriminator = load_into(found)
    assert discriminator is not None and len(found.notes) == 2
    close(generator(tensors["in.z"]), tensors["out.g_ema.image_untruncated_noise_const"], 1e-4)
    expected = tensors["out.logits_of_batch8"].flatten()
    close(discriminator(tensors["in.batch8"]), expected, 1e-4)
    images = tensors["out.g_ema.image_truncated_0.7_noise_const"]
    close(discriminator(images), tensors["out.logits_of_image_truncated_0.7_noise_const"].flatten(), 1e-4)
    names = {k.split(".", 2)[2]: t for k, t in tensors.items() if k.startswith("nvidia.generator.")}
    assert all(torch.equal(names[k], t) for k, t in found.generator_weights.items() if k != "mapping.w_avg")


def test_the_converted_file_computes_what_it_did() -> None:
    tensors = load_file(reference("stylegan2-rosinality-32.safetensors"))
    generator, _ = load_into(found_in(reference("stylegan2-rosinality-32-converted.pt")))
    latents = generator.map(tensors["in.z"])
    close(latents[:, 0], tensors["out.g_ema.w"], 1e-4)
    latents = generator.truncate(latents, 0.7)
    close(latents[:, 0], tensors["out.g_ema.w_truncated_0.7"], 1e-4)
    close(generator.synthesize(latents), tensors["out.g_ema.image_truncated_0.7_noise_const"], 1e-4)
    images = generator.synthesize(generator.map(tensors["in.z"]), noise="none")
    close(images, tensors["out.g_ema.image_untruncated_noise_none"], 1e-4)
