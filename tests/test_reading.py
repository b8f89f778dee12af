"""Reading a model changes neither its modes nor its buffers, in any number of threads and in any dtype."""

from __future__ import annotations

import copy
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from helpers import SMALL, state
from torch import nn

import gantl_zoo as gz
from gantl_zoo.data import ImageData, to_float
from gantl_zoo.metrics.extractors import ClassifierFeatures
from gantl_zoo.networks.base import evaluating
from gantl_zoo.strategy.auto import novelty
from gantl_zoo.strategy.combine import build_strategy


def modes(*networks: nn.Module) -> list[tuple[bool, int]]:
    """Modes and hooks of all modules."""
    modules = [module for network in networks for module in network.modules()]
    return [(module.training, len(module._forward_pre_hooks)) for module in modules]


def needs(*networks: nn.Module) -> list[tuple[bool, object]]:
    """`requires_grad` and `grad` of all parameters."""
    return [(p.requires_grad, p.grad) for network in networks for p in network.parameters()]


def test_threads_that_read_get_the_same_and_change_nothing(images: ImageData) -> None:
    gan = gz.build_gan("dcgan", generator_config=SMALL, discriminator_config={"width": 4, "norm": "spectral"})
    model = gz.build_classifier("cnn", {"widths": [4, 8]})
    features = ClassifierFeatures("it", model.backbone)
    networks = (gan.generator, gan.discriminator, model.backbone)
    floats = to_float(images.images)
    reads = (
        lambda: gan.generate(20),
        lambda: model(floats),
        lambda: torch.tensor(novelty(gan, images)),
        lambda: features(images.images)[0],
    )
    right = [read() for read in reads]
    for network in networks:
        network.train()
    before, tensors = modes(*networks), [state(network) for network in networks]
    with ThreadPoolExecutor(8) as threads:
        for read, expected in zip(reads, right, strict=True):
            for future in [threads.submit(read) for _ in range(16)]:
                assert torch.equal(future.result(), expected)
    assert modes(*networks) == before
    for network, old in zip(networks, tensors, strict=True):
        assert all(torch.equal(old[name], tensor) for name, tensor in network.state_dict().items())


def test_gradients_reach_the_parameters_of_a_network_that_is_read(gan: gz.GAN) -> None:
    assert evaluating(gan.generator) is gan.generator
    gan.generator.train()
    network = evaluating(gan.generator)
    assert network is not gan.generator and not network.training
    assert all(a is b for a, b in zip(network.parameters(), gan.generator.parameters(), strict=True))
    assert all(a is b for a, b in zip(network.buffers(), gan.generator.buffers(), strict=True))
    network(torch.randn(2, 8)).sum().backward()
    assert all(p.grad is not None for p in gan.generator.parameters())


@pytest.mark.filterwarnings("ignore")
def test_hooks_and_old_style_norms_are_seen_through(gan: gz.GAN) -> None:
    class Watcher:
        def __init__(self) -> None:
            self.lock, self.seen = threading.Lock(), 0  # a lock can't be copied

        def look(self, *inputs: object) -> None:
            self.seen += 1

    watcher, layer = Watcher(), gan.generator.blocks[0].linear
    nn.utils.spectral_norm(layer)
    layer.register_forward_hook(watcher.look)
    gan.generator.eval()
    right = gan.generate(2)
    gan.generator.train()
    before = state(gan.generator)
    assert torch.equal(gan.generate(2), right) and watcher.seen == 2
    assert all(torch.equal(before[name], tensor) for name, tensor in gan.generator.state_dict().items())


@pytest.mark.parametrize("name", gz.strategies.names())
def test_a_strategy_leaves_its_source_as_it_is(name: str, gan: gz.GAN, images: ImageData) -> None:
    networks = (gan.generator, gan.discriminator)
    for network in networks:
        network.train()
        next(network.parameters()).requires_grad_(False)
    before, grads, tensors = modes(*networks), needs(*networks), [state(network) for network in networks]
    settings: dict[str, Any] = {"latents": True} if name == "scale-shift" else {}
    with torch.no_grad() if name == "ewc" else torch.enable_grad():
        build_strategy(name, settings).prepare(gan, copy.deepcopy(gan), images)
    assert modes(*networks) == before and needs(*networks) == grads
    for network, old in zip(networks, tensors, strict=True):
        assert all(torch.equal(old[key], tensor) for key, tensor in network.state_dict().items())


def test_seeds_may_be_of_any_kind(gan: gz.GAN) -> None:
    right = gan.generate(3, seed=2)
    kinds: list[Any] = [
        range(2, 5), [2, 3, 4], (2, 3, 4), np.arange(2, 5), np.arange(2, 5, dtype=np.uint8),
        torch.arange(2, 5), (i for i in (2, 3, 4)), [np.int64(2), torch.tensor(3), 4],
    ]  # fmt: skip
    for seeds in kinds:
        assert torch.equal(gan.generate(seeds=seeds), right)
    assert torch.equal(gan.generate(np.int64(3), seed=torch.tensor(2)), right)
    assert gan.generate(np.int32(2), truncation=np.float32(0.5)).shape == (2, 1, 28, 28)
    assert gan.generate(0).shape == gan.generate(seeds=[]).shape == (0, 1, 28, 28)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"n": 1.0}, "n must be a whole number, not '1.0'"),
        ({"n": True}, "n must be a whole number, not 'True'"),
        ({"n": "2"}, "n must be a whole number"),
        ({"n": 2, "seed": 0.5}, "seed must be a whole number"),
        ({"n": -1}, "needs n and seed >= 0"),
        ({"seed": 1 << 32}, "a seed must be from 0 to"),
        ({"n": 2, "seed": (1 << 32) - 1}, "a seed must be from 0 to"),
        ({"seeds": 3}, "seeds must be a list of whole numbers"),
        ({"seeds": "012"}, "seeds must be a list of whole numbers"),
        ({"seeds": torch.tensor(3)}, "seeds must be a list of whole numbers"),
        ({"seeds": np.zeros((2, 2), int)}, "seeds must be a list of whole numbers"),
        ({"seeds": [0.0]}, "a seed must be a whole number"),
        ({"seeds": np.array([0.5])}, "a seed must be a whole number"),
        ({"seeds": torch.tensor([True])}, "a seed must be a whole number"),
        ({"seeds": [np.True_]}, "a seed must be a whole number"),
        ({"truncation": True}, "truncation must be a finite number > 0"),
        ({"truncation": "0.5"}, "truncation must be a finite number > 0"),
        ({"truncation": 0}, "truncation must be a finite number > 0"),
        ({"truncation": float("nan")}, "truncation must be a finite number > 0"),
    ],
)
def test_other_numbers_are_refused(gan: gz.GAN, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(gz.UsageError, match=said):
        gan.generate(**settings)


def test_labels_may_be_of_any_kind() -> None:
    gan = gz.build_gan("dcgan", generator_config=SMALL | {"num_classes": 3})
    right = gan.generate(2, labels=[1, 1])
    kinds: list[Any] = [1, np.int64(1), torch.tensor(1), np.array([1, 1]), torch.tensor([1, 1]), (1, 1)]
    for labels in kinds:
        assert torch.equal(gan.generate(2, labels=labels), right)
    for labels in (True, 1.0, [1.0, 1.0], torch.tensor([True, False]), "1"):
        with pytest.raises(gz.UsageError, match="label"):
            gan.generate(2, labels=labels)
    with pytest.raises(gz.UsageError, match="there is no class 3"):
        gan.generate(2, labels=3)


def test_latents_of_another_size_are_refused(gan: gz.GAN) -> None:
    for wrong in (
        torch.zeros(2, 9),
        torch.zeros(8),
        torch.zeros(2, 8, 1),
        torch.zeros(2, 8, dtype=torch.bool),
    ):
        with pytest.raises(gz.UsageError, match=r"small needs latents \(N, 8\), since its latent_dim is 8"):
            gan.decode(wrong)
    assert torch.equal(gan.decode(np.zeros((2, 8))), gan.decode(torch.zeros(2, 8)))  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_latents_and_images_follow_the_weights(gan: gz.GAN, dtype: torch.dtype, images: ImageData) -> None:
    model, floats = gz.build_classifier("cnn", {"widths": [4, 8]}), to_float(images.images)
    usual, logits = gan.generate(2), model(floats)
    gan.generator.to(dtype)
    assert gan.dtype is dtype and gan.device == torch.device("cpu")
    made = gan.generate(2)
    assert made.dtype == torch.float32 and made.device == torch.device("cpu")
    torch.testing.assert_close(made, usual, atol=0.05, rtol=0.05)
    assert model.to(dtype) is model and model.dtype is dtype
    assert model(floats).dtype == torch.float32
    torch.testing.assert_close(model(floats), logits, atol=0.05, rtol=0.05)


def test_a_model_moves_as_a_whole(gan: gz.GAN, tmp_path: Any) -> None:
    usual = gan.generate(2)
    assert gan.half() is gan and next(gan.discriminator.parameters()).dtype is torch.float16
    again = gz.load_model(gan.save(tmp_path / "half"))
    assert again.dtype is torch.float32, "a folder's dtype is that of its config"
    assert gan.float().to("cpu") is gan and gan.dtype is torch.float32
    torch.testing.assert_close(gan.generate(2), usual, atol=0.05, rtol=0.05)
    with pytest.raises(gz.UsageError, match="small can't be moved to nowhere"):
        gan.to("nowhere")
    with pytest.raises(gz.UsageError, match=r"small can't be moved to torch.int64"):
        gan.to(torch.int64)


def test_a_model_is_itself_and_says_so_in_a_line(gan: gz.GAN) -> None:
    other, model = copy.deepcopy(gan), gz.build_classifier("cnn", {"widths": [4, 8]}, name="eye")
    assert gan == gan and gan != other and len({gan, other, gan}) == 2 and hash(model)
    count = gan.num_parameters()
    assert repr(gan) == f"GAN('small': dcgan, 1×28×28, latent 8, {count:,} parameters, float32, cpu)"
    assert repr(model).startswith("Classifier('eye': cnn, 1 channel(s), 10 classes, ")
    assert "\n" not in repr(gan) + repr(model)


def test_images_that_are_no_floats_are_refused() -> None:
    model = gz.build_classifier("cnn", {"widths": [4, 8]}, name="eye")
    with pytest.raises(gz.UsageError, match=r"eye needs images \(N, 1, H, W\), floats in"):
        model(torch.zeros(2, 1, 28, 28, dtype=torch.uint8))
