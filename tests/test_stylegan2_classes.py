"""A StyleGAN2 that is fitted to other classes, channels and latents first behaves like its source."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers import check_report, sized
from torch import Tensor

import gantl_zoo as gz
from gantl_zoo.surgery.fit import adapt, fitted


def build(classes: int = 0, channels: int = 3) -> gz.GAN:
    """A small GAN in which all tensors have an effect."""
    config: dict[str, Any] = {"image_size": 16, "channels": channels, "num_classes": classes}
    made = sized("generators", "stylegan2", latent_dim=6, **config)
    judged = sized("discriminators", "stylegan2", **config)
    gan = gz.build_gan("stylegan2", generator_config=made, discriminator_config=judged)
    for network in (gan.generator, gan.discriminator):
        for name, tensor in network.state_dict().items():
            if name.endswith(("bias", "noise_strength", "w_avg")):
                tensor.add_(torch.randn_like(tensor) * (30 if "mapping.fc" in name else 0.3))
    return gan


def draw(gan: gz.GAN, label: int | None = None) -> Tensor:
    """Four images, of one class."""
    noise = torch.randn(4, 6, generator=torch.Generator().manual_seed(1))
    return gan.synthesize(gan.map(noise, label)).detach()


def logits(gan: gz.GAN, images: Tensor, label: int | None = None) -> Tensor:
    """The logits of images, of one class."""
    given = () if label is None else (torch.full((len(images),), label),)
    result: Tensor = gan.discriminator(images, *given).detach()
    return result


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=2e-5)


def test_a_source_without_classes_is_itself_in_each_class() -> None:
    gan = build()
    fitted_gan, report = adapt(gan, gan.image_shape, num_classes=3)
    check_report(gan, fitted_gan, report)
    images = draw(gan)
    for label in range(3):
        close(draw(fitted_gan, label), images)
        close(logits(fitted_gan, images, label), logits(gan, images))
    back, _ = adapt(fitted_gan, gan.image_shape, num_classes=0)
    close(draw(back), images)
    close(logits(back, images), logits(gan, images))


def test_the_classes_of_a_fitted_generator_can_be_learned() -> None:
    gan, _ = adapt(build(), (3, 16, 16), num_classes=3)
    for role, inputs in (("generator", torch.randn(3, 6)), ("discriminator", torch.rand(3, 3, 16, 16))):
        network = getattr(gan, role)
        network(inputs, torch.arange(3)).square().sum().backward()
        key = "mapping.fc0.weight" if role == "generator" else "mapping.embed.weight"
        slope = network.get_parameter(key).grad
        assert slope is not None and slope[:, -1].abs().sum() > 0


def test_without_classes_the_logit_is_the_mean_of_them() -> None:
    gan = build(3)
    fitted_gan, report = adapt(gan, gan.image_shape, num_classes=0)
    check_report(gan, fitted_gan, report)
    images = draw(gan, 0)
    mean = torch.stack([logits(gan, images, label) for label in range(3)]).mean(0)
    close(logits(fitted_gan, images), mean)
    notes = {match.tensor: match.note for match in report if match.role == "generator"}
    assert notes["mapping.fc0.bias"] == "mean of 3 classes added"
    hidden = [network.generator.mapping.fc0 for network in (gan, fitted_gan)]
    noise = torch.randn(4, 6)
    rows = gan.generator.mapping.embedding(torch.arange(3))
    inputs = [torch.cat([noise, row.expand(4, -1)], 1) for row in rows]
    hidden[0].active = hidden[1].active = False
    close(hidden[1](noise), torch.stack([hidden[0](one) for one in inputs]).mean(0))


def test_a_class_starts_from_the_sources_class_of_its_name() -> None:
    gan = build(3)
    gan.about["training"] = {"classes": ["cat", "cow", "dog"]}
    for wanted in (("dog", "cat"), ("dog", "cat", "cow"), ("dog", "cat", "cow", "fox")):
        fitted_gan = fitted(gan, gan.image_shape, 0, wanted)
        for label, source in ((0, 2), (1, 0)):
            close(draw(fitted_gan, label), draw(gan, source))
            images = draw(gan, source)
            close(logits(fitted_gan, images, label), logits(gan, images, source))
    tables = [g.generator.mapping.embed for g in (gan, fitted_gan)]
    used = [table(torch.arange(table.in_features)) for table in tables]
    close(used[1][3], used[0].mean(0))


@pytest.mark.parametrize("classes", [0, 2])
def test_grey_to_rgb_gives_the_sources_image_in_three_channels(classes: int) -> None:
    gan = build(classes, channels=1)
    fitted_gan, report = adapt(gan, (3, 16, 16))
    check_report(gan, fitted_gan, report)
    label = 1 if classes else None
    images = draw(gan, label)
    close(draw(fitted_gan, label), images.expand(-1, 3, -1, -1))
    close(logits(fitted_gan, images.expand(-1, 3, -1, -1), label), logits(gan, images, label))
    back, _ = adapt(fitted_gan, (1, 16, 16))
    close(draw(back, label), images)
    close(logits(back, images, label), logits(gan, images, label))


def test_more_latents_have_no_effect_but_that_of_the_norm() -> None:
    gan = build()
    fitted_gan, _ = adapt(gan, (3, 16, 16), 10)
    noise = torch.randn(4, 10)
    layers = [g.generator.mapping.fc0 for g in (fitted_gan, gan)]
    close(layers[0](noise), layers[1](noise[:, :6]))


def test_larger_images_begin_as_enlarged_ones() -> None:
    gan = build(2)
    fitted_gan, report = adapt(gan, (3, 32, 32))
    check_report(gan, fitted_gan, report)
    images = draw(gan, 1)
    large = torch.nn.functional.interpolate(images, size=(32, 32), mode="bilinear")
    close(draw(fitted_gan, 1), large)
    close(fitted_gan.generator.truncate(fitted_gan.map(torch.ones(1, 6), 0), 0.0)[0, 0],
          gan.generator.mapping.w_avg)  # fmt: skip
    back, _ = adapt(fitted_gan, (3, 16, 16))
    close(draw(back, 1), images)
