"""Projection: images of known latents are found again, in every space, and their files can be sampled."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import SMALL, run
from PIL import Image
from test_latent import mapped_gan
from torch import nn

import gantl_zoo as gz
from gantl_zoo.latent.project import pace, shorten

QUICK: dict[str, Any] = {"steps": 60, "starts": 2, "tries": 50, "distance": "mse"}


@pytest.fixture
def vivid() -> gz.GAN:
    """A GAN whose images differ from seed to seed."""
    gan = gz.build_gan("dcgan", generator_config=SMALL, discriminator_config={"width": 4}, name="vivid")
    for name, tensor in gan.generator.named_parameters():
        if "conv" in name or "linear" in name:
            nn.init.normal_(tensor, 0.0, 0.2)
    return gan


def test_generated_images_are_found_again(vivid: gz.GAN) -> None:
    images = vivid.sample(3, seed=20)
    found = gz.latent.project(vivid, images, **QUICK)
    near = gz.latent.project(vivid, images, **QUICK | {"steps": 0})
    assert found.images.shape == found.targets.shape == (3, 1, 28, 28)
    for row, start in zip(found.residuals, near.residuals, strict=True):
        assert row["mse"] < start["mse"] / 4
    spread = float(images.tensor.var(0).mean())
    assert sum(row["mse"] for row in found.residuals) / 3 < spread / 4
    torch.testing.assert_close(found.images, vivid.decode(found.latents.tensor))
    assert found.seconds > 0 and found.distance == "mse"


def test_nothing_but_the_latents_changes(vivid: gz.GAN) -> None:
    before = {name: tensor.clone() for name, tensor in vivid.generator.state_dict().items()}
    state = torch.get_rng_state()
    gz.latent.project(vivid, vivid.sample(1), **QUICK | {"steps": 3})
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], tensor) for name, tensor in vivid.generator.state_dict().items())
    assert all(parameter.grad is None for parameter in vivid.generator.parameters())


def test_a_latent_of_z_keeps_a_usual_norm() -> None:
    latents = torch.stack([torch.full((100,), 9.0), torch.full((100,), 0.01), torch.full((100,), 1.05)])
    shorten(latents)
    norms = latents.norm(dim=1) / 10
    margin = 2 / math.sqrt(200)
    torch.testing.assert_close(norms, torch.tensor([1 + margin, 1 - margin, 1.05]))


def test_the_learning_rate_rises_and_falls() -> None:
    assert pace(0.025) == pytest.approx(0.5) and pace(0.05) == pace(0.5) == pace(0.75) == pytest.approx(1)
    assert pace(0.875) == pytest.approx(0.5) and pace(1.0) == pytest.approx(0)


@pytest.mark.parametrize("space", ["z", "w", "w+"])
def test_every_space_of_a_mapped_network(space: str, tmp_path: Path) -> None:
    gan = mapped_gan()
    target = gan.generate(2, seed=5)
    found = gz.latent.project(gan, target, space=space, **QUICK)
    assert found.latents.space == space
    assert found.latents.tensor.shape == ((2, 8) if space == "z" else (2, 2, 6))
    layers = found.latents.tensor.unbind(1) if space != "z" else (torch.zeros(2, 6), torch.ones(2, 6))
    assert torch.equal(*layers) == (space == "w")
    again = gz.latent.Latents.load(found.latents.save(tmp_path / "l.safetensors"))
    torch.testing.assert_close(again.images(gan), found.images)
    near = gz.latent.project(gan, target, space=space, **QUICK | {"steps": 0})
    for row, start in zip(found.residuals, near.residuals, strict=True):
        assert row["mse"] < start["mse"] / 4
    assert gz.latent.project(gan, target, **QUICK | {"steps": 1}).latents.space == "w"


def test_a_projection_in_w_plus_fits_what_w_cant() -> None:
    gan = mapped_gan()
    inner = torch.randn(1, 2, 6, generator=torch.Generator().manual_seed(3)) * 2
    target = gan.decode(inner, mapped=True)
    errors = [
        gz.latent.project(gan, target, space=space, **QUICK | {"steps": 150}).residuals[0]["mse"]
        for space in ("w", "w+")
    ]
    assert errors[1] < errors[0] / 2


@pytest.mark.parametrize("given", [[2, 0], None])
def test_classes_are_given_or_found(given: list[int] | None) -> None:
    gan = gz.build_gan("dcgan", generator_config=SMALL | {"num_classes": 3}, name="three")
    target = gan.generate(2, labels=[2, 0])
    found = gz.latent.project(gan, target, labels=given, **QUICK | {"steps": 2})
    assert found.latents.labels is not None and (given is None or found.latents.labels.tolist() == given)
    torch.testing.assert_close(found.latents.images(gan), found.images)


@pytest.mark.parametrize(
    ("images", "settings", "error", "text"),
    [
        (torch.zeros(1, 3, 28, 28), {}, gz.DataError, "makes images"),
        (torch.zeros(0, 1, 28, 28), {}, gz.UsageError, "must be a tensor"),
        ("cat.png", {}, gz.UsageError, "must be a tensor"),
        (torch.full((1, 1, 28, 28), torch.nan), {}, gz.DataError, "NaN"),
        (None, {"space": "w"}, gz.UsageError, "no intermediate latent space"),
        (None, {"space": "w+"}, gz.UsageError, "no intermediate latent space"),
        (None, {"space": "x"}, gz.UsageError, "unknown latent space"),
        (None, {"starts": 0}, gz.UsageError, "starts must be at least 1"),
        (None, {"steps": -1}, gz.UsageError, "steps must be at least"),
        (None, {"lr": 0}, gz.UsageError, "lr must be positive"),
        (None, {"distance": "ssim"}, gz.UsageError, "a distance is mse"),
        (None, {"labels": 1}, gz.UsageError, "unconditional"),
    ],
)
def test_what_cant_be_projected(
    gan: gz.GAN, images: Any, settings: dict[str, Any], error: type[Exception], text: str
) -> None:
    images = torch.zeros(1, 1, 28, 28) if images is None else images
    with pytest.raises(error, match=text):
        gz.latent.project(gan, images, **{**QUICK, "steps": 1, **settings})


def test_latents_of_another_model_are_an_error(gan: gz.GAN, tmp_path: Path) -> None:
    with pytest.raises(gz.UsageError, match=r"needs latents \(N, 8\)"):
        gz.latent.Latents(torch.zeros(1, 9)).images(gan)
    with pytest.raises(gz.UsageError, match="a space that small does not have"):
        gz.latent.Latents(torch.zeros(1, 2, 6), "w").images(gan)
    with pytest.raises(gz.UsageError, match=r"needs latents \(N, 2, 6\) in w"):
        gz.latent.Latents(torch.zeros(1, 3, 6), "w").images(mapped_gan())
    with pytest.raises(gz.UsageError, match="contain the class"):
        gz.latent.Latents(torch.zeros(1, 2, 6), "w").images(mapped_gan(3), 1)
    from gantl_zoo.latent.files import write

    path = write(tmp_path / "x.safetensors", "latents", {"latents": torch.zeros(2, 8)}, {"space": "q"})
    with pytest.raises(gz.WeightsError, match="one of the spaces z, w"):
        gz.latent.Latents.load(path)


def test_the_verb_writes_what_sample_takes(
    vivid: gz.GAN, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = vivid.save(tmp_path / "vivid")
    vivid.sample(3, seed=7).save_each(tmp_path / "pictures")
    words = ("--steps", 20, "--starts", 1, "--tries", 20)
    verb = ("latent", "project", model, *words, "--out", tmp_path / "p")
    code, out, _ = run(capsys, *verb, "--data", tmp_path / "pictures", "--count", 2)
    assert code == 0 and out.splitlines()[-1] == str(tmp_path / "p") and "mse" in out
    names = {path.name for path in (tmp_path / "p").iterdir()}
    assert names == {"proj.png", "latents.safetensors", "residuals.json"}
    kept = json.loads((tmp_path / "p" / "residuals.json").read_text())
    assert kept["distance"] == "mse" and kept["seconds"] > 0 and "pd_gantl_zoo:cnn-mnist" in kept["images"][0]
    file = tmp_path / "p" / "latents.safetensors"
    assert run(capsys, "sample", model, "--latents", file, "--out", tmp_path / "x.png")[0] == 0
    expected = gz.Images(gz.latent.Latents.load(file).images(vivid)).grid()
    with Image.open(tmp_path / "x.png") as picture:
        assert picture.tobytes() == expected.tobytes()
    one = next((tmp_path / "pictures").iterdir())
    assert run(capsys, *verb, "--data", one)[0] == 0
    assert len(json.loads((tmp_path / "p" / "residuals.json").read_text())["images"]) == 1
    (tmp_path / "text.png").write_text("no image")
    code, _, text = run(capsys, *verb, "--data", tmp_path / "text.png")
    assert code == 2 and "is not an image that can be read" in text
