"""The format `r3gan`: official snapshots become `r3`, and compute what they did."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from official import FILTER, close, load_into, r3gan, reference, write_r3gan
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

import gantl_zoo as gz
from gantl_zoo.convert.formats import ImportedNetworks
from gantl_zoo.convert.unpickle import read
from gantl_zoo.networks.base import call

SHAPE = ([8, 8, 6], [4, 4, 3], [1, 2, 1])  # widths, numbers of groups and of blocks, from 4×4 on
PARTS = {"G": "generator", "D": "discriminator", "G_ema": "generator"}
Snapshot = dict[str, dict[str, Tensor]]


def snapshot(classes: int = 0, **changed: list[int]) -> Snapshot:
    """The tensors of the three networks of a snapshot."""
    torch.manual_seed(0)
    return {key: r3gan(part, *SHAPE, classes=classes) for key, part in PARTS.items()}


def found_in(path: Path) -> ImportedNetworks:
    """What the format finds in a file."""
    found: ImportedNetworks = gz.formats.build("r3gan").read(read(path))
    return found


def block(x: Tensor, tensors: dict[str, Tensor], name: str) -> Tensor:
    """A residual block, by the formula of the paper."""
    inner, groups = tensors[f"{name}.LinearLayer2.Layer.weight"].shape[:2]
    new = functional.conv2d(
        x, tensors[f"{name}.LinearLayer1.Layer.weight"], tensors[f"{name}.NonLinearity1.Bias"]
    )
    new = functional.leaky_relu(new, 0.2)
    weight, bias = tensors[f"{name}.LinearLayer2.Layer.weight"], tensors[f"{name}.NonLinearity2.Bias"]
    new = functional.leaky_relu(functional.conv2d(new, weight, bias, padding=1, groups=inner // groups), 0.2)
    return x + functional.conv2d(new, tensors[f"{name}.LinearLayer3.Layer.weight"])


def images_of(tensors: dict[str, Tensor], z: Tensor, label: Tensor | None) -> Tensor:
    """What the official generator computes for noise (N, Z) and one-hot labels (N, L)."""
    if label is not None:
        z = torch.cat([z, label @ tensors["EmbeddingLayer.weight"].T], 1)
    scales = z @ tensors["MainLayers.0.Layers.0.LinearLayer.weight"].T
    x = tensors["MainLayers.0.Layers.0.Basis"] * scales[:, :, None, None]
    for stage, count in enumerate(SHAPE[2]):
        place = f"MainLayers.{stage}.Layers"
        if (narrow := tensors.get(f"{place}.0.LinearLayer.Layer.weight")) is not None:
            x = functional.conv2d(x, narrow)
        if stage:
            kernel = 4 * tensors[f"{place}.0.Resampler.Kernel"].expand(x.shape[1], 1, -1, -1)
            x = functional.conv_transpose2d(x, kernel, stride=2, padding=1, groups=x.shape[1])
        for number in range(count):
            x = block(x, tensors, f"{place}.{number + 1}")
    return functional.conv2d(x, tensors["AggregationLayer.Layer.weight"])


def logits_of(tensors: dict[str, Tensor], images: Tensor, label: Tensor | None) -> Tensor:
    """What the official discriminator computes for images (N, 3, H, W) and one-hot labels (N, L)."""
    x = functional.conv2d(images, tensors["ExtractionLayer.Layer.weight"])
    counts = SHAPE[2][::-1]
    for stage, count in enumerate(counts):
        place = f"MainLayers.{stage}.Layers"
        for number in range(count):
            x = block(x, tensors, f"{place}.{number}")
        if stage < len(counts) - 1:
            kernel = tensors[f"{place}.{count}.Resampler.Kernel"].expand(x.shape[1], 1, -1, -1)
            x = functional.conv2d(x, kernel, stride=2, padding=1, groups=x.shape[1])
            if (wide := tensors.get(f"{place}.{count}.LinearLayer.Layer.weight")) is not None:
                x = functional.conv2d(x, wide)
    x = functional.conv2d(x, tensors[f"{place}.{count}.Basis.weight"], groups=x.shape[1]).flatten(1)
    x = x @ tensors[f"{place}.{count}.LinearLayer.weight"].T
    return x.squeeze(1) if label is None else (x * (label @ tensors["EmbeddingLayer.weight"].T)).sum(1)


@pytest.mark.parametrize("classes", [0, 5])
def test_a_snapshot_computes_the_same_in_r3(
    classes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = snapshot(classes)
    found = found_in(write_r3gan(tmp_path / "snapshot.pkl", content, monkeypatch))
    assert (found.latent_dim, found.classes) == (6, classes)
    assert found.notes == ("the generator is G_ema, the one with averaged weights",)
    generator, discriminator = load_into(found)
    assert discriminator is not None
    labels = torch.tensor([0, 4, 2]) if classes else None
    label = functional.one_hot(labels, classes).double() if labels is not None else None
    z = torch.randn(3, 6, dtype=torch.float64)
    theirs = {key: {name: t.double() for name, t in tensors.items()} for key, tensors in content.items()}
    images = images_of(theirs["G_ema"], z, label)
    close(call(generator.double(), z, labels), images, 1e-12)
    close(call(discriminator.double(), images, labels), logits_of(theirs["D"], images, label), 1e-12)


def test_an_imported_folder_has_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_r3gan(tmp_path / "network-snapshot-000100.pkl", snapshot(5), monkeypatch)
    gz.import_weights("r3gan", path, to=tmp_path / "mine", licence="mit")
    generator, discriminator = load_into(found_in(path))
    gan = gz.load_model(tmp_path / "mine")
    for kept, network in ((gan.generator, generator), (gan.discriminator, discriminator)):
        assert network is not None
        assert all(torch.equal(network.state_dict()[name], t) for name, t in kept.state_dict().items())
    assert gan.generate(2, labels=4).shape == (2, 3, 16, 16)


def test_channels_of_a_group_may_differ_where_one_setting_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    lists = [8, 6], [2, 3], [1, 1]  # groups of 8 and of 4 channels
    content = {key: r3gan(part, *lists) for key, part in PARTS.items()}
    found = found_in(write_r3gan(tmp_path / "a.pkl", content, monkeypatch))
    assert found.generator["config"]["group_width"] == 8
    load_into(found)
    content["G_ema"] = r3gan("generator", [8, 8], [4, 2], [1, 1])
    with pytest.raises(gz.WeightsError, match=r"groups of \[4, 8\] channels at widths \[8, 8\] do not have"):
        found_in(write_r3gan(tmp_path / "b.pkl", content, monkeypatch))


def test_a_snapshot_without_a_discriminator_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = found_in(write_r3gan(tmp_path / "a.pkl", {"G_ema": snapshot()["G_ema"]}, monkeypatch))
    assert found.discriminator is None and not found.discriminator_weights


def without(content: Snapshot, key: str, name: str) -> Snapshot:
    """The snapshot without one tensor."""
    del content[key][name]
    return content


def replaced(content: Snapshot, key: str, name: str, tensor: Tensor) -> Snapshot:
    """The snapshot with another tensor."""
    content[key][name] = tensor
    return content


GROUPED = [f"MainLayers.{stage}.Layers.1.LinearLayer2.Layer.weight" for stage in range(2)]
WRONG: dict[str, tuple[Any, str]] = {
    "no average": (lambda c: {"G": c["G"], "D": c["D"]}, "not a snapshot of R3GAN: it has .*, but not G_ema"),
    "no stem": (
        lambda c: without(c, "G_ema", "MainLayers.0.Layers.0.LinearLayer.weight"),
        "not an R3GAN network: MainLayers.0.Layers.0.LinearLayer.weight is missing",
    ),
    "no image": (lambda c: without(c, "D", "ExtractionLayer.Layer.weight"), "Layer.weight is missing"),
    "another name": (lambda c: replaced(c, "D", "Other", torch.ones(2)), "Other is not a tensor of an R3GAN"),
    "another filter": (
        lambda c: replaced(c, "G_ema", "MainLayers.1.Layers.0.Resampler.Kernel", FILTER * 2),
        r"MainLayers.1.Layers.0.Resampler.Kernel is not the low-pass filter \[1, 3, 3, 1\]",
    ),
    "5×5": (
        lambda c: replaced(c, "G_ema", GROUPED[0], torch.ones(16, 4, 5, 5)),
        "is not a 3×3 convolution of an R3GAN block",
    ),
    "a vector": (
        lambda c: replaced(c, "G_ema", GROUPED[0], torch.ones(16)),
        "is not a 3×3 convolution of an R3GAN block",
    ),
    "two widths": (
        lambda c: replaced(c, "G_ema", GROUPED[1], torch.ones(16, 2, 3, 3)),
        "each of its stages must have blocks of one width",
    ),
    "another expansion": (
        lambda c: replaced(c, "G_ema", GROUPED[1], torch.ones(24, 4, 3, 3)),
        "has 24 channels, not 2 times the 8 of its stage",
    ),
    "another embedding": (
        lambda c: replaced(c, "D", "EmbeddingLayer.weight", torch.ones(3, 5)),
        "the class embedding of this R3GAN discriminator has 3 numbers; r3 supports only the size",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_one_line(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change, message = WRONG[case]
    path = write_r3gan(tmp_path / "a.pkl", change(snapshot()), monkeypatch)
    with pytest.raises(gz.WeightsError, match=message) as error:
        found_in(path)
    assert "\n" not in str(error.value)


def test_a_file_that_ends_early_is_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_r3gan(tmp_path / "a.pkl", snapshot(), monkeypatch)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(gz.WeightsError, match=r"a\.pkl"):
        found_in(path)


@pytest.mark.parametrize("name", ["r3gan-32", "r3gan-32-cond10", "r3gan-64", "r3gan-64-cond10"])
def test_images_and_logits_are_those_of_the_original(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors = load_file(reference(f"{name}.safetensors"))
    parts = {
        part: {k.split(".", 1)[1]: t for k, t in tensors.items() if k.startswith(f"{part}.")}
        for part in ("generator", "discriminator")
    }
    content = {"G": parts["generator"], "D": parts["discriminator"], "G_ema": parts["generator"]}
    generator, discriminator = load_into(found_in(write_r3gan(tmp_path / "a.pkl", content, monkeypatch)))
    labels = tensors["in.label"].argmax(1) if "in.label" in tensors else None
    images = call(generator, tensors["in.z"], labels)
    close(images, tensors["out.fakes"], 1e-5)
    assert discriminator is not None
    close(call(discriminator, images, labels), tensors["out.logits_of_fakes"], 1e-5)
    close(call(discriminator, tensors["in.reals"], labels), tensors["out.logits_of_reals"], 1e-5)
