"""Loading and sharing in the Hub's words: `from_pretrained`, `push_to_hub`, options of `load_model`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from loopback_hub import LoopbackHub

import gantl_zoo as gz
from gantl_zoo.model import remote
from gantl_zoo.registry.imports import resolve


def test_from_pretrained_is_load_model_of_one_kind() -> None:
    gan = gz.GAN.from_pretrained("dcgan-mnist", discriminator=False, dtype="bfloat16")
    assert isinstance(gan, gz.GAN) and gan.discriminator is None and gan.dtype is torch.bfloat16
    usual = gz.load_model("dcgan-mnist", dtype=torch.bfloat16)
    assert torch.equal(gan.generate(2), usual.generate(2))
    assert isinstance(gz.Classifier.from_pretrained("cnn-mnist", device="cpu"), gz.Classifier)
    with pytest.raises(gz.UsageError, match=r"^cnn-mnist is a Classifier, not a GAN; load it with C"):
        gz.GAN.from_pretrained("cnn-mnist")
    with pytest.raises(gz.UsageError, match=r"^dcgan-mnist is a GAN, not a Classifier"):
        gz.Classifier.from_pretrained("dcgan-mnist")


def test_from_pretrained_works_from_its_own_module() -> None:
    code = "from gantl_zoo.model.gan import GAN; assert GAN.from_pretrained('dcgan-mnist').sample(1)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_references_to_the_floors_above_are_those_functions() -> None:
    from gantl_zoo import zoo

    assert resolve(remote.LOAD) is zoo.load_kind and resolve(remote.PUSH) is gz.push


def test_a_model_is_saved_and_pushed_in_the_hubs_words(hub: LoopbackHub, gan: gz.GAN, tmp_path: Path) -> None:
    folder = gan.save_pretrained(tmp_path / "mine", dtype="float16")
    assert json.loads((folder / "config.json").read_text())["dtype"] == "float16"
    with pytest.raises(gz.UsageError, match="does not state a licence"):
        gan.push_to_hub("me/mine")
    done = gan.push_to_hub("me/mine", license="mit", private=True)
    assert hub.repos["me/mine"].private and "generator.safetensors" in done.changed
    assert gz.push(gan, "me/mine", license="mit").changed == (), "it is the same function"
    assert torch.equal(gz.GAN.from_pretrained("me/mine").generate(2), gan.generate(2))
    assert gan.push_to_hub("me/mine", license="mit", dry_run=True).commit == ""


def test_another_kind_is_refused_before_its_weights_are_fetched(hub: LoopbackHub) -> None:
    gz.push("cnn-mnist", "me/eyes")
    hub.requests.clear()
    with pytest.raises(gz.UsageError, match=r"^me/eyes is a Classifier, not a GAN"):
        gz.GAN.from_pretrained("me/eyes")
    assert not [request for request in hub.requests if "safetensors" in request]


@pytest.mark.usefixtures("pushed")
def test_a_revision_is_named_in_either_place(hub: LoopbackHub) -> None:
    commit = hub.repos["me/my-gan"].refs["main"]
    for name, revision in (("me/my-gan", commit), (f"me/my-gan@{commit}", commit), ("me/my-gan", "main")):
        assert gz.load_model(name, revision=revision).about["hub"]["revision"] == commit
    with pytest.raises(gz.UsageError, match=r"me/my-gan@main and revision='v1' are two revisions"):
        gz.load_model("me/my-gan@main", revision="v1")
    with pytest.raises(gz.HubError, match="no branch, tag or commit 'v9'"):
        gz.load_model("me/my-gan", revision="v9")
    for wrong in ("", "a b", 3):
        with pytest.raises(gz.UsageError, match="a revision is a branch, a tag or a commit"):
            gz.load_model("me/my-gan", revision=wrong)  # type: ignore[arg-type]


def test_a_revision_of_anything_else_is_refused(gan: gz.GAN, tmp_path: Path) -> None:
    folder = gan.save(tmp_path / "mine")
    for name, what in ((folder, "a folder"), ("dcgan-mnist", "not a repository on the Hub")):
        with pytest.raises(gz.UsageError, match=f"revision='v1' has no meaning for .*{what}"):
            gz.load_model(name, revision="v1")
    gz.load_model(folder, token=False, cache_dir=tmp_path / "none", local_files_only=True)
    assert not (tmp_path / "none").exists()


@pytest.mark.usefixtures("pushed")
def test_the_cache_may_lie_elsewhere_and_be_all_there_is(hub: LoopbackHub, tmp_path: Path) -> None:
    place = tmp_path / "elsewhere"
    with pytest.raises(gz.HubError, match="local_files_only is set and it is not in the cache"):
        gz.load_model("me/my-gan", cache_dir=place, local_files_only=True)
    assert not hub.requests, "nothing was sent"
    first = gz.load_model("me/my-gan", cache_dir=place)
    assert first.folder is not None and first.folder.is_relative_to(place)
    hub.requests.clear()
    again = gz.load_model("me/my-gan", cache_dir=str(place), local_files_only=True)
    assert not hub.requests and torch.equal(again.generate(1), first.generate(1))  # type: ignore[union-attr]
    with pytest.raises(gz.HubError, match="not in the cache"):
        gz.load_model("me/my-gan", local_files_only=True)


def test_a_token_is_used_and_never_shown(
    hub: LoopbackHub, gan: gz.GAN, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_TOKEN", "")
    gan.license = "mit"
    with pytest.raises(gz.HubError):
        gan.push_to_hub("me/hidden", private=True)
    gan.push_to_hub("me/hidden", private=True, token="hf_goodToken")
    with pytest.raises(gz.HubError, match="you are not logged in"):
        gz.load_model("me/hidden")
    assert gz.load_model("me/hidden", token="hf_goodToken").name == "small"
    assert [row.name for row in gz.search_hub("hid", token="hf_goodToken")] == ["me/hidden"]
    assert gz.search_hub("hid") == []
    assert gz.pull("me/hidden", token="hf_goodToken", to=tmp_path / "here").repo == "me/hidden"
    monkeypatch.setenv("HF_TOKEN", "hf_goodToken")
    elsewhere: dict[str, Any] = {"cache_dir": tmp_path / "new"}
    with pytest.raises(gz.HubError, match="you are not logged in"):
        gz.load_model("me/hidden", token=False, **elsewhere)
    with pytest.raises(gz.HubError) as caught:
        gz.load_model("me/hidden", token="hf_wrongToken", **elsewhere)
    assert "hf_wrongToken" not in str(caught.value)


@pytest.mark.usefixtures("pushed")
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"device": "gpu"}, "unknown device 'gpu'"),
        ({"device": []}, r"unknown device '\[\]'"),
        ({"device": "meta"}, "device 'meta' stores shapes without values"),
        ({"device": "hpu"}, "device 'hpu' can't be used here"),
        ({"dtype": "int8"}, "unknown dtype 'int8'; there are: float32, float16, bfloat16, float64"),
        ({"dtype": torch.int64}, "unknown dtype 'int64'"),
        ({"dtype": 16}, "unknown dtype '16'"),
    ],
)
def test_a_wrong_place_is_refused_before_anything_is_fetched(
    hub: LoopbackHub, settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(gz.UsageError, match=said):
        gz.load_model("me/my-gan", **settings)
    assert not hub.requests


def test_rows_of_a_search_are_data(hub: LoopbackHub) -> None:
    gz.push("cnn-mnist", "me/eyes")
    (row,) = gz.search_hub("eyes")
    assert isinstance(row, gz.HubModel) and (row.name, row.license) == ("me/eyes", "mit")
    assert row.task == "image-classification"
    assert json.loads(json.dumps(row.to_dict())) == row.to_dict()
    assert row.to_dict()["metrics"] == {"accuracy, 10,000 test images of mnist": 0.9965}
    with pytest.raises(AttributeError):
        row.name = "other"  # type: ignore[misc]
