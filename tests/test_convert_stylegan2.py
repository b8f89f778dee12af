"""The format `stylegan2-ada`: official snapshots become `stylegan2`, with all weights and settings."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from official import (
    FILTER,
    close,
    load_into,
    persistent,
    r3gan,
    reference,
    stylegan2_discriminator,
    stylegan2_generator,
    write_r3gan,
    write_snapshot,
)
from safetensors.torch import load_file
from torch import Tensor

import gantl_zoo as gz
from gantl_zoo.convert.formats import ImportedNetworks
from gantl_zoo.convert.unpickle import read
from gantl_zoo.networks.base import call

WIDTHS = {4: 8, 8: 8, 16: 4}  # min(64 / side, 8)
Tensors = dict[str, Tensor]
GAIN = 0.01 / math.sqrt(6)  # of the first layer of an unconditional mapping network with 6 inputs


def found_in(path: Path) -> ImportedNetworks:
    """What the format finds in a file."""
    found: ImportedNetworks = gz.formats.build("stylegan2-ada").read(read(path))
    return found


def weights(classes: int = 0, channels: int = 3) -> dict[str, Tensors]:
    """The tensors of the three networks of a snapshot."""
    torch.manual_seed(0)
    generator = [stylegan2_generator(WIDTHS, classes=classes, channels=channels) for _ in range(2)]
    discriminator = stylegan2_discriminator(WIDTHS, classes=classes, channels=channels)
    return {"G": generator[0], "D": discriminator, "G_ema": generator[1]}


def write(
    path: Path, content: dict[str, Tensors], monkeypatch: pytest.MonkeyPatch, **attributes: dict[str, Any]
) -> Path:
    """A snapshot with these tensors, and attributes of the layers in the networks, by their paths."""
    names = {"G": "Generator", "D": "Discriminator", "G_ema": "Generator"}
    networks = {key: persistent(names[key], t, attributes.get(key, {})) for key, t in content.items()}
    more = {"training_set_kwargs": {"resolution": 16}, "augment_pipe": None}
    return write_snapshot(path, networks | more, monkeypatch)


@pytest.mark.parametrize(("classes", "channels"), [(0, 3), (5, 1)])
def test_all_weights_of_g_ema_and_d_are_kept(
    classes: int, channels: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = weights(classes, channels)
    found = found_in(write(tmp_path / "network-snapshot-000200.pkl", content, monkeypatch))
    generator, discriminator = load_into(found)  # refuses missing, superfluous and other shapes
    assert discriminator is not None
    for network, key in ((generator, "G_ema"), (discriminator, "D")):
        kept = network.state_dict()
        assert kept.keys() == content[key].keys()
        assert all(torch.equal(kept[name], tensor) for name, tensor in content[key].items())
    assert (found.latent_dim, found.classes) == (6, classes)
    assert found.notes == ("the generator is G_ema, the one with averaged weights",)
    assert found.generator["config"] == {
        "image_size": 16, "channels": channels, "latent_dim": 6, "num_classes": classes, "w_dim": 5,
        "mapping_layers": 2, "channel_base": 64, "channel_max": 8, "conv_clamp": None,
    }  # fmt: skip
    labels = torch.tensor([1, 0]) if classes else None
    images = call(generator, torch.randn(2, 6), labels)
    assert images.shape == (2, channels, 16, 16) and images.isfinite().all()
    assert call(discriminator, images, labels).shape == (2,)


def test_settings_that_are_not_in_shapes_are_read_off_the_layers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clamps = {"conv_clamp": 256, "activation": "lrelu"}
    own = {"synthesis": {"num_fp16_res": 4}, "mapping.fc0": {"weight_gain": GAIN}}
    found = found_in(
        write(
            tmp_path / "a.pkl",
            weights(),
            monkeypatch,
            G_ema={"synthesis.b4.conv1": clamps, **own},
            D={"b4.conv": clamps, "b4.mbstd": {"group_size": 8, "num_channels": 1}},
        )
    )
    assert found.generator["config"]["conv_clamp"] == 256
    assert found.discriminator is not None
    assert found.discriminator["config"]["conv_clamp"] == 256
    assert found.discriminator["config"]["mbstd_group"] == 8
    assert "num_fp16_res 4 is ignored" in found.notes[1]


def test_a_group_of_none_is_the_whole_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = found_in(write(tmp_path / "a.pkl", weights(), monkeypatch, D={"b4.mbstd": {"group_size": None}}))
    assert found.discriminator is not None
    whole = gz.discriminators.build("stylegan2", **found.discriminator["config"])
    six = gz.discriminators.build("stylegan2", **found.discriminator["config"] | {"mbstd_group": 6})
    six.load_state_dict(whole.state_dict())
    images = torch.randn(6, *whole.image_shape)
    assert torch.equal(whole(images), six(images)) and found.discriminator["config"]["mbstd_group"] > 4
    missing = found_in(write(tmp_path / "b.pkl", weights(), monkeypatch))
    assert missing.discriminator is not None and "mbstd_group" not in missing.discriminator["config"]


@pytest.mark.parametrize("kind", ["orig", "none"])
def test_a_discriminator_of_another_architecture_is_left_out_with_a_note(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = weights()
    del content["D"]
    if kind == "orig":
        content["D"] = stylegan2_discriminator(WIDTHS, skip=False)
    found = found_in(write(tmp_path / "a.pkl", content, monkeypatch))
    assert found.discriminator is None and not found.discriminator_weights
    left_out = "the discriminator is left out: its blocks have no skip layers"
    assert [note[: len(left_out)] for note in found.notes[1:]] == [left_out] * (kind == "orig")


def changed(key: str, name: str, tensor: Tensor | None) -> Callable[[dict[str, Tensors]], dict[str, Tensors]]:
    """A change of a snapshot: another tensor, or none of this name."""

    def change(content: dict[str, Tensors]) -> dict[str, Tensors]:
        content[key].pop(name, None)
        if tensor is not None:
            content[key][name] = tensor
        return content

    return change


WRONG: dict[str, tuple[Callable[[dict[str, Tensors]], dict[str, Tensors]], str]] = {
    "no average": (
        lambda c: {"G": c["G"], "D": c["D"]},
        "not a snapshot of StyleGAN2-ADA: it has G, D, training_set_kwargs, augment_pipe, but not G_ema",
    ),
    "no mapping": (changed("G_ema", "mapping.fc0.weight", None), "mapping.fc0.weight is missing"),
    "a hole": (
        changed("G_ema", "synthesis.b8.conv1.weight", None),
        "its blocks have the resolutions 4, 16, not 4, 8, 16",
    ),
    "no image": (
        changed("G_ema", "synthesis.b8.torgb.weight", None),
        "it has no synthesis.b8.torgb.weight; the only supported architecture is 'skip'",
    ),
    "other channels": (
        changed("G_ema", "synthesis.b8.conv1.weight", torch.ones(7, 8, 3, 3)),
        r"its channels \(4×4: 8, 8×8: 7, 16×16: 4\) are not min\(channel_base / size, channel_max\)",
    ),
    "another filter": (
        changed("D", "b8.conv1.resample_filter", FILTER * 4),
        "b8.conv1.resample_filter is not the low-pass filter",
    ),
    "no head": (changed("D", "b4.conv.weight", None), "b4.conv.weight is missing"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_one_line(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change, message = WRONG[case]
    path = write(tmp_path / "a.pkl", change(weights()), monkeypatch)
    with pytest.raises(gz.WeightsError, match=message) as error:
        found_in(path)
    assert "\n" not in str(error.value)


ATTRIBUTES = [
    ({"synthesis.input": {"_modules": {}}}, "an alias-free StyleGAN3 generator .* only those trained with"),
    ({"synthesis.b4.conv1": {"activation": "relu"}}, "synthesis.b4.conv1 has the activation relu; only"),
    ({"mapping.fc0": {"weight_gain": 1 / math.sqrt(6)}}, "multiplier 1; only 0.01 is supported"),
    ({"mapping.fc0": {"weight_gain": "much"}}, "weight_gain of mapping.fc0 is a str, not a finite number"),
]  # fmt: skip


@pytest.mark.parametrize(("attributes", "message"), ATTRIBUTES)
def test_other_layers_are_refused(
    attributes: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.pkl", weights(), monkeypatch, G_ema=attributes)
    with pytest.raises(gz.WeightsError, match=message):
        found_in(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "it holds a list, not a snapshot of StyleGAN2-ADA, a dict with G_ema and D"),
        ({"G_ema": {"weight": torch.ones(2)}}, "G_ema is a dict, not a network"),
        ({}, "it has nothing, but not G_ema"),
    ],
)
def test_a_file_of_another_program_is_refused(content: Any, message: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(gz.WeightsError, match=message):
        found_in(tmp_path / "a.pt")


def test_a_file_of_another_format_names_that_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"g_ema": {"style.1.weight": torch.ones(2, 2)}}, tmp_path / "550000.pt")
    write_r3gan(tmp_path / "r3.pkl", {"G_ema": r3gan("generator", [8, 8], [4, 4], [1, 1])}, monkeypatch)
    write(tmp_path / "ada.pkl", weights(), monkeypatch)
    wrong = {"stylegan2-ada": ("550000.pt", "rosinality"), "rosinality": ("ada.pkl", "stylegan2-ada")}
    wrong |= {"r3gan": ("ada.pkl", "stylegan2-ada")}
    for name, (file, right) in [*wrong.items(), ("stylegan2-ada", ("r3.pkl", "r3gan"))]:
        with pytest.raises(gz.WeightsError, match=f"; try the format {right}$"):
            gz.formats.build(name).read(read(tmp_path / file))


def test_a_snapshot_of_tensorflow_says_how_to_convert_it(tmp_path: Path) -> None:
    path = tmp_path / "stylegan2-ffhq-config-f.pkl"
    path.write_bytes(b"\x80\x03cdnnlib.tflib.network\nNetwork\nq\x00)\x81q\x01}q\x02b.")
    with pytest.raises(gz.WeightsError, match=r"it is a TensorFlow pickle; .* legacy\.py"):
        found_in(path)


def test_an_imported_folder_has_the_weights_the_settings_and_the_terms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content = weights(5, 1)
    path = write(
        tmp_path / "network-snapshot-000200.pkl", content, monkeypatch, D={"b4.conv": {"conv_clamp": 256}}
    )
    gz.import_weights("stylegan2-ada", path, to=tmp_path / "mine", licence="cc-by-nc-4.0")
    said = capsys.readouterr().err
    assert "the generator is G_ema" in said and "for non-commercial use only" in said
    gan = gz.load_model(tmp_path / "mine")
    for network, key in ((gan.generator, "G_ema"), (gan.discriminator, "D")):
        assert all(torch.equal(content[key][name], t) for name, t in network.state_dict().items())
    assert gan.parts["discriminator"]["config"]["conv_clamp"] == 256
    assert gan.lineage["imported"]["file"] == "network-snapshot-000200.pkl"
    assert gan.generate(2, labels=4).shape == (2, 1, 16, 16)
    card = (tmp_path / "mine" / "README.md").read_text()
    assert "cc-by-nc-4.0" in card
    assert "non-commercial" in gan.lineage["imported"]["terms"]


def test_a_file_that_ends_early_is_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.pkl", weights(), monkeypatch)
    path.write_bytes(path.read_bytes()[: -len(path.read_bytes()) // 3])
    with pytest.raises(gz.WeightsError, match=r"a\.pkl"):
        found_in(path)


def check_outputs(found: ImportedNetworks, tensors: Tensors) -> None:
    """Compare images and logits with those of the official networks."""
    generator, discriminator = load_into(found)
    assert discriminator is not None
    labels = tensors["in.label"].argmax(1) if "in.label" in tensors else None
    z = tensors["in.z"]
    latents = generator.map(z, labels)
    close(generator.synthesize(latents, noise="none"), tensors["out.image_untruncated_noise_none"], 1e-4)
    latents = generator.truncate(latents, 0.7)
    close(latents, tensors["out.w_truncated_0.7"], 1e-4)
    images = generator.synthesize(latents)
    close(images, tensors["out.image_truncated_0.7_noise_const"], 1e-4)
    close(
        call(discriminator, images, labels),
        tensors["out.logits_of_image_truncated_0.7_noise_const"].flatten(),
        1e-4,
    )
    first = labels[:1].expand(8) if labels is not None else None
    close(call(discriminator, tensors["in.batch8"], first), tensors["out.logits_of_batch8"].flatten(), 1e-4)


def test_the_official_snapshot_computes_what_it_did() -> None:
    tensors = load_file(reference("stylegan2-uncond-32-rgb.safetensors"))
    check_outputs(found_in(reference("stylegan2-uncond-32-rgb.pkl")), tensors)


@pytest.mark.parametrize("name", ["stylegan2-uncond-64-rgb", "stylegan2-cond10-32-gray"])
def test_official_weights_in_a_snapshot_compute_what_they_did(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors = load_file(reference(f"{name}.safetensors"))
    content = {
        key: {k.split(".", 1)[1]: t for k, t in tensors.items() if k.startswith(f"{part}.")}
        for key, part in (("G_ema", "generator"), ("D", "discriminator"))
    }
    check_outputs(found_in(write(tmp_path / "a.pkl", content, monkeypatch)), tensors)
