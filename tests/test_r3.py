"""R3GAN: parity with the published networks, its resampling, and fitting to other classes."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from helpers import check_report
from torch import Tensor, nn

import gantl_zoo as gz
from gantl_zoo.networks.base import call
from gantl_zoo.networks.r3_blocks import Block, Resample
from gantl_zoo.surgery.fit import adapt
from gantl_zoo.training.critic import Critic
from gantl_zoo.training.losses import Relativistic
from gantl_zoo.training.regularizers.combined import build_regularizer

REFERENCE = os.environ.get("GANTL_ZOO_REFERENCE_VECTORS", "")  # a folder of their outputs
FILES = ["r3gan-32", "r3gan-32-cond10", "r3gan-64", "r3gan-64-cond10"]
KINDS = (gz.generators, gz.discriminators)
GAMMA = 1.5  # of both penalties in these files
BLOCK = {
    "LinearLayer1.Layer.weight": "conv1.weight",
    "NonLinearity1.Bias": "conv1.bias",
    "LinearLayer2.Layer.weight": "conv2.weight",
    "NonLinearity2.Bias": "conv2.bias",
    "LinearLayer3.Layer.weight": "conv3.weight",
}
OTHERS = {
    "Basis": "basis",
    "Basis.weight": "basis.weight",
    "LinearLayer.weight": "linear.weight",
    "LinearLayer.Layer.weight": "conv.weight",
}


def our_name(role: str, name: str, stages: int) -> str:
    """Our name of a tensor of the original networks; "" for the resampling kernels."""
    ends = (0, stages) if role == "generator" else (stages, 0)  # the fixed end, and the image's
    if name == "EmbeddingLayer.weight":
        return f"blocks.{ends[0]}.classes.weight"
    if not name.startswith("MainLayers"):
        return f"blocks.{ends[1]}.weight"
    match = re.fullmatch(r"MainLayers\.(\d+)\.Layers\.(\d+)\.(.*)", name)
    assert match
    first = int(role == "generator")  # the layer before a stage's blocks; the discriminator's is after them
    place, layer, rest = int(match[1]) + 1 - first, int(match[2]) - first, match[3]
    if rest in BLOCK:
        return f"blocks.{place}.blocks.{layer}.{BLOCK[rest]}"
    return f"blocks.{place}.{OTHERS[rest]}" if rest in OTHERS else ""


def converted(role: str, tensors: dict[str, Tensor], latent_dim: int) -> dict[str, Tensor]:
    """The tensors of an original network under our names."""
    stages = 1 + max(int(name.split(".")[1]) for name in tensors if name.startswith("MainLayers"))
    ours = {}
    for name, tensor in tensors.items():
        if not (ours_name := our_name(role, name, stages)):
            continue
        if name == "EmbeddingLayer.weight":
            tensor = tensor.T
        elif role == "generator" and ours_name == "blocks.0.linear.weight" and tensor.shape[1] > latent_dim:
            ours["blocks.0.class_linear.weight"] = tensor[:, latent_dim:]
            tensor = tensor[:, :latent_dim]
        ours[ours_name] = tensor
    return ours


def read(name: str) -> tuple[dict[str, Tensor], dict[str, Any], dict[str, nn.Module]]:
    """Tensors of a reference file, the arguments of its generator, and our two networks with its weights."""
    from safetensors import safe_open

    path = Path(REFERENCE) / f"{name}.safetensors"
    if not REFERENCE or not path.is_file():
        pytest.skip("GANTL_ZOO_REFERENCE_VECTORS is not a folder with outputs of the original networks")
    with safe_open(path, "pt") as file:
        about = json.loads(file.metadata()["generator"])
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    config = {
        "image_size": 4 << (len(about["WidthPerStage"]) - 1),
        "widths": about["WidthPerStage"],
        "blocks": about["BlocksPerStage"],
        "num_classes": about.get("ConditionDimension") or 0,
    }
    networks = {
        "generator": gz.generators.build("r3", latent_dim=about["NoiseDimension"], **config),
        "discriminator": gz.discriminators.build("r3", **config),
    }
    for role, network in networks.items():
        theirs = {k.split(".", 1)[1]: t for k, t in tensors.items() if k.startswith(f"{role}.")}
        network.load_state_dict(converted(role, theirs, about["NoiseDimension"]))
    return tensors, about, networks


def close(actual: Tensor, expected: Tensor) -> None:
    """Check that two tensors agree to 1e-5 of the expected one's standard deviation, or of its size."""
    scale = expected.std() if expected.numel() > 1 else expected.abs()
    assert (actual.detach().double() - expected).abs().max() < 1e-5 * scale


@pytest.mark.parametrize("name", FILES)
def test_outputs_losses_and_gradients_equal_those_of_the_original(name: str) -> None:
    tensors, about, networks = read(name)
    labels = tensors["in.label"].argmax(1) if "in.label" in tensors else None
    real, generator, discriminator = tensors["in.reals"], networks["generator"], networks["discriminator"]
    critic = Critic(lambda images: call(discriminator, images, labels), together=False)
    fake = call(generator, tensors["in.z"], labels)
    close(fake, tensors["out.fakes"])
    close(critic(fake), tensors["out.logits_of_fakes"])
    close(critic(real), tensors["out.logits_of_reals"])
    loss = Relativistic().discriminator(critic, real, fake.detach())
    close(loss, tensors["out.D.adversarial_loss"].mean())
    penalties = build_regularizer("r2", {"r1.every": 1, "r2.every": 1}, GAMMA)
    batch: Any = SimpleNamespace(step=0, real=real, fake=fake)
    for key, penalty in penalties.discriminator(critic, batch).items():
        close(penalty, GAMMA / 2 * tensors[f"out.D.{key}_penalty"].mean())
        loss = loss + penalty
    close(loss, tensors["out.D.loss_mean"])
    check_gradients(networks, "discriminator", loss, tensors, about["NoiseDimension"])
    fake = call(generator, tensors["in.z_for_G_phase"], labels)
    loss = Relativistic().generator(critic, real, fake)
    close(loss, tensors["out.G.loss_mean"])
    check_gradients(networks, "generator", loss, tensors, about["NoiseDimension"])


def check_gradients(
    networks: dict[str, nn.Module], role: str, loss: Tensor, tensors: dict[str, Tensor], latent_dim: int
) -> None:
    """Compare the norm of each gradient; the original has one layer for noise and embedding, not two."""
    names, parameters = zip(*networks[role].named_parameters(), strict=True)
    norms = {n: g.norm().double() for n, g in zip(names, torch.autograd.grad(loss, parameters), strict=True)}
    if "blocks.0.class_linear.weight" in norms:
        parts = [norms.pop("blocks.0.class_linear.weight"), norms["blocks.0.linear.weight"]]
        norms["blocks.0.linear.weight"] = torch.stack(parts).norm()
    prefix = f"grad_norm.{role[0].upper()}."
    theirs = {key.removeprefix(prefix): norm for key, norm in tensors.items() if key.startswith(prefix)}
    stages = len(networks[role].blocks) - 1  # type: ignore[arg-type]
    assert {our_name(role, name, stages) for name in theirs} == set(norms)
    for name, norm in theirs.items():
        close(norms[our_name(role, name, stages)], norm)


# Of the original networks: settings that differ from those of CIFAR-10, and the numbers of parameters.
PRESETS = {
    "CIFAR-10": ({"num_classes": 10}, 20_781_952, 21_280_512),
    "FFHQ-64": ({"image_size": 64}, 22_429_824, 22_381_440),
    "FFHQ-256": ({"image_size": 256}, 23_057_952, 23_009_568),
    "ImageNet-32": ({"width": 1536, "group_width": 32, "num_classes": 1000}, 82_914_304, 86_548_992),
    "ImageNet-64": (
        {"image_size": 64, "widths": [1536] * 5, "group_width": 32, "num_classes": 1000},
        103_570_432,
        107_205_120,
    ),
}


@pytest.mark.parametrize("name", PRESETS)
def test_the_published_networks_have_as_many_parameters(name: str) -> None:
    config, *counts = PRESETS[name]
    with torch.device("meta"):
        networks = [kind.build("r3", **{"width": 768} | config) for kind in KINDS]
    assert [sum(p.numel() for p in network.parameters()) for network in networks] == counts


def test_widths_blocks_and_groups_are_as_asked() -> None:
    config = {"image_size": 128, "width": 32}
    network = gz.generators.build("r3", **config, blocks=[1, 2])
    assert [[b.conv1.in_channels for b in stage.blocks] for stage in network.blocks[:-1]] == [
        [32], [32, 32], [32, 32], [32, 32], [16, 16], [8, 8]
    ]  # fmt: skip
    network = gz.discriminators.build("r3", **config, widths=[24, 10], blocks=1, group_width=12)
    stages = [stage.blocks[0].conv2 for stage in network.blocks[1:]]
    assert [conv.in_channels for conv in stages] == [2, 2, 4, 10, 20, 48]
    assert [conv.in_channels // conv.groups for conv in stages] == [2, 2, 4, 2, 4, 12]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"image_size": 4}, "r3: image_size 4 is not 7 or 4 times a power of two"),
        ({"image_size": 48}, "r3: image_size 48 is not"),
        ({"widths": []}, r"r3: widths must be one or more numbers of at least 1, not \[\]"),
        ({"widths": [8, 0]}, r"r3: widths must be .*, not \[8, 0\]"),
        ({"blocks": 0}, r"r3: blocks must be one or more numbers of at least 1, not \[0"),
        ({"group_width": 0}, "r3: group_width must be at least 1, not 0"),
        ({"num_classes": -1}, "r3: num_classes must be at least 0"),
    ],
)
def test_impossible_settings_are_refused(config: dict[str, Any], message: str) -> None:
    for kind in KINDS:
        with pytest.raises(gz.UsageError, match=message):
            kind.build("r3", **config)


def spread(weights: Tensor) -> float:
    """The standard deviation of weights."""
    return float(weights.detach().std())


def test_a_new_block_changes_nothing_and_its_weights_are_scaled() -> None:
    torch.manual_seed(0)
    block = Block(64, 16, total=16)
    features = torch.randn(2, 64, 4, 4)
    assert torch.equal(block(features), features)
    gain = (2 / 1.04) ** 0.5 / 2  # 16 ** -0.25 is a half
    assert spread(block.conv1.weight) == pytest.approx(gain / 64**0.5, rel=0.03)
    assert spread(block.conv2.weight) == pytest.approx(gain / (16 * 9) ** 0.5, rel=0.03)
    network = gz.generators.build("r3", width=64, num_classes=10)
    stem = network.blocks[0]
    assert spread(stem.linear.weight) == pytest.approx(128**-0.5, rel=0.05)  # noise and embedding
    assert spread(stem.classes.weight) == pytest.approx(10**-0.5, rel=0.1)


def test_resampling_keeps_the_mean_inside_and_down_is_the_transpose_of_up() -> None:
    ones = torch.ones(1, 2, 6, 6, dtype=torch.float64)
    up, down = Resample(up=True), Resample(up=False)
    assert torch.equal(up(ones)[..., 1:-1, 1:-1], torch.ones(1, 2, 10, 10, dtype=torch.float64))
    assert torch.equal(down(ones)[..., 1:-1, 1:-1], torch.ones(1, 2, 1, 1, dtype=torch.float64))
    small, large = torch.randn(1, 2, 3, 3), torch.randn(1, 2, 6, 6)
    torch.testing.assert_close((up(small) * large).sum(), 4 * (small * down(large)).sum())


def small(classes: int, image_size: int = 16, latent_dim: int = 6) -> gz.GAN:
    """A small GAN with random weights, all of them other than 0."""
    torch.manual_seed(1)
    config = {"image_size": image_size, "width": 8, "blocks": 1, "num_classes": classes}
    gan = gz.build_gan(
        "r3", generator_config=config | {"latent_dim": latent_dim}, discriminator_config=config
    )
    for tensor in [*gan.generator.state_dict().values(), *gan.discriminator.state_dict().values()]:
        tensor.add_((torch.rand_like(tensor) - 0.5) * 0.4)
    return gan


def logits(gan: gz.GAN, images: Tensor, label: int) -> Tensor:
    """The logits of images with the same label."""
    result: Tensor = gan.discriminator(images, torch.full((len(images),), label)).detach()
    return result


@pytest.mark.parametrize("classes", [3, 8])  # 8 is also the width
def test_a_source_without_classes_is_the_same_in_each_class(classes: int) -> None:
    gan = small(0)
    fitted, report = adapt(gan, gan.image_shape, num_classes=classes)
    check_report(gan, fitted, report)
    images = gan.generate(4)
    for label in range(classes):
        torch.testing.assert_close(fitted.generate(4, labels=label), images)
        torch.testing.assert_close(logits(fitted, images, label), gan.discriminator(images).detach())
    labels = torch.arange(4) % classes
    for network, inputs in ((fitted.generator, torch.randn(4, 6)), (fitted.discriminator, images)):
        table = next(p for n, p in network.named_parameters() if n.endswith("classes.weight"))
        (gradient,) = torch.autograd.grad(network(inputs, labels).square().sum(), table)
        assert gradient[0].abs().sum() > 0 and not torch.equal(gradient[0], gradient[1])
    back, _ = adapt(fitted, gan.image_shape, num_classes=0)
    torch.testing.assert_close(back.generate(4), images)
    torch.testing.assert_close(back.discriminator(images), gan.discriminator(images))


def test_classes_are_averaged_and_found_by_name() -> None:
    gan = small(3)
    gan.about["training"] = {"classes": ["cat", "cow", "dog"]}
    images = gan.generate(4)
    mean = torch.stack([logits(gan, images, label) for label in range(3)]).mean(0)
    plain, report = adapt(gan, gan.image_shape, num_classes=0)
    check_report(gan, plain, report)
    torch.testing.assert_close(plain.discriminator(images).detach(), mean)
    more, _ = adapt(gan, gan.image_shape, num_classes=5)
    torch.testing.assert_close(logits(more, images, 4), mean)
    named, _ = adapt(gan, gan.image_shape, classes=("dog", "fox", "cat"))
    for label, source in ((0, 2), (2, 0)):
        torch.testing.assert_close(named.generate(2, labels=label), gan.generate(2, labels=source))
        torch.testing.assert_close(logits(named, images, label), logits(gan, images, source))
    torch.testing.assert_close(logits(named, images, 1), mean)


def test_the_smallest_grid_and_the_latent_are_resized() -> None:
    gan = small(0, image_size=28)
    fitted, report = adapt(gan, (3, 32, 32), 10)
    check_report(gan, fitted, report)
    notes = {m.tensor: m.note for m in report if m.how == "adapted"}
    assert notes["blocks.0.basis"] == "grid 7×7 to 4×4"
    assert notes["blocks.0.linear.weight"] == "latent 6 to 10"
    constant = adapt(filled(gan), (3, 32, 32))[0]
    assert fitted.generate(1).isfinite().all()
    torch.testing.assert_close(constant.generator.blocks[0].basis, torch.full((8, 4, 4), 0.5))
    weights = constant.discriminator.blocks[-1].basis.weight
    torch.testing.assert_close(weights, torch.full((8, 1, 4, 4), 0.5 * 49 / 16))


def filled(gan: gz.GAN) -> gz.GAN:
    """The GAN with 0.5 as the weight of each place of the smallest grid."""
    nn.init.constant_(gan.generator.blocks[0].basis, 0.5)
    nn.init.constant_(gan.discriminator.blocks[-1].basis.weight, 0.5)
    return gan


def test_pictures_are_clamped_and_training_is_not() -> None:
    gan = small(0)
    noise = torch.randn(4, 6)
    raw = gan.generator(noise)
    assert raw.abs().max() > 1.5
    torch.testing.assert_close(gan.decode(noise), raw.detach().clamp(-1, 1))
    torch.testing.assert_close(gan.synthesize(noise), raw)
