"""Interpolation between seeds and classes, and its pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import SMALL, run
from PIL import Image
from torch import Tensor, nn

import gantl_zoo as gz
from gantl_zoo.latent.classes import render, with_mixtures
from gantl_zoo.latent.interpolation import METHODS
from gantl_zoo.latent.space import points

Z = 512


class Mapped(nn.Module):
    """A generator with an intermediate space (N, 2, 6): one latent for each of two layers."""

    def __init__(self, num_classes: int = 0) -> None:
        super().__init__()
        self.latent_dim, self.num_classes, self.image_shape = 8, num_classes, (1, 16, 16)
        self.mapping = nn.Linear(8, 6)
        self.classes = nn.Embedding(num_classes, 6) if num_classes else None
        self.styles = nn.ModuleList([nn.Linear(6, 12), nn.Linear(6, 256)])
        self.after = nn.Linear(12, 256)
        self.blocks = [self.mapping, *self.styles, self.after]
        self.mean = nn.Buffer(torch.full((6,), 0.5))

    def map(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        w = self.mapping(noise)
        w = w if labels is None or self.classes is None else w + self.classes(labels)
        return w[:, None].expand(-1, 2, -1)

    def truncate(self, latents: Tensor, psi: float) -> Tensor:
        return self.mean.lerp(latents, psi)

    def synthesize(self, latents: Tensor) -> Tensor:
        first, second = latents.unbind(1)
        pixels = self.after(self.styles[0](first).tanh()) + self.styles[1](second)
        return pixels.tanh().view(-1, 1, 16, 16)

    def latent_weights(self) -> list[Tensor]:
        return [layer.weight for layer in self.styles]

    def forward(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.synthesize(self.map(noise, labels))


def mapped_gan(num_classes: int = 0) -> gz.GAN:
    parts: dict[str, Any] = {"generator": {"name": "dcgan", "config": {}}}
    return gz.GAN(Mapped(num_classes).eval(), None, parts, name="mapped")


@pytest.fixture
def conditional() -> gz.GAN:
    gan = gz.build_gan("dcgan", generator_config=SMALL | {"num_classes": 3}, name="three")
    for name, tensor in gan.generator.named_parameters():
        if "norm" in name:  # classes differ from the start
            nn.init.normal_(tensor, 1.0, 0.5)
    return gan


def test_ends_are_exact_and_norms_are_those_of_the_method() -> None:
    a, b = torch.randn(2, Z)
    for between in METHODS.values():
        torch.testing.assert_close(between(a, b, 0.0), a)
        torch.testing.assert_close(between(a, b, 1.0), b)
    middle = {name: float(between(a, b, 0.5).norm() / Z**0.5) for name, between in METHODS.items()}
    assert middle["lerp"] == pytest.approx(0.5**0.5, abs=0.08)
    assert middle["slerp"] == pytest.approx(1, abs=0.08)
    assert middle["vp-lerp"] == pytest.approx(1, abs=0.08)


def test_slerp_turns_at_a_constant_rate_and_takes_latents_on_one_line() -> None:
    a, b = torch.tensor([2.0, 0.0]), torch.tensor([0.0, 2.0])
    third = gz.latent.slerp(a, b, 1 / 3)
    torch.testing.assert_close(third, 2 * torch.tensor([np.cos(np.pi / 6), np.sin(np.pi / 6)]).float())
    torch.testing.assert_close(gz.latent.slerp(a, 3 * a, 0.5), 2 * a)
    torch.testing.assert_close(gz.latent.slerp(a, -a, 0.25), a / 2)


def test_a_strip_starts_and_ends_with_the_images_of_its_seeds(gan: gz.GAN) -> None:
    images = gz.latent.interpolate(gan, [4, 7, 1], steps=3).tensor
    torch.testing.assert_close(images[[0, 3, 6]], gan.generate(seeds=[4, 7, 1]))
    loop = gz.latent.interpolate(gan, [4, 7, 1], steps=3, loop=True).tensor
    assert len(images) == 7 and len(loop) == 9
    torch.testing.assert_close(loop[:7], images)
    assert (loop[8] - loop[0]).abs().mean() > 0


def test_methods_differ_between_the_ends(gan: gz.GAN) -> None:
    ways = [gz.latent.interpolate(gan, [0, 1], steps=2, method=name).tensor[1] for name in METHODS]
    assert all(not torch.equal(ways[i], ways[j]) for i, j in ((0, 1), (1, 2), (0, 2)))


def test_the_corners_of_a_grid_are_its_seeds(gan: gz.GAN) -> None:
    images = gz.latent.interpolation_grid(gan, [0, 1, 2, 3], steps=4).tensor
    torch.testing.assert_close(images[[0, 4, 20, 24]], gan.generate(4))
    left = gz.latent.interpolate(gan, [0, 2], steps=4).tensor
    torch.testing.assert_close(images[::5], left)


def test_classes_are_interpolated(conditional: gz.GAN) -> None:
    images = gz.latent.interpolate(conditional, [5, 5], steps=4, labels=[0, 2]).tensor
    torch.testing.assert_close(images[[0, -1]], conditional.generate(seeds=[5, 5], labels=[0, 2]))
    distances = (images - images[0]).square().mean((1, 2, 3))
    assert (distances.diff() > 0).all(), "each image is farther from the first class"
    assert conditional.num_classes == 3 and conditional.generator.blocks[0].norm.weight.shape[0] == 3


def test_a_mixture_of_one_class_is_that_class(conditional: gz.GAN) -> None:
    there = points(conditional, [0, 1], 1)
    mixed = with_mixtures(conditional, there.classes)
    torch.testing.assert_close(mixed.decode(there.latents, [0, 1]), render(conditional, there))


def test_classes_without_tables_are_an_error(conditional: gz.GAN) -> None:
    for block in conditional.generator.blocks:
        if hasattr(block, "norm"):
            block.norm.num_classes = 4
    with pytest.raises(gz.UsageError, match="no tables with a row for each class"):
        gz.latent.interpolate(conditional, [0, 1], labels=[0, 1])


@pytest.mark.parametrize("classes", [0, 3])
def test_an_intermediate_space_is_the_default_and_holds_the_class(classes: int) -> None:
    gan = mapped_gan(classes)
    labels = [0, 2] if classes else None
    images = gz.latent.interpolate(gan, [0, 1], steps=2, labels=labels).tensor
    inner = gan.map(points(gan, [0, 1], labels, "z").latents, labels).detach()
    torch.testing.assert_close(images[1], gan.synthesize(inner.mean(0, keepdim=True))[0].detach())
    other = gz.latent.interpolate(gan, [0, 1], steps=2, labels=labels and [1, 1], space="z").tensor
    assert not torch.equal(images[1], other[1])
    less = gz.latent.interpolate(gan, [0, 1], steps=2, labels=labels, truncation=0.5).tensor
    torch.testing.assert_close(less[[0, 2]], gan.generate(seeds=[0, 1], labels=labels, truncation=0.5))


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"seeds": [1]}, "at least 2 seeds, not 1"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"steps": 2.5}, "steps must be a whole number"),
        ({"steps": 10**6}, "too many"),
        ({"method": "slrp"}, "did you mean slerp"),
        ({"space": "w"}, "no intermediate latent space"),
        ({"space": "v"}, "unknown latent space"),
        ({"labels": 1}, "unconditional"),
    ],
)
def test_settings_that_cant_be_used(gan: gz.GAN, settings: dict[str, Any], text: str) -> None:
    with pytest.raises(gz.UsageError, match=text):
        gz.latent.interpolate(gan, **{"seeds": [0, 1], **settings})


def test_a_grid_needs_four_seeds(gan: gz.GAN) -> None:
    with pytest.raises(gz.UsageError, match="between 4 seeds, not 3"):
        gz.latent.interpolation_grid(gan, [0, 1, 2])


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
@pytest.mark.parametrize("channels", [1, 3])
def test_animations_hold_every_frame(suffix: str, channels: int, tmp_path: Path) -> None:
    images = torch.linspace(-1, 1, 5).view(5, 1, 1, 1).expand(5, channels, 16, 16)
    path = gz.latent.save_animation(images, tmp_path / "new" / f"a.{suffix}", fps=10, hold=3)
    with Image.open(path) as picture:
        assert picture.n_frames == 5 and picture.size == (224, 224)  # type: ignore[attr-defined]
        levels = []
        for i in range(5):
            picture.seek(i)
            levels.append(float(np.asarray(picture.convert("L")).mean()))
        picture.load()
        assert picture.info["loop"] == 0 and picture.info["duration"] == pytest.approx(400, abs=1)
    assert np.allclose(levels, [0, 64, 128, 191, 255], atol=3)


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "apng"])
def test_an_animation_that_is_shown_once(suffix: str, tmp_path: Path) -> None:
    images = torch.linspace(-1, 1, 2).view(2, 1, 1, 1).expand(2, 1, 16, 16)
    path = gz.latent.save_animation(images, tmp_path / f"a.{suffix}", loop=False)
    with Image.open(path) as picture:
        picture.load()
        assert picture.info.get("loop", 1) == 1


@pytest.mark.parametrize(
    ("path", "settings", "text"),
    [
        ("a.mp4", {}, "suffix must be .gif, .webp"),
        ("a.gif", {"fps": 0}, "fps must be from"),
        ("a.gif", {"fps": float("nan")}, "fps must be from"),
    ],
)
def test_animations_that_cant_be_written(
    path: str, settings: dict[str, Any], text: str, tmp_path: Path
) -> None:
    with pytest.raises(gz.UsageError, match=text):
        gz.latent.save_animation(torch.zeros(2, 1, 4, 4), tmp_path / path, **settings)
    assert not list(tmp_path.iterdir())


def test_a_folder_in_the_place_of_the_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.gif").mkdir()
    with pytest.raises(gz.DataError, match="can't write the animation"):
        gz.latent.save_animation(torch.zeros(2, 1, 4, 4), tmp_path / "a.gif")
    assert [path.name for path in tmp_path.iterdir()] == ["a.gif"]


def test_the_verb_draws_a_strip_a_grid_and_an_animation(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verb = ("latent", "interpolate", model, "--steps", 3)
    for words, size in (
        (["--seeds", "0-1"], (4 * 56, 56)),
        (["--seeds", "0-3", "--grid"], (4 * 56, 4 * 56)),
    ):
        path = tmp_path / "x.png"
        assert run(capsys, *verb, *words, "--out", path)[:2] == (0, f"{path}\n")
        with Image.open(path) as picture:
            assert picture.size == size
    assert run(capsys, *verb, "--loop", "--out", tmp_path / "x.webp")[0] == 0
    with Image.open(tmp_path / "x.webp") as picture:
        assert picture.format == "WEBP" and picture.size == (224, 224)
    code, _, text = run(capsys, *verb, "--grid", "--loop")
    assert code == 2 and "--grid is one still picture" in text
    code, _, text = run(capsys, *verb, "--classes", "1,x")
    assert code == 2 and "--classes '1,x'" in text
