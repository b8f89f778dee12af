"""Directions: how they are found, stored, followed and measured."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import SMALL, run
from PIL import Image
from test_latent import mapped_gan
from test_stylegan2_training import G
from torch import Tensor, nn
from torch.nn import functional

import gantl_zoo as gz
from gantl_zoo.latent.distance import distance_named
from gantl_zoo.latent.effects import centre, colour
from gantl_zoo.latent.sefa import factorised
from gantl_zoo.networks.latent_weights import latent_weights

FAMILIES: dict[str, dict[str, Any]] = {
    "dcgan": SMALL,
    "fast": {"width": 2, "latent_dim": 8, "image_size": 64},
    "r3": {"width": 8, "group_width": 4, "latent_dim": 8, "image_size": 16, "depth": 1},
    "resnet": {"width": 8, "latent_dim": 8},
    "stylegan2": G | {"w_dim": 6},
    "grown": {"generator": "dcgan", "start_size": 28, "image_size": 56, "latent_dim": 8},
}


class Planted(nn.Module):
    """A generator that paints the amount of each of its first three numbers: a known factorisation."""

    latent_dim, num_classes, image_shape = 8, 0, (1, 8, 8)

    def __init__(self) -> None:
        super().__init__()
        weight = torch.zeros(3 * 64, 8)
        for row in range(64):  # many outputs depend on the first number, few on the third
            weight[row, 0] = 1.0
            weight[64 + row // 2, 1] = 1.0
            weight[128 + row // 8, 2] = 1.0
        self.linear = nn.Linear(8, 3 * 64, bias=False)
        self.linear.weight = nn.Parameter(weight)
        self.blocks = [self.linear]

    def forward(self, noise: Tensor) -> Tensor:
        return self.linear(noise).view(-1, 3, 8, 8).sum(1, keepdim=True).mul(0.2).tanh()


class Hidden(Planted):
    """A generator that uses its latent in no layer with a weight."""

    def forward(self, noise: Tensor) -> Tensor:
        return noise[:, :1, None, None].expand(-1, 1, 8, 8).tanh()


def users(network: Any) -> list[list[Any]]:
    """The convolutions of a StyleGAN2 that take each latent: the image of a block shares that of the next."""
    found = [[network.synthesis.blocks[0].conv1]]
    for before, after in itertools.pairwise(network.synthesis.blocks):
        found += [[before.torgb, after.conv0], [after.conv1]]
    return [*found, [network.synthesis.blocks[-1].torgb]]


def gan_of(network: nn.Module) -> gz.GAN:
    return gz.GAN(network.eval(), None, {"generator": {"name": "dcgan", "config": {}}}, name="planted")


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("family", [name for name in FAMILIES if name in gz.generators])
def test_the_layer_that_takes_the_latent_is_found_in_every_family(family: str, classes: int) -> None:
    settings = {key: value for key, value in FAMILIES[family].items()}
    known = gz.generators.configure(family)
    network: Any = gz.generators.build(
        family, **{key: value for key, value in settings.items() if key in known}, num_classes=classes
    )
    weights = latent_weights(network.eval())
    if family == "stylegan2":  # each layer has a latent of its own
        layers = [torch.cat([one.affine.weight.T for one in each], 1) for each in users(network)]
        assert all(torch.equal(a, b) for a, b in zip(weights, layers, strict=True))
        return
    (weight,) = weights
    inner = getattr(network, "inner", network)
    linear = inner.blocks[0].linear.weight
    assert torch.equal(weight, linear.detach().T)


def test_a_convolution_with_a_class_appended_is_found() -> None:
    class Convolution(Planted):
        num_classes = 3

        def __init__(self) -> None:
            super().__init__()
            self.classes, self.up = nn.Embedding(3, 4), nn.ConvTranspose2d(12, 1, 8)

        def forward(self, noise: Tensor, labels: Tensor) -> Tensor:
            unit = functional.normalize(noise, dim=1)
            return self.up(torch.cat([unit, self.classes(labels)], 1)[:, :, None, None])

    network = Convolution().eval()
    (weight,) = latent_weights(network)
    assert torch.equal(weight, network.up.weight[:8].detach().flatten(1))


def test_each_layer_of_an_intermediate_space_is_found_with_and_without_the_method(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = mapped_gan(3).generator
    stated = latent_weights(network)
    monkeypatch.delattr(type(network), "latent_weights")
    found = latent_weights(network)
    assert [w.shape for w in found] == [(6, 12), (6, 256)]
    assert all(torch.equal(a, b) for a, b in zip(stated, found, strict=True))


def test_a_generator_without_such_a_layer_is_an_error_that_helps() -> None:
    with pytest.raises(gz.UsageError, match=r"Hidden.*latent_weights\(\)"):
        gz.latent.find_directions(gan_of(Hidden()))


def test_sefa_finds_what_is_planted_in_order() -> None:
    directions = gz.latent.find_directions(gan_of(Planted()), count=3)
    torch.testing.assert_close(directions.vectors, torch.eye(8)[:3])
    assert directions.values.tolist() == pytest.approx([0.615, 0.308, 0.077], abs=0.002)


def test_columns_are_normalised_and_sorted() -> None:
    weight = torch.tensor([[100.0, 0, 0], [0, 1, 2], [0, 0, 0]])
    vectors, shares = factorised(weight, 2)
    torch.testing.assert_close(vectors.abs(), torch.tensor([[0.0, 1, 0], [1, 0, 0]]))
    torch.testing.assert_close(shares, torch.tensor([2 / 3, 1 / 3]))


@pytest.mark.parametrize("method", ["sefa", "ganspace"])
def test_directions_are_the_same_each_time_with_a_fixed_sign(method: str, gan: gz.GAN) -> None:
    first, again = (gz.latent.find_directions(gan, method, count=4, samples=200) for _ in range(2))
    torch.testing.assert_close(first.vectors, again.vectors)
    largest = first.vectors.gather(1, first.vectors.abs().argmax(1, keepdim=True))
    assert (largest > 0).all() and len(first) == 4
    torch.testing.assert_close(first.vectors.norm(dim=1), torch.ones(4))


def test_ganspace_finds_the_plane_that_activations_vary_in() -> None:
    directions = gz.latent.find_directions(gan_of(Planted()), "ganspace", count=3, samples=2_000)
    assert directions.vectors[:, 3:].abs().max() < 0.1 and directions.vectors[0, 0] > 0.95


def test_ganspace_in_w_is_the_principal_axis_scaled_to_a_standard_deviation() -> None:
    gan = mapped_gan()
    with torch.no_grad():
        gan.generator.mapping.weight.mul_(0.01)
        gan.generator.mapping.weight[2, 0] = 3.0
    directions = gz.latent.find_directions(gan, "ganspace", count=2, samples=4_000)
    assert directions.vectors.shape == (2, 2, 6)
    assert directions.vectors[0, 0, 2] == pytest.approx(3.0, rel=0.05) and directions.values[0] > 0.99


@pytest.mark.parametrize("method", ["sefa", "ganspace"])
def test_chosen_layers_alone_are_moved(method: str) -> None:
    gan = mapped_gan()
    directions = gz.latent.find_directions(gan, method, count=2, layers=[1], samples=500)
    assert not directions.vectors[:, 0].any() and directions.vectors[:, 1].any()
    both = gz.latent.find_directions(gan, method, count=2, samples=500)
    assert both.vectors[:, 0].any() and directions.about["layers"] == [1]
    if method == "sefa":
        assert not torch.allclose(both.vectors[:, 1], directions.vectors[:, 1])


def test_images_move_along_a_direction(gan: gz.GAN) -> None:
    direction = gz.latent.find_directions(gan)[0]
    moved = gan.generate(3, seed=2, direction=direction, strength=-1.5)
    noise = torch.cat([torch.randn(1, 8, generator=torch.Generator().manual_seed(s)) for s in (2, 3, 4)])
    torch.testing.assert_close(moved, gan.decode(noise - 1.5 * direction))
    assert torch.equal(gan.generate(3, direction=direction, strength=0), gan.generate(3))
    assert torch.equal(gan.sample(3, seed=2, direction=direction, strength=-1.5).tensor, moved)
    half = gan.generate(3, seed=2, truncation=0.5, direction=direction)
    torch.testing.assert_close(half, gan.decode(noise / 2 + direction))


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"direction": torch.zeros(7)}, r"shape \(7,\), but a latent of this model has \(8,\)"),
        ({"direction": 3}, "must be a tensor, such as directions"),
        ({"direction": torch.full((8,), torch.nan)}, "NaN"),
        ({"strength": 2.0}, "give direction, too"),
        ({"direction": torch.zeros(8), "strength": "far"}, "strength must be a finite number"),
    ],
)
def test_directions_that_cant_be_followed(gan: gz.GAN, settings: dict[str, Any], text: str) -> None:
    with pytest.raises(gz.UsageError, match=text):
        gan.generate(1, **settings)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"method": "sefla"}, "did you mean sefa"),
        ({"count": 9}, "count must be from 1 to 8"),
        ({"count": 0}, "count must be from 1 to 8"),
        ({"layers": [0]}, "one latent for all layers"),
        ({"samples": 3}, "samples must be at least 16"),
    ],
)
def test_settings_that_cant_be_used(gan: gz.GAN, settings: dict[str, Any], text: str) -> None:
    with pytest.raises(gz.UsageError, match=text):
        gz.latent.find_directions(gan, **{"method": "sefa", "count": 4, **settings})
    with pytest.raises(gz.UsageError, match="layers of mapped are 0 to 1"):
        gz.latent.find_directions(mapped_gan(), count=2, layers=[2])


def test_a_file_keeps_directions(gan: gz.GAN, tmp_path: Path) -> None:
    directions = gz.latent.find_directions(gan, count=3)
    again = gz.latent.Directions.load(directions.save(tmp_path / "new" / "d.safetensors"))
    assert torch.equal(again.vectors, directions.vectors) and again.about == directions.about
    assert again.about["model"] == "small" and again.about["method"] == "sefa" and again.fits(gan)
    with torch.no_grad():
        gan.generator.blocks[0].linear.weight.mul_(2)
    assert not again.fits(gan)
    with pytest.raises(IndexError, match="direction 3 is not one of 3"):
        again[3]


def test_files_that_are_no_directions(gan: gz.GAN, model: Path, tmp_path: Path) -> None:
    load = gz.latent.Directions.load
    with pytest.raises(gz.WeightsError, match="was not written by gantl-zoo latent"):
        load(model / "generator.safetensors")
    with pytest.raises(gz.WeightsError):
        load(tmp_path / "missing.safetensors")
    latents = gz.latent.Latents(torch.zeros(2, 8)).save(tmp_path / "l.safetensors")
    with pytest.raises(gz.WeightsError, match="holds latents; a file of directions is needed"):
        load(latents)
    torch.save({}, tmp_path / "pickle.safetensors")
    with pytest.raises(gz.WeightsError, match="not a readable safetensors file"):
        load(tmp_path / "pickle.safetensors")
    (tmp_path / "there").mkdir()
    with pytest.raises(gz.DataError, match="can't write the directions"):
        gz.latent.find_directions(gan).save(tmp_path / "there")


def test_effects_measure_colour_position_and_change() -> None:
    dark, bright = torch.full((2, 1, 8, 8), -0.5), torch.full((2, 1, 8, 8), 0.5)
    assert colour(dark, bright) == pytest.approx(127.5)
    left, right = torch.zeros(1, 3, 9, 9), torch.zeros(1, 3, 9, 9)
    left[..., 4, 2], right[..., 4, 6] = 1, 1
    torch.testing.assert_close(centre(right) - centre(left), torch.tensor([[0.0, 4.0]]), atol=1e-3, rtol=0)


def test_the_first_direction_changes_most_of_what_is_planted() -> None:
    gan = gan_of(Planted())
    directions = gz.latent.find_directions(gan, count=4)
    rows = gz.latent.effects(gan, directions, distance="mse", seeds=range(4))
    changes = [row["change"] for row in rows]
    assert changes[0] > changes[2] > changes[3] == pytest.approx(0, abs=1e-6)
    assert rows[0]["colour"] > rows[2]["colour"] > 0


def test_classes_that_change_are_counted(gan: gz.GAN) -> None:
    from gantl_zoo.runs.extractor import trained

    directions = gz.latent.find_directions(gan, count=1)
    still = gz.latent.Directions(directions.vectors * 0, directions.values, directions.about)
    rows = gz.latent.effects(gan, still, classifier=trained("cnn-mnist"), seeds=range(3))
    assert rows[0]["classes"] == 0 and rows[0]["change"] == 0


def test_the_automatic_distance_is_of_features_where_a_classifier_is_installed() -> None:
    cpu = torch.device("cpu")
    assert distance_named("auto", (1, 28, 28), cpu).name.startswith("pd_")
    assert distance_named("auto", (1, 256, 256), cpu).name == "mse"
    assert distance_named("auto", (2, 28, 28), cpu).name == "mse"
    images = torch.rand(2, 1, 28, 28)
    both = distance_named("mse+pd_cnn-mnist", (1, 28, 28), cpu)(images, images.flip(0))
    parts = [distance_named(n, (1, 28, 28), cpu)(images, images.flip(0)) for n in ("mse", "pd_cnn-mnist")]
    torch.testing.assert_close(both, parts[0] + parts[1])
    with pytest.raises(gz.UsageError, match="a distance is mse, pd_NAME"):
        distance_named("lpips", (1, 28, 28), cpu)


def test_the_verb_writes_strips_and_sample_follows_them(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--count", 2, "--seeds", "0-1", "--distance", "mse")
    code, out, _ = run(capsys, "latent", "directions", model, *words, "--out", tmp_path / "d")
    assert code == 0 and out.splitlines()[-1] == str(tmp_path / "d") and "change" in out
    names = {path.name for path in (tmp_path / "d").iterdir()}
    assert names == {"directions.png", "d0.png", "d1.png", "effects.json", "directions.safetensors"}
    kept = json.loads((tmp_path / "d" / "effects.json").read_text())
    assert len(kept["directions"]) == 2 and kept["truncation"] == 1
    (tmp_path / "d" / "notes.txt").write_text("mine")
    verb = ("latent", "directions", model, *words, "--count", 1, "--truncation", 0.5, "--out", tmp_path / "d")
    assert run(capsys, *verb)[0] == 0
    names = {path.name for path in (tmp_path / "d").iterdir()}
    assert names == {"directions.png", "d0.png", "effects.json", "directions.safetensors", "notes.txt"}
    less = json.loads((tmp_path / "d" / "effects.json").read_text())
    assert less["truncation"] == 0.5 and less["directions"][0]["change"] != kept["directions"][0]["change"]
    assert run(capsys, "latent", "directions", model, *words, "--out", tmp_path / "d")[0] == 0
    file = tmp_path / "d" / "directions.safetensors"
    verb = ("sample", model, "--seeds", "0-3", "--strength", "2", "--out", tmp_path / "x.png")
    assert run(capsys, *verb, "--direction", f"{file}:1")[0] == 0
    expected = gz.GAN.from_pretrained(model).sample(
        4, direction=gz.latent.Directions.load(file)[1], strength=2.0
    )
    with Image.open(tmp_path / "x.png") as picture:
        assert picture.tobytes() == expected.grid().tobytes()
    code, _, text = run(capsys, *verb, "--direction", f"{file}:2")
    assert code == 2 and "has the directions 0 to 1, not 2" in text
