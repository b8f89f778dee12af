"""R3GAN: its settings, its layers, and fitting to other classes, sizes and latents."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers import check_report
from torch import Tensor

import gantl_zoo as gz
from gantl_zoo.networks.r3_blocks import Block, Resample
from gantl_zoo.surgery.fit import adapt

KINDS = (gz.generators, gz.discriminators)


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


def test_the_latent_is_resized_and_other_images_keep_all_weights() -> None:
    gan = small(0, image_size=28)
    fitted, report = adapt(gan, (3, 32, 32), 10)
    check_report(gan, fitted, report)
    notes = {m.tensor: m.note for m in report if m.how == "adapted"}
    assert list(notes.values()) == ["latent 6 to 10"]
    assert fitted.generate(1).isfinite().all()


def test_pictures_are_clamped_and_training_is_not() -> None:
    gan = small(0)
    noise = torch.randn(4, 6)
    raw = gan.generator(noise)
    assert raw.abs().max() > 1.5
    torch.testing.assert_close(gan.decode(noise), raw.detach().clamp(-1, 1))
    torch.testing.assert_close(gan.synthesize(noise), raw)
