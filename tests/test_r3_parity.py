"""R3GAN: outputs, losses, penalties, gradients and sizes equal those of the published networks."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import gantl_zoo as gz
from gantl_zoo.convert.r3gan import our_name, renamed
from gantl_zoo.networks.base import call
from gantl_zoo.training.critic import Critic
from gantl_zoo.training.losses import Relativistic
from gantl_zoo.training.regularizers.combined import build_regularizer

REFERENCE = os.environ.get("GANTL_ZOO_REFERENCE_VECTORS", "")  # a folder of their outputs
FILES = ["r3gan-32", "r3gan-32-cond10", "r3gan-64", "r3gan-64-cond10"]
KINDS = (gz.generators, gz.discriminators)
GAMMA = 1.5  # of both penalties in these files


def read(name: str) -> tuple[dict[str, Tensor], dict[str, nn.Module]]:
    """Tensors of a reference file, and our two networks with its weights."""
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
        network.load_state_dict(renamed(role, theirs))
    return tensors, networks


def close(actual: Tensor, expected: Tensor) -> None:
    """Check that two tensors agree to 1e-5 of the expected one's standard deviation, or of its size."""
    scale = expected.std() if expected.numel() > 1 else expected.abs()
    assert (actual.detach().double() - expected).abs().max() < 1e-5 * scale


@pytest.mark.parametrize("name", FILES)
def test_outputs_losses_and_gradients_equal_those_of_the_original(name: str) -> None:
    tensors, networks = read(name)
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
    check_gradients(networks, "discriminator", loss, tensors)
    fake = call(generator, tensors["in.z_for_G_phase"], labels)
    loss = Relativistic().generator(critic, real, fake)
    close(loss, tensors["out.G.loss_mean"])
    check_gradients(networks, "generator", loss, tensors)


def check_gradients(
    networks: dict[str, nn.Module], role: str, loss: Tensor, tensors: dict[str, Tensor]
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


# Logits of two real and two fake images, the relativistic loss, R1 and R2 with γ = 1 of the networks that
# `with_cosines` fills, computed when all reference files of the original networks were reproduced.
FROZEN = {
    0: [0.21155385329287574, 0.258307546596786, 0.16462461885410484, 0.21084170402718613, 0.6698268454151932,
        0.0033337052502747542, 0.0031589238891606263],
    3: [0.1282422647888572, -0.09055098347145035, 0.17251993442405028, -0.10341422954583218,
        0.701133649816259, 0.0003705385635716784, 0.00034159519897447403],
}  # fmt: skip


def with_cosines(network: nn.Module) -> nn.Module:
    """The network in float64, with weights that don't depend on a random number generator."""
    for number, weights in enumerate(network.double().parameters()):
        index = torch.arange(weights.numel(), dtype=torch.float64)
        weights.data.copy_(((1.7 * index + number).cos() / weights[0].numel() ** 0.5).view(weights.shape))
    return network


@pytest.mark.parametrize("classes", FROZEN)
def test_the_networks_compute_what_they_did_when_they_equalled_the_original(classes: int) -> None:
    config = {"image_size": 16, "widths": [8, 8, 6], "blocks": [1, 2, 1], "group_width": 4}
    generator, discriminator = (
        with_cosines(kind.build("r3", **config | more))
        for kind, more in zip(
            KINDS, ({"latent_dim": 4, "num_classes": classes}, {"num_classes": classes}), strict=True
        )
    )
    labels = torch.tensor([0, 2]) if classes else None
    fake = call(generator, torch.arange(8, dtype=torch.float64).sin().view(2, 4), labels)
    real = (0.3 * torch.arange(1536, dtype=torch.float64)).sin().view(2, 3, 16, 16)
    critic = Critic(lambda images: call(discriminator, images, labels), together=False)
    penalties = build_regularizer("r2", {"r1.every": 1, "r2.every": 1}, 1.0)
    batch: Any = SimpleNamespace(step=0, real=real, fake=fake)
    terms = penalties.discriminator(critic, batch)
    loss = Relativistic().discriminator(critic, real, fake)
    numbers = torch.cat([critic(real), critic(fake), torch.stack([loss, terms["r1"], terms["r2"]])])
    assert numbers.tolist() == pytest.approx(FROZEN[classes], rel=1e-9)
