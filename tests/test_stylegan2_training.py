"""Training and transfer of StyleGAN2: its regularizers, its preset, every strategy, surgery, resuming."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers import new_trainer
from test_losses import Quadratic
from torch import Tensor, nn

import gantl_zoo as gz
from gantl_zoo.data import ImageData
from gantl_zoo.runs.train import prepare_train
from gantl_zoo.runs.transfer import prepare_transfer
from gantl_zoo.training import engine
from gantl_zoo.training.critic import Critic
from gantl_zoo.training.preset_stylegan2 import ema_images, learning_rate, r1_gamma
from gantl_zoo.training.presets import with_preset
from gantl_zoo.training.regularizers.combined import build_regularizer
from gantl_zoo.training.regularizers.latent_space import PathLength, StyleMixing

G = {"image_size": 32, "channels": 1, "latent_dim": 8, "w_dim": 8, "mapping_layers": 2}
G |= {"channel_base": 128, "channel_max": 8}
D = {"channel_base": 128, "channel_max": 8, "mbstd_group": 2}


def stylegan2(discriminator: dict[str, Any] | None = None, **config: Any) -> gz.GAN:
    """A StyleGAN2 of a few thousand parameters."""
    judged = D | (discriminator or {})
    return gz.build_gan("stylegan2", "stylegan2", generator_config=G | config, discriminator_config=judged)


class Squares(nn.Module):
    """Maps noise (N, 2) to latents (N, 3), and these to images (N, 1, 2, 2) of weighted squares."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Parameter(torch.randn(2, 3, dtype=torch.float64))
        self.second = nn.Parameter(torch.randn(3, 4, dtype=torch.float64))

    def map(self, noise: Tensor) -> Tensor:
        return noise @ self.first

    def synthesize(self, latents: Tensor) -> Tensor:
        return (latents.square() @ self.second).view(-1, 1, 2, 2)


def batch_for(generator: Any, noise: Tensor, step: int = 0, labels: Tensor | None = None) -> gz.Batch:
    images = torch.zeros(len(noise), 1, 2, 2)
    return gz.Batch(step, images, noise, images, generator, nn.Identity(), labels)


def test_path_length_is_the_squared_distance_of_the_norm_from_its_running_mean() -> None:
    network, noise = Squares(), torch.randn(6, 2, dtype=torch.float64)
    config = {"weight": 3.0, "decay": 0.4, "shrink": 2, "every": 5}
    both = build_regularizer("path-length", config).double()
    mean = 0.0
    for count in (1, 2, 3, 4):
        latents = noise[:3] @ network.first
        torch.manual_seed(count)
        directions = torch.randn(3, 1, 2, 2, dtype=torch.float64).flatten(1) / 2  # √(2 · 2)
        lengths = (2 * latents * (directions @ network.second.T)).square().sum(1).sqrt()
        mean += max(1 / count, 0.4) * (lengths.mean().item() - mean)
        torch.manual_seed(count)
        terms = both.generator(Critic(nn.Identity()), batch_for(network, noise, step=5 * count))
        assert terms["path-length"].item() == pytest.approx(3 * 5 * (lengths - mean).square().mean().item())
    part: Any = both.parts["path-length"]
    assert part.mean.item() == pytest.approx(mean) and part.updates == 4
    assert both.generator(Critic(nn.Identity()), batch_for(network, noise, step=4)) == {}
    assert both.discriminator(Critic(Quadratic(4)), batch_for(network, noise)) == {}


class Term(nn.Module):
    """The path length of a generator, at a fixed mean and with the same random numbers in each call."""

    def __init__(self, generator: Any, noise: Tensor, labels: Tensor | None = None) -> None:
        super().__init__()
        self.generator, self.noise, self.labels = generator, noise, labels

    def forward(self) -> Tensor:
        torch.manual_seed(1)
        part = PathLength(shrink=1).double()
        part.mean.fill_(0.3)
        part.follow = lambda lengths: None  # type: ignore[method-assign]
        batch = batch_for(self.generator, self.noise, labels=self.labels)
        return part.generator(Critic(nn.Identity()), batch)["path-length"]


def check_gradients(term: Term, *names: str) -> None:
    weights = dict(term.named_parameters())
    chosen = [weights[f"generator.{name}"].detach().clone().requires_grad_() for name in names]

    def value(*tensors: Tensor) -> Tensor:
        given = {f"generator.{name}": tensor for name, tensor in zip(names, tensors, strict=True)}
        result: Tensor = torch.func.functional_call(term, given, ())
        return result

    assert torch.autograd.gradcheck(value, chosen, atol=1e-4)


def test_gradients_of_the_path_length_are_those_of_finite_differences() -> None:
    check_gradients(Term(Squares(), torch.randn(3, 2, dtype=torch.float64)), "first", "second")


@pytest.mark.parametrize("noise", ["const", "none", "random"])
def test_the_path_length_of_stylegan2_has_the_gradients_of_finite_differences(noise: str) -> None:
    torch.manual_seed(0)
    tiny = {"image_size": 8, "latent_dim": 2, "w_dim": 2, "channel_base": 16, "channel_max": 2}
    generator = stylegan2(**tiny, noise=noise, num_classes=2, conv_clamp=256.0).generator.double().train()
    generator.synthesis.b8.conv0.noise_strength.data.fill_(0.3)
    names = ["mapping.fc0.weight", "mapping.embed.weight", "synthesis.b4.const", "synthesis.b8.torgb.weight"]
    names += ["synthesis.b8.conv0.weight", "synthesis.b4.conv1.affine.weight", "synthesis.b8.conv0.bias"]
    names += ["synthesis.b8.conv0.noise_strength", "synthesis.b8.conv1.weight"]
    term = Term(generator, torch.randn(2, 2, dtype=torch.float64), torch.tensor([0, 1]))
    check_gradients(term, *names)


def test_the_path_length_trains_what_a_frozen_mapping_network_leaves() -> None:
    network, noise = Squares(), torch.randn(4, 2, dtype=torch.float64)
    network.first.requires_grad_(False)
    (term,) = (
        build_regularizer("path-length")
        .double()
        .generator(Critic(nn.Identity()), batch_for(network, noise))
        .values()
    )
    term.backward()  # type: ignore[no-untyped-call]
    assert network.first.grad is None and network.second.grad is not None and network.second.grad.any()


def test_style_mixing_takes_the_last_layers_of_a_second_latent() -> None:
    latents, others = torch.zeros(4_000, 6, 2), torch.ones(4_000, 6, 2)
    mixed = StyleMixing(probability=0.7).mapped_latents(latents, lambda: others)
    counts = mixed[:, :, 0].sum(1)
    assert torch.equal(mixed[..., 0], mixed[..., 1])
    assert not (mixed[:, :-1] > mixed[:, 1:]).any(), "a layer after the second latent's is also its"
    shares = [(counts == count).float().mean().item() for count in range(7)]
    assert shares[6] == 0 and shares[:6] == pytest.approx([0.3] + 5 * [0.14], abs=0.03)
    assert StyleMixing(probability=0.0).mapped_latents(latents, lambda: others) is latents
    with pytest.raises(gz.UsageError, match="style-mixing: the generator has no intermediate latent for"):
        StyleMixing().mapped_latents(torch.zeros(4, 6), lambda: torch.zeros(4, 6))


def trainer_of(gan: gz.GAN, images: ImageData, strategy: str = "full", **settings: Any) -> Any:
    recipe = gz.Recipe(**{"steps": 3, "batch": 4, "precision": "fp32"} | settings)
    chosen = gz.strategies.build(strategy)
    return new_trainer(gan, chosen, images, recipe, engine.choose("cpu", recipe.precision))


@pytest.mark.parametrize("name", ["path-length", "style-mixing", "path-length+style-mixing"])
def test_regularizers_of_the_latent_space_train_stylegan2_only(
    name: str, images: ImageData, gan: gz.GAN
) -> None:
    trainer = trainer_of(stylegan2(), images.fit(32, 1), regularizer=name, r1=0.1)
    before = trainer.gan.generator.mapping.w_avg.clone()
    for step in range(5):
        losses = trainer.step(step, torch.arange(4))
        assert all(loss.isfinite() for loss in losses.values())
        assert ("path-length" in losses) == (step % 4 == 0 and "path-length" in name)
    assert not torch.equal(before, trainer.gan.generator.mapping.w_avg)
    with pytest.raises(gz.UsageError, match=f"{name.split('+')[0]}.*: the generator DCGANGenerator has no"):
        trainer_of(gan, images, regularizer=name)


def test_the_preset_follows_the_papers_formulas(tmp_path: Any) -> None:
    assert [r1_gamma(size, 32) for size in (32, 64, 256)] == [0.0064, 0.0256, 0.41]
    assert (learning_rate(512, 16), learning_rate(1024, 4)) == (2.5e-3, 2e-3)
    assert (ema_images(256, 32), ema_images(256, 16)) == (10_000, 5_000)
    usual = with_preset("stylegan2", "train", {})
    assert (usual["r1"], usual["lr"], usual["ema_images"]) == (0.0256, 2.5e-3, 10_000)


def settings(**given: Any) -> Any:
    small = {key: value for key, value in G.items() if key not in ("image_size", "channels")}
    networks = {"generator_config": small, "discriminator_config": D, "metrics": ()}
    return {"preset": "stylegan2", "precision": "fp32"} | networks | given


def test_the_preset_computes_its_settings_for_the_images(images: ImageData) -> None:
    run = prepare_train(None, images.fit(32, 1), settings(batch=8))
    recipe = run.job.recipe
    assert (recipe.r1, recipe.ema_images, recipe.lr) == (0.0256, 2_500, 2.5e-3)
    assert "r1 0.0256, for 32 pixels and batch 8: 0.0002 · image_size² / batch" in run.why
    given = prepare_train(None, images.fit(32, 1), settings(batch=8, r1=0.5, ema_images=7)).job.recipe
    assert (given.r1, given.ema_images) == (0.5, 7)
    without = prepare_train(None, images.fit(32, 1), settings(batch=4, r1=0.0)).job.recipe
    assert without.r1 == 0 and without.regularizer_config == {"path-length.every": 4}
    source = stylegan2()
    moved = settings(batch=16, regularizer="none")
    del moved["generator_config"], moved["discriminator_config"]
    transfer = prepare_transfer(source, images.fit(32, 1), "freeze-d", moved).job.recipe
    assert (transfer.r1, transfer.beta1, transfer.aug) == (0.0128, 0.0, "ada")
