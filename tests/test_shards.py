"""Networks in several files: written, read, and refused when they don't belong together."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import SMALL
from safetensors.torch import load_file, save_file

import gantl_zoo as gz
from gantl_zoo.storage.folder import sha256
from gantl_zoo.storage.schema import read_config

INDEX = "generator.safetensors.index.json"
FIRST = "generator-00001-of-00003.safetensors"


@pytest.fixture
def folder(gan: gz.GAN, tmp_path: Path) -> Path:
    """The small GAN's generator in three files, its discriminator in two."""
    return gan.save(tmp_path / "model", max_shard_size="11KB")


def unpinned(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    del config["files"]
    (folder / "config.json").write_text(json.dumps(config))


def test_a_large_network_is_split_and_comes_back_equal_to_the_bit(gan: gz.GAN, folder: Path) -> None:
    names = sorted(path.name for path in folder.glob("generator*"))
    assert names == [
        *(f"generator-0000{i}-of-00003.safetensors" for i in (1, 2, 3)), INDEX
    ]  # fmt: skip
    index = json.loads((folder / INDEX).read_text())
    assert set(index["weight_map"]) == set(gan.generator.state_dict())
    assert index["metadata"] == {"total_size": sum(t.nbytes for t in gan.generator.state_dict().values())}
    assert set(read_config(folder)["files"]) == {p.name for p in folder.iterdir() if "safetensors" in p.name}
    again = gz.load_model(folder)
    assert isinstance(again, gz.GAN)
    assert torch.equal(again.generate(3), gan.generate(3))
    assert again.discriminator is not None
    for name, tensor in gan.discriminator.state_dict().items():
        assert torch.equal(tensor, again.discriminator.state_dict()[name])


def test_a_classifier_is_split_too(tmp_path: Path) -> None:
    model = gz.build_classifier("cnn", {"widths": [4, 8]})
    folder = model.save(tmp_path / "model", max_shard_size=2000)
    assert len(list(folder.glob("model-*-of-*.safetensors"))) > 1
    again = gz.load_model(folder)
    assert isinstance(again, gz.Classifier)
    images = torch.rand(2, 1, 28, 28)
    assert torch.equal(again(images), model(images))


def test_saving_over_another_layout_leaves_nothing_of_it(gan: gz.GAN, folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")
    for size, files in (("5GB", 1), (4000, 4), ("11KB", 4), ("5GB", 1)):
        gan.save(folder, max_shard_size=size)
        assert len(list(folder.glob("generator*"))) >= files and isinstance(gz.load_model(folder), gz.GAN)
        assert not (size == "5GB" and list(folder.glob("*-of-*"))) and (folder / "notes.txt").exists()
        assert (size == "5GB") != (folder / INDEX).exists()


@pytest.mark.parametrize("size", [0, -5, "many", "5 apples", None, 1.5j])
def test_a_size_without_meaning_is_explained(gan: gz.GAN, tmp_path: Path, size: Any) -> None:
    with pytest.raises(gz.UsageError, match="is not a valid size"):
        gan.save(tmp_path / "model", max_shard_size=size)
    assert list(tmp_path.iterdir()) == []


def test_a_network_in_shards_has_one_hash_which_a_changed_shard_ends(folder: Path, tmp_path: Path) -> None:
    found = sha256(folder / "generator.safetensors")
    assert len(found) == 64 and found != sha256(folder / FIRST)
    (folder / FIRST).write_bytes((folder / FIRST).read_bytes() + b" ")
    with pytest.raises(gz.WeightsError):
        sha256(folder / "generator.safetensors")


def to(file: Any) -> Callable[[dict[str, Any]], Any]:
    def move(index: dict[str, Any]) -> None:
        index["weight_map"]["blocks.0.linear.weight"] = file

    return move


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (to("../generator-00001-of-00003.safetensors"), "a shard is a file such as generator-00001-of-00002"),
        (to("/etc/passwd"), "to '/etc/passwd', but a shard is a file"),
        (to("C:\\generator-00001-of-00003.safetensors"), "a shard is a file such as"),
        (to("discriminator-00001-of-00002.safetensors"), "beside the index"),
        (to(5), "to '5', but a shard is a file"),
        (to("generator-00004-of-00003.safetensors"), "are not numbered without gaps"),
        (to("generator-00002-of-00003.safetensors"), "are not numbered without gaps"),
        (lambda i: i["weight_map"].pop("blocks.1.norm.bias"), "blocks.1.norm.bias is not listed for it in"),
        (lambda i: i["weight_map"].update(extra=FIRST), "tensor extra is missing from this file"),
        (lambda i: i["metadata"].update(total_size=5), "has a total_size of 5 bytes, but the shards have"),
        (lambda i: i.update(auto_map=1), "it must have 'metadata' and a 'weight_map' only"),
        (lambda i: i.update(weight_map={}), "is not a valid index of shards"),
        (lambda i: i.update(metadata=[]), "is not a valid index of shards"),
    ],
)  # fmt: skip
def test_an_index_that_lies_is_refused(folder: Path, edit: Any, said: str) -> None:
    index = json.loads((folder / INDEX).read_text())
    edit(index)
    (folder / INDEX).write_text(json.dumps(index))
    with pytest.raises(gz.WeightsError, match=said):
        gz.load_model(folder)


def test_shards_that_do_not_belong_together_are_refused(gan: gz.GAN, folder: Path, tmp_path: Path) -> None:
    unpinned(folder)
    whole = (folder / FIRST).read_bytes()
    tensors = load_file(folder / FIRST)
    save_file(tensors | {"extra": torch.zeros(1)}, folder / FIRST)
    with pytest.raises(gz.WeightsError, match="tensor extra is not listed for it in"):
        gz.load_model(folder)
    (folder / FIRST).unlink()
    with pytest.raises(gz.WeightsError, match=f"{FIRST} is missing: the model folder is incomplete"):
        gz.load_model(folder)
    (folder / FIRST).write_bytes(whole)
    other = gz.build_gan("dcgan", generator_config=SMALL).save(tmp_path / "other")
    shutil.copy(other / "generator.safetensors", folder)
    with pytest.raises(gz.WeightsError, match="both exist: delete the older one"):
        gz.load_model(folder)


def test_each_shard_is_pinned(folder: Path) -> None:
    changed = bytearray((folder / FIRST).read_bytes())
    changed[-1] ^= 1
    (folder / FIRST).write_bytes(changed)
    with pytest.raises(gz.WeightsError, match=f"{FIRST} does not match its SHA-256 in config.json"):
        gz.load_model(folder)
