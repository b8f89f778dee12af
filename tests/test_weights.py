"""Model folders: strict both ways, and errors that help."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import SMALL
from safetensors.torch import load_file, save_file
from torch import Tensor

import gantl_zoo as gz
from gantl_zoo.storage.schema import read_config

Edit = Callable[[dict[str, Tensor]], None]
NAME = "blocks.1.conv.weight"


@pytest.fixture
def folder(gan: gz.GAN, tmp_path: Path) -> Path:
    return gan.save(tmp_path / "model")


def rewrite(folder: Path, edit: Edit) -> None:
    tensors = load_file(folder / "generator.safetensors")
    edit(tensors)
    save_file(tensors, folder / "generator.safetensors")


def test_a_folder_comes_back_equal_to_the_bit(gan: gz.GAN, folder: Path) -> None:
    again = gz.load_model(folder)
    assert isinstance(again, gz.GAN)
    assert torch.equal(again.generate(5, seed=3), gan.generate(5, seed=3))
    for part in ("generator", "discriminator"):
        for name, tensor in getattr(gan, part).state_dict().items():
            assert torch.equal(tensor, getattr(again, part).state_dict()[name]), name
    assert sorted(p.name for p in folder.iterdir()) == [
        "README.md", "config.json", "discriminator.safetensors", "generator.safetensors",
    ]  # fmt: skip


def test_half_precision_halves_the_file_and_loads_as_float32(
    gan: gz.GAN, folder: Path, tmp_path: Path
) -> None:
    half = gan.save(tmp_path / "half", dtype="float16")
    again = gz.load_model(half)
    assert isinstance(again, gz.GAN)
    assert all(p.dtype == torch.float32 for p in again.generator.parameters())
    sizes = [(f / "generator.safetensors").stat().st_size for f in (half, folder)]
    assert sizes[0] < 0.75 * sizes[1]
    assert (again.generate(4) - gan.generate(4)).abs().max() < 0.01


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda t: t.pop(NAME), f"missing tensor {NAME}.*truncated, or an older version wrote it"),
        (lambda t: t.update(extra=torch.ones(1)), "unexpected tensor extra.*more than this network"),
        (
            lambda t: t.update({NAME: t[NAME][:2].clone()}),
            rf"{NAME} has shape \(2, .*another image size, width or",
        ),
        (lambda t: t.update({NAME: t[NAME].double()}), f"{NAME} has dtype float64, not float32"),
        (lambda t: t.update({NAME: t[NAME] * float("nan")}), f"NaN or infinite values in {NAME}.*diverged"),
        (
            lambda t: t.update(other=t.pop(NAME)),
            "missing tensor .*unexpected tensor other.*another architecture",
        ),
    ],
)
def test_a_wrong_tensor_is_named(folder: Path, edit: Edit, said: str) -> None:
    rewrite(folder, edit)
    with pytest.raises(gz.WeightsError, match=said):
        gz.load_model(folder)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "damaged or truncated"),
        (b"<!doctype html><html>", "HTML or XML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS pointer"),
        (b"PK\x03\x04archive", "zip archive, as torch.save writes"),
        (b"\x80\x04pickle", "a pickle"),
    ],
)
def test_what_is_no_safetensors_file_is_recognised(folder: Path, content: bytes, said: str) -> None:
    (folder / "generator.safetensors").write_bytes(content)
    with pytest.raises(gz.WeightsError, match=said):
        gz.load_model(folder)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_a_cut_file_is_recognised(folder: Path, share: float) -> None:
    path = folder / "generator.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(gz.WeightsError, match="is damaged or truncated"):
        gz.load_model(folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "discriminator.safetensors").unlink()
    with pytest.raises(gz.WeightsError, match=r"discriminator.safetensors is missing"):
        gz.load_model(folder)
    assert isinstance(gz.load_model(folder, discriminator=False), gz.GAN)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 2}, "format 2, but this version reads 1"),
        ({"kind": "diffusion"}, "'kind' must be one of gan, backbone"),
        ({"dtype": "int4"}, "unknown dtype 'int4'; there are: float32"),
        ({"generator": "dcgan"}, "'generator' must be an object"),
        ({"generator": {"name": "dcgan", "config": {"widht": 4}}}, "takes no argument 'widht'"),
    ],
)
def test_a_wrong_config_is_explained(folder: Path, change: dict[str, object], said: str) -> None:
    config = json.loads((folder / "config.json").read_text()) | change
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(gz.ZooError, match=said):
        gz.load_model(folder)


@pytest.mark.parametrize("name", ["their-net", "their-package:net"])
def test_an_architecture_of_a_missing_plugin_names_the_plugin(folder: Path, name: str) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["generator"]["name"], config["requires"] = name, {"their-package": "1.2"}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(gz.WeightsError, match=rf"needs generator '{name}'.*pip install their-package==1\.2"):
        gz.load_model(folder)


def test_saving_over_a_folder_keeps_other_files_and_leaves_no_scrap(gan: gz.GAN, folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")
    other = gz.build_gan("dcgan", generator_config=SMALL, discriminator_config={"width": 4})
    other.save(folder)
    again = gz.load_model(folder)
    assert isinstance(again, gz.GAN)
    assert torch.equal(again.generate(2), other.generate(2))
    assert (folder / "notes.txt").read_text() == "mine"
    assert [p.name for p in folder.parent.iterdir()] == ["model"]


def test_weights_that_are_not_finite_are_not_saved(gan: gz.GAN, folder: Path) -> None:
    before = (folder / "generator.safetensors").read_bytes()
    with torch.no_grad():
        next(gan.generator.parameters()).fill_(float("inf"))
    with pytest.raises(gz.WeightsError, match="not saved"):
        gan.save(folder)
    assert (folder / "generator.safetensors").read_bytes() == before


def test_an_unwritable_place_is_one_error(gan: gz.GAN, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(gz.WeightsError, match="can't write the model folder"):
        gan.save(tmp_path / "file" / "model")


def test_initialisers_are_not_part_of_an_architecture(tmp_path: Path) -> None:
    gan = gz.build_gan(
        "dcgan", "backbone", generator_config=SMALL, discriminator_config={"weights": "cnn-mnist"}
    )
    again = gz.load_model(gan.save(tmp_path / "model"))
    assert isinstance(again, gz.GAN)
    assert "weights" not in read_config(tmp_path / "model")["discriminator"]["config"]
    image = torch.zeros(2, 1, 28, 28)
    assert torch.equal(again.discriminator(image), gan.discriminator(image))


def test_saving_loses_nothing_that_is_not_the_models_own(gan: gz.GAN, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "sdxl.safetensors").write_bytes(b"somebody's")
    gan.save(folder)
    assert (folder / "sdxl.safetensors").read_bytes() == b"somebody's"
    half = gz.load_model(folder, discriminator=False)
    with pytest.raises(gz.UsageError, match="holds the discriminator that small was loaded without"):
        half.save(folder)
    assert not (half.save(tmp_path / "half") / "discriminator.safetensors").exists()
    gan.save(folder, max_shard_size=1000)
    assert not (folder / "discriminator.safetensors").exists()
    with pytest.raises(gz.UsageError, match="holds the discriminator"):
        gz.load_model(folder, discriminator=False).save(folder)  # type: ignore[call-arg]
    (folder / "README.md").write_text("# mine\n", encoding="utf-16")
    with pytest.raises(gz.UsageError, match="can't be read as UTF-8 text, and would be lost"):
        gan.save(folder)
    gan.about["training"] = {"curve": ["0.123456789"] * 100_000}
    with pytest.raises(gz.WeightsError, match=r"the config has .* bytes, the limit is 1,048,576"):
        gan.save(tmp_path / "large")
    assert not (tmp_path / "large").exists()


def test_seeds_beyond_what_a_generator_sees_are_refused(gan: gz.GAN) -> None:
    for seeds in ([-1], [1 << 32], [1 << 64]):
        with pytest.raises(gz.UsageError, match="a seed must be from 0 to 4,294,967,295"):
            gan.generate(seeds=seeds)


def test_a_run_or_another_librarys_model_is_not_saved_over(gan: gz.GAN, tmp_path: Path) -> None:
    for text in ('{"verb": "train", "recipe": {}}', '{"model_type": "bert"}', "no json"):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(gz.UsageError, match="is not of a model of this library"):
            gan.save(tmp_path)
        assert (tmp_path / "config.json").read_text() == text and len(list(tmp_path.iterdir())) == 1


def test_arguments_that_no_folder_can_hold_are_refused_before_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from gantl_zoo.networks.dcgan import generator

    def noted(*, image_size: int = 28, note: Any = "", width: int = 4) -> Any:
        return generator(image_size=image_size, width=width)

    monkeypatch.setattr(gz.generators, "_own", dict(gz.generators._own))
    gz.generators.register("noted", noted)
    text = {"note": "two words, and a comma"}
    made = gz.build_gan("noted", generator_config=text, discriminator_config={"width": 4})
    assert made.config()["generator"]["config"]["note"] == text["note"]
    for note, said in ((10**6, "1e.06"), ("../x", "not look like a path"), ({1, 2}, "not valid in JSON")):
        with pytest.raises(gz.UsageError, match=f"generator 'noted' could not be saved, .*{said}"):
            gz.build_gan("noted", generator_config={"note": note}, discriminator_config={"width": 4})


def test_a_discriminator_for_other_images_is_refused_before_training() -> None:
    for name, size in (("dcgan", 56), ("resnet", 16)):
        with pytest.raises(
            gz.UsageError, match=rf"is for images \(1, {size}, {size}\) .*makes \(1, 28, 28\)"
        ):
            gz.build_gan("dcgan", name, discriminator_config={"image_size": size})


def test_seeds_are_said_in_one_way(gan: gz.GAN) -> None:
    for settings in ({"n": 4}, {"seed": 0}, {"n": 1, "seed": 2}):
        with pytest.raises(gz.UsageError, match="n and seed, or seeds, and not both"):
            gan.generate(seeds=[1], **settings)  # type: ignore[arg-type]
    assert torch.equal(gan.generate(), gan.generate(1, seed=0))


def test_a_classifier_sees_images_wherever_it_is() -> None:
    model = gz.load_model("cnn-mnist")
    model.backbone.to(torch.device("meta"))
    with pytest.raises(
        NotImplementedError, match="out of meta tensor"
    ):  # the images went there, and came back
        model(torch.zeros(1, 1, 28, 28))
