"""Where pretrained weights of timm's models are found, and what is said if they aren't."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import save_file
from torch import nn

import gantl_zoo as gz
from gantl_zoo.networks import pretrained
from gantl_zoo.runs.classify_run import base_of

NAME, TAG = "test_resnet", "r160_in1k"
FULL = f"{NAME}.{TAG}"


@pytest.fixture
def network() -> nn.Module:
    """A network whose weights are those to be found; the running statistics are not the initial ones."""
    torch.manual_seed(3)
    found: nn.Module = timm.create_model(NAME)
    for module in found.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean)  # type: ignore[arg-type]
    return found.eval()


@pytest.fixture
def file(network: nn.Module, tmp_path: Path) -> Path:
    save_file(network.state_dict(), tmp_path / "kept.safetensors")
    return tmp_path / "kept.safetensors"


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


@pytest.fixture
def registered() -> Iterator[None]:
    before = dict(gz.weights._own)
    yield
    gz.weights._own.clear()
    gz.weights._own.update(before)


def same(network: nn.Module, name: str = f"timm:{NAME}", classes: int = 1000) -> bool:
    """Whether the backbone of that name has the weights of `network`; its head too, for 1,000 classes."""
    found = gz.backbones.build(name, num_classes=classes).network.state_dict()
    kept = {key: value for key, value in network.state_dict().items() if classes == 1000 or "fc." not in key}
    assert set(found) == set(network.state_dict())
    return all(torch.equal(found[key], value) for key, value in kept.items())


@pytest.mark.usefixtures("registered")
def test_registered_weights_are_found_by_every_spelling(network: nn.Module, file: Path) -> None:
    gz.weights.register(FULL, lambda: file)
    for name in (NAME, FULL, f"timm/{FULL}", f"hf-hub:timm/{FULL}"):
        assert same(network, f"timm:{name}"), name
    for name in (f"timm/{FULL}", f"hf-hub:timm/{FULL}", f"hf_hub:timm/{NAME}"):
        assert same(network, name, classes=7), name
        assert pretrained.find(name, "x").source.startswith(f"timm:{NAME}")
        assert base_of(name, 3).model.parts["backbone"]["name"].startswith(f"timm:{NAME}")
    grey = gz.backbones.build(f"timm:{FULL}", channels=1).network
    assert torch.allclose(grey.conv1[0].weight, network.conv1[0].weight.sum(1, keepdim=True), atol=1e-6)  # type: ignore[index, union-attr]


@pytest.mark.usefixtures("registered")
def test_weights_of_another_tag_may_want_another_interpolation(file: Path, tmp_path: Path) -> None:
    gz.weights.register(f"{NAME}.tv_in1k", lambda: {"file": file, "interpolation": "bicubic"})
    with pytest.raises(
        gz.WeightsError, match=rf"\(but timm:{NAME}.tv_in1k\), GANTL_ZOO_WEIGHTS_DIR is not set"
    ):
        gz.backbones.build(f"timm:{NAME}")
    model = gz.build_classifier(f"timm:{NAME}.tv_in1k", {"num_classes": 1000})
    assert model.backbone.interpolation == "bicubic"
    assert gz.backbones.build(f"timm:{NAME}", pretrained=False).interpolation == "bilinear"
    folder = model.save(tmp_path / "model")
    gz.weights._own.clear()  # without the package, the folder is complete all the same
    again = gz.load_model(folder)
    assert isinstance(again, gz.Classifier) and again.backbone.interpolation == "bicubic"
    images = torch.rand(1, 3, 32, 32)
    assert torch.equal(again(images), model(images))


@pytest.mark.parametrize("kept", [f"{NAME}.safetensors", f"{FULL}.safetensors"])
def test_weights_in_a_folder(
    network: nn.Module, file: Path, kept: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GANTL_ZOO_WEIGHTS_DIR", str(tmp_path))
    file.rename(tmp_path / kept)
    assert same(network) and same(network, f"timm:{FULL}", classes=3)
    with pytest.raises(gz.WeightsError, match=rf"{tmp_path} has no {NAME}.tv_in1k.safetensors"):
        gz.backbones.build(f"timm:{NAME}.tv_in1k")


def test_the_weights_of_a_saved_model_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = gz.build_classifier(f"timm:{NAME}", {"pretrained": False, "num_classes": 1000})
    model.save(tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").rename(tmp_path / f"{NAME}.safetensors")
    monkeypatch.setenv("GANTL_ZOO_WEIGHTS_DIR", str(tmp_path))
    assert same(model.backbone.network)


def test_weights_in_the_hubs_cache(network: nn.Module, file: Path, empty_cache: Path) -> None:
    place = empty_cache / f"models--timm--{FULL}"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text("abc")
    (place / "snapshots" / "abc").mkdir(parents=True)
    file.rename(place / "snapshots" / "abc" / "model.safetensors")
    assert same(network) and same(network, f"timm:{FULL}")


def test_the_places_that_were_tried_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(gz.WeightsError) as caught:
        gz.backbones.build(f"timm:{NAME}")
    assert str(caught.value) == (
        "the pretrained weights of timm:test_resnet can't be loaded: no installed package has them, "
        "GANTL_ZOO_WEIGHTS_DIR is not set, the Hub's cache does not have them, HF_HUB_OFFLINE is set; "
        "connect once to download them, put test_resnet.safetensors into a folder that "
        "GANTL_ZOO_WEIGHTS_DIR names, or pass pretrained=False for random weights"
    )
    monkeypatch.setenv("GANTL_ZOO_WEIGHTS_DIR", str(tmp_path / "none"))
    with pytest.raises(gz.WeightsError, match=r"GANTL_ZOO_WEIGHTS_DIR is .*none, which is not a folder"):
        gz.backbones.build(f"timm:{NAME}")


def test_offline_means_that_no_other_address_is_tried() -> None:
    url_only = timm.models.PretrainedCfg(url="https://example.com/x.pth", architecture=NAME)
    from gantl_zoo.networks.weights import downloaded

    with pytest.raises(gz.WeightsError, match="tried, HF_HUB_OFFLINE is set; connect once"):
        downloaded(NAME, 3, url_only, ["tried"])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x80\x02}q", "kept.safetensors"),
        (b"", "kept.safetensors"),
        (None, "is of another architecture"),
        (b"truncated", "kept.safetensors"),
    ],
)
@pytest.mark.parametrize("classes", [10, 1000])
@pytest.mark.usefixtures("registered")
def test_a_wrong_file_is_one_line_and_not_random_weights(
    file: Path, content: bytes | None, said: str, classes: int
) -> None:
    if content is None:
        save_file(timm.create_model("test_efficientnet").state_dict(), file)
    else:
        file.write_bytes(file.read_bytes()[:5000] if content == b"truncated" else content)
    gz.weights.register(FULL, lambda: file)
    with pytest.raises(gz.WeightsError, match=rf"timm:{NAME} can't be loaded: .*{said}") as caught:
        gz.backbones.build(f"timm:{NAME}", num_classes=classes)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("found", [7, {}, {"file": "x", "mean": 0.5}])
def test_a_provider_that_gives_something_else_is_named(found: object) -> None:
    gz.weights.register(FULL, lambda: found)
    with pytest.raises(gz.PluginError, match=rf"weights '{FULL}' must be the path of a file, or a dict with"):
        gz.backbones.build(f"timm:{NAME}")
