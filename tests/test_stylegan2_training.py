"""Training and transfer of StyleGAN2: its regularizers, its preset, every strategy, surgery, resuming."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import EARLY, moved, new_trainer, state
from test_losses import Quadratic
from test_resume import assert_same, dies_at, states
from torch import Tensor, nn

import gantl_zoo as gz
from gantl_zoo.data import ImageData
from gantl_zoo.networks.stylegan2_layers import EqualConv
from gantl_zoo.runs.train import prepare_train
from gantl_zoo.runs.transfer import prepare_transfer
from gantl_zoo.surgery.fit import adapt
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
        part.follow = lambda *lengths: None  # type: ignore[method-assign]
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


def trainer_of(gan: gz.GAN, images: ImageData, strategy: Any = None, **settings: Any) -> Any:
    recipe = gz.Recipe(**{"steps": 3, "batch": 4, "precision": "fp32"} | settings)
    machine = engine.choose("cpu", recipe.precision)
    return new_trainer(gan, strategy or gz.TransferStrategy(), images, recipe, machine)


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


def kernels(network: nn.Module) -> set[str]:
    """The names of the weights of linear and convolutional layers."""
    return {name for name, tensor in network.named_parameters() if name.endswith("weight")}


STRATEGIES = gz.strategies.names()


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_exports_a_stylegan2_with_the_images_that_it_trained(
    name: str, images: ImageData, tmp_path: Path
) -> None:
    gan = stylegan2()
    plan = {"lr": 1e-2, "ema_images": 0, "regularizer": "path-length+style-mixing", "r1": 0.1}
    trainer = trainer_of(gan, images.fit(32, 1), gz.build_strategy(name, EARLY.get(name, {})), **plan)
    before = state(gan.generator)
    for step in range(3):
        trainer.step(step, torch.arange(4))
    assert moved(before, gan.generator)
    exported = trainer.snapshot()
    assert exported.parts["generator"] == gan.parts["generator"]
    assert exported.generator.state_dict().keys() == before.keys()
    exported.save(tmp_path / "model")
    loaded = gz.load_model(tmp_path / "model")
    trained = gz.GAN(gan.generator, gan.discriminator, gan.parts)  # without averaging, as ema_images is 0
    for one in (exported, trained):
        torch.testing.assert_close(loaded.generate(4), one.generate(4), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", sorted({"adam", "lora", "svd"} & set(STRATEGIES)))
def test_adapters_hold_each_kernel_of_stylegan2(name: str, images: ImageData) -> None:
    gan = stylegan2(num_classes=2)
    config = {"rank": 1, "alpha": 1.0} if name == "lora" else EARLY.get(name, {})
    before = state(gan.generator)
    strategy: Any = gz.build_strategy(name, config)
    data = images.fit(32, 1)
    trainer = trainer_of(gan, data, strategy, lr=1e-2)
    assert {held.name for held in strategy.held["generator"]} == kernels(gan.generator)
    for step in range(2):
        trainer.step(step, torch.arange(4))
    if name != "adam":  # which fine-tunes all other tensors, too
        assert moved(before, gan.generator) == kernels(gan.generator) | {"mapping.w_avg"}
    if name == "lora":
        after = gan.generator.state_dict()
        changes = [(after[key] - before[key]).flatten(1) for key in kernels(gan.generator)]
        assert all(torch.linalg.matrix_rank(change, rtol=1e-3) == 1 for change in changes)


@pytest.mark.parametrize(("blocks", "layers"), [(1, 4), (3, 10), (4, 13)])
def test_freeze_d_counts_blocks_of_the_layers_of_the_official_option(blocks: int, layers: int) -> None:
    network = gz.discriminators.build("stylegan2", image_size=256, channel_base=256, channel_max=4)
    convolutions = {
        f"{name}.weight" for name, layer in network.named_modules() if isinstance(layer, EqualConv)
    }
    learning = gz.build_strategy("freeze-d", {"first": blocks}).learns(network, "discriminator")
    trained = {id(parameter) for block in learning for parameter in block.parameters()}
    frozen = [name for name, parameter in network.named_parameters() if id(parameter) not in trained]
    assert len(set(frozen) & convolutions) == layers
    sides = [256 >> number for number in range(blocks)]
    assert {name.split(".")[0] for name in frozen} == {f"b{side}" for side in sides}


def test_a_resumed_stylegan2_is_the_unbroken_one(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = settings(steps=6, batch=4, checkpoint_every=3, data=photos, image_size=32, channels=1)
    given["regularizer_config"] = {"path-length.every": 2, "r1.every": 2}
    whole = gz.train(out=tmp_path / "whole", **given)
    with monkeypatch.context() as patch, pytest.raises(OSError, match="is gone"):
        dies_at(5, patch)
        gz.train(out=tmp_path / "broken", **given)
    (run,) = (tmp_path / "broken").iterdir()
    resumed = gz.resume(run)
    assert torch.equal(whole.generate(4), resumed.generate(4))
    assert whole.folder is not None
    last = states(run)["00000006"]
    assert_same(states(whole.folder.parent)["00000006"], last)
    assert last["regularizer.saved.1.updates"] == 3 and last["regularizer.saved.1.mean"] > 0


@pytest.mark.parametrize("size", [64, 16])
def test_a_stylegan2_for_images_of_another_size_begins_as_a_resampling_and_trains(
    size: int, images: ImageData
) -> None:
    gan = stylegan2()
    made, _ = adapt(gan, (1, size, size))
    noise = torch.randn(2, gan.latent_dim)
    images_before, images_after = (one.synthesize(one.map(noise)).detach() for one in (gan, made))
    up = nn.functional.interpolate(images_before, size=(size, size), mode="bilinear")
    expected = up if size > 32 else nn.functional.avg_pool2d(images_before, 2)
    assert (images_after - expected).abs().max() < 1e-3
    trainer = trainer_of(made, images.fit(size, 1), regularizer="path-length+style-mixing", r1=0.1, lr=1e-2)
    before = state(made.generator)
    for step in range(2):
        losses = trainer.step(step, torch.arange(4))
        assert all(loss.isfinite() for loss in losses.values())
    changed = moved(before, made.generator)
    assert "inner.mapping.w_avg" in changed
    assert size < 32 or any(name.startswith("added.") for name in changed)


def test_stylegan2_trains_in_bf16(images: ImageData) -> None:
    settings = {"regularizer": "path-length+style-mixing", "r1": 0.1, "precision": "bf16", "lr": 2.5e-3}
    trainer = trainer_of(stylegan2(), images.fit(32, 1), **settings, aug="ada")
    for step in range(6):
        losses = trainer.step(step, torch.arange(4))
        assert all(loss.isfinite() for loss in losses.values())
    assert not trainer.health().get("skipped") and not trainer.non_finite()
