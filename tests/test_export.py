"""Export to ONNX and torch.export: parity with torch, content of the files, errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from helpers import run, sized
from torch import Tensor, nn

import gantl_zoo as gz
from gantl_zoo.export import parity, session
from gantl_zoo.export.export import runs
from gantl_zoo.export.graph import Graph
from gantl_zoo.export.onnx_file import OPSET, model_of

FEW = 6  # seeds of the check, in the place of 64


@pytest.fixture(autouse=True)
def few_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parity, "SEEDS", FEW)
    monkeypatch.setattr(parity, "BATCHES", {1: 1.0, 4: 0.7})


def lively(gan: gz.GAN) -> gz.GAN:
    """The GAN with larger weights, so that images of different latents are far apart."""
    gan.generator.requires_grad_(False)
    if hasattr(gan.generator, "truncate"):
        gan.generator.mapping.w_avg.normal_()
    for _ in range(30):
        images = gan.generate(2, labels=0 if gan.num_classes else None)
        if (images[0] - images[1]).abs().mean() > 0.02:
            break
        for weight in gan.generator.parameters():
            if weight.ndim > 1:
                weight *= 1.2
    else:
        raise AssertionError("all images are alike")
    return gan


def small_stylegan2(**config: Any) -> gz.GAN:
    config = sized("generators", "stylegan2", image_size=8, latent_dim=12, **config)
    return lively(gz.build_gan("stylegan2", generator_config=config, name="styles"))


def variants() -> list[tuple[str, int]]:
    """Every registered generator, and a class-conditional one of each family that has classes."""
    names = gz.generators.names()
    assert {"dcgan", "stylegan2", "resize-conv"} <= set(names)
    conditional = [name for name in names if "num_classes" in gz.generators.takes(name)[0]]
    return [(name, 0) for name in names] + [(name, 3) for name in conditional if name != "grown"]


@pytest.mark.parametrize(("name", "classes"), variants())
def test_every_generator_exports(name: str, classes: int, tmp_path: Path) -> None:
    config = sized("generators", name, **({"num_classes": classes} if classes else {}))
    config |= {"image_size": 16} if name == "stylegan2" else {}  # a shorter trace
    gan = lively(gz.build_gan(name, generator_config=config, name="any"))
    made = gan.export(tmp_path)
    assert made.files == (tmp_path / "any.onnx",) and 0 <= made.difference <= made.tolerance
    assert made.tolerance == (1e-4 if gan.has_mapping else 1e-5)
    ours = gz.runtime(made.file, threads=1)
    assert isinstance(ours, gz.OnnxGAN) and ours.has_mapping == gan.has_mapping
    assert ours.num_classes == classes and ours.image_shape == gan.image_shape
    for settings in ({"truncation": 0.6}, {"labels": 2 if classes else None}):
        expected = gan.generate(5, seed=90, **settings).numpy()  # type: ignore[arg-type]
        assert np.abs(ours.generate(5, seed=90, **settings) - expected).max() < 1e-4  # type: ignore[arg-type]


def test_one_file_has_weights_and_metadata(gan: gz.GAN, tmp_path: Path) -> None:
    gan.about |= {"license": "mit", "lineage": {"seed": 3, "data": {"name": "digits"}}}
    file = gan.export(tmp_path).file
    assert [path.name for path in tmp_path.iterdir()] == ["small.onnx"]
    model = onnx.load(file, load_external_data=False)
    onnx.checker.check_model(model, full_check=True)
    assert [(one.domain, one.version) for one in model.opset_import] == [("", OPSET)]
    assert model.producer_name == "gantl_zoo" and model.graph.name == "small"
    shown = {one.key: one.value for one in model.metadata_props}
    assert shown["license"] == "mit" and json.loads(shown["lineage"])["data"] == {"name": "digits"}
    facts = json.loads(shown["gantl_zoo"])
    assert facts["hash"] == shown["hash"] and len(facts["hash"]) == 16 and facts["opset"] == OPSET
    assert {one.name: one.type.tensor_type.elem_type for one in model.graph.input} == {"latents": 1}
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert str(Path(__file__).parent.parent).encode() not in file.read_bytes()


def test_the_runtime_has_the_methods_of_a_gan(gan: gz.GAN, tmp_path: Path) -> None:
    lively(gan)
    ours = gz.runtime(gan.export(tmp_path).file)
    assert isinstance(ours, gz.OnnxGAN) and "OnnxGAN('small': 1×28×28, latent 8" in repr(ours)
    every = ours.generate(40, seed=3)
    assert every.dtype == np.float32 and np.abs(every - gan.generate(40, seed=3).numpy()).max() < 1e-4
    assert (ours.generate(1, seed=30) == every[27:28]).all()  # whatever the others are
    assert (ours.generate(seeds=[30, 3]) == every[[27, 0]]).all()
    assert np.abs(ours.generate(40, seed=3, batch_size=7) - every).max() < 1e-5
    images = ours.sample(3, seed=5)
    assert images.seeds == (5, 6, 7) and (images.array == every[2:5]).all()
    images.save(tmp_path / "grid.png")
    latents = np.zeros((2, 8))
    assert np.abs(ours.decode(latents) - gan.decode(torch.zeros(2, 8)).numpy()).max() < 1e-5
    assert [len(part) for part in ours.stream(300)] == [256, 44]


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"n": -1}, "n and seed >= 0"),
        ({"labels": 1}, "unconditional"),
        ({"truncation": 0}, "truncation must be a finite number > 0"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"seeds": [1.5]}, "a seed must be a whole number"),
    ],
)
def test_the_runtime_checks_what_it_is_given(
    gan: gz.GAN, settings: dict[str, Any], text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.getbasetemp() / "checked" / "small.onnx"
    ours = gz.runtime(file if file.exists() else gan.export(file.parent).file)
    with pytest.raises(gz.UsageError, match=text):
        ours.generate(**settings)  # type: ignore[union-attr]
    with pytest.raises(gz.UsageError, match=r"needs latents \(N, 8\), not an array \(2, 3\)"):
        ours.decode(np.zeros((2, 3)))  # type: ignore[union-attr]


def test_a_mapping_network_can_be_a_file_of_its_own(tmp_path: Path) -> None:
    gan = small_stylegan2()
    made = gan.export(tmp_path, split=True)
    assert [file.name for file in made.files] == [
        "styles.onnx",
        "styles-mapping.onnx",
        "styles-synthesis.onnx",
    ]
    whole, mapping, synthesis = (session.Session(file) for file in made.files)
    latents = np.random.default_rng(0).normal(size=(3, 12)).astype(np.float32)
    psi = np.array(0.5, np.float32)
    inner = mapping({"latents": latents})
    assert np.abs(inner - gan.map(torch.from_numpy(latents)).numpy()).max() < 1e-4
    images = synthesis({"intermediate_latents": inner, "truncation": psi})
    assert np.abs(images - whole({"latents": latents, "truncation": psi})).max() < 1e-4
    with pytest.raises(gz.UsageError, match="half of a generator; give the file of the whole"):
        gz.runtime(made.files[1])


def test_truncation_zero_gives_one_image(tmp_path: Path) -> None:
    ours = gz.runtime(small_stylegan2().export(tmp_path).file)
    assert isinstance(ours, gz.OnnxGAN)
    images = ours.generate(2, truncation=0)
    assert np.abs(images[0] - images[1]).max() < 1e-5 < np.abs(np.diff(ours.generate(2), axis=0)).max()


@pytest.mark.parametrize(("kind", "share", "far"), [("fp16", 0.5, 1e-2), ("int8", 0.25, 0.2)])
def test_smaller_weights_with_their_distance(kind: str, share: float, far: float, tmp_path: Path) -> None:
    gan = lively(gz.build_gan("dcgan", generator_config={"width": 16}, name="one"))
    original, made = gan.export(tmp_path), gan.export(tmp_path, quantize=kind)
    assert made.file.name == f"one-{kind}.onnx"
    assert made.file.stat().st_size < (share + 0.05) * original.file.stat().st_size
    ours = gz.runtime(made.file)
    assert isinstance(ours, gz.OnnxGAN) and kind in repr(ours)
    off = np.abs(ours.generate(FEW) - gan.generate(FEW).numpy())
    assert made.distance["largest"] == pytest.approx(off.max(), abs=1e-4) and 0 < off.max() < far
    assert made.distance["mean"] == pytest.approx(off.mean(), abs=1e-5)
    assert ours.metadata["distance"] == made.distance and f"as {kind} by" in str(made)


def test_torch_export_needs_none_of_our_code(gan: gz.GAN, tmp_path: Path) -> None:
    made = lively(gan).export(tmp_path, format="torch-export")
    assert made.file.name == "small.pt2" and made.opset is None
    extra = {"gantl_zoo": ""}
    program = torch.export.load(made.file, extra_files=extra).module()
    noise = torch.randn(7, 8)
    torch.testing.assert_close(program(noise), gan.decode(noise, batch_size=7), atol=1e-6, rtol=0)
    assert json.loads(extra["gantl_zoo"])["name"] == "small"


def test_a_classifier_exports(tmp_path: Path) -> None:
    model = gz.load_model("cnn-mnist")
    ours = gz.runtime(model.export(tmp_path).file)
    assert isinstance(ours, gz.OnnxClassifier) and ours.classes == model.classes
    images = torch.rand(5, 1, 28, 28) * 2 - 1
    logits = model(images).numpy()  # type: ignore[operator]
    assert np.abs(ours(images.numpy()) - logits).max() < 1e-4 * np.abs(logits).max()
    with pytest.raises(gz.UsageError, match=r"needs images \(N, 1, 28, 28\)"):
        ours(images[:, :, 1:].numpy())
    fresh = gz.build_classifier("cnn", name="fresh")
    with pytest.raises(gz.UsageError, match=r"does not state the size.*--image-size"):
        fresh.export(tmp_path)
    assert fresh.export(tmp_path, image_size=20).file.name == "fresh.onnx"


class Broken(nn.Module):
    """A generator with one linear layer, and something that no file can hold."""

    latent_dim, image_shape, num_classes = 8, (1, 4, 4), 0

    def __init__(self, how: str) -> None:
        super().__init__()
        self.layer, self.how = nn.Linear(8, 16), how

    @property
    def blocks(self) -> list[nn.Module]:
        return [self.layer]

    def forward(self, noise: Tensor) -> Tensor:
        values = self.layer(noise)
        if self.how == "random":
            values = values + torch.randn_like(values)
        elif self.how == "branch" and values.sum() > 0:
            values = -values
        return values.view(-1, 1, 4, 4)


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ("random", "the generator in ONNX differs from torch by .*nothing was written. A network that draws"),
        ("branch", "the generator can't be exported to ONNX: .*data-dependent"),
    ],
)
def test_a_network_that_cant_be_exported_is_explained(how: str, text: str, tmp_path: Path) -> None:
    broken = gz.GAN(Broken(how).eval(), None, {"generator": {"name": "dcgan", "config": {}}})
    with pytest.raises(gz.ExportError, match=text) as caught:
        broken.export(tmp_path / "new")
    assert "\n" not in str(caught.value) and not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"format": "onx"}, "unknown format 'onx'; did you mean onnx"),
        ({"quantize": "int4"}, "unknown quantization 'int4'; did you mean int8"),
        ({"quantize": "int8", "format": "torch-export"}, "quantize is for the format onnx"),
        ({"split": True}, "small has no mapping network"),
        ({"image_size": 32}, "small is a GAN"),
    ],
)
def test_wrong_settings_are_explained(
    gan: gz.GAN, settings: dict[str, Any], text: str, tmp_path: Path
) -> None:
    with pytest.raises(gz.UsageError, match=text):
        gan.export(tmp_path / "new", **settings)
    assert not (tmp_path / "new").exists()


def test_a_place_that_is_taken_is_explained(gan: gz.GAN, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(gz.UsageError, match="is a file; --to is the folder"):
        gan.export(tmp_path / "file")
    (tmp_path / "small.onnx").mkdir()
    with pytest.raises(gz.UsageError, match="is a folder and would be in the way"):
        gan.export(tmp_path)


def test_all_files_are_written_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gan = small_stylegan2()
    write = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        if len(list(path.parent.iterdir())) > 1:
            raise OSError(28, "No space left on device")
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(gz.ExportError, match=r"can't write .*No space left"):
        gan.export(tmp_path / "new", split=True)
    assert not list((tmp_path / "new").iterdir())


def changed(file: Path, **facts: Any) -> Path:
    """A copy of a file with other metadata."""
    model = onnx.load(file)
    (entry,) = [one for one in model.metadata_props if one.key == "gantl_zoo"]
    entry.value = facts.pop("text", None) or json.dumps(json.loads(entry.value) | facts)
    onnx.save(model, file.with_name("changed.onnx"))
    return file.with_name("changed.onnx")


def test_other_files_are_explained(gan: gz.GAN, tmp_path: Path) -> None:
    file = gan.export(tmp_path).file
    cases: list[tuple[dict[str, Any], str]] = [
        ({"text": "{"}, "is not valid JSON"),
        ({"text": "[]"}, "is not an object"),
        ({"layout": 2}, "has the layout '2', but this version reads 1"),
        ({"part": "x"}, "has a 'part'"),
        ({"image": [1, 2]}, "has an 'image'"),
        ({"image": [1, 2, 10**9]}, "has an 'image'"),
        ({"image": [1, 2, 2]}, "inputs or outputs are not those"),
        ({"latent_dim": 3}, "inputs or outputs are not those"),
        ({"classes": ["a", "b"]}, "inputs or outputs are not those"),
        ({"classes": 3}, "has 'classes'"),
        ({"name": "a\nb"}, "has a 'name'"),
    ]
    for facts, text in cases:
        with pytest.raises(gz.ExportError, match=text):
            gz.runtime(changed(file, **facts))
    model = onnx.load(file)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "plain.onnx")
    with pytest.raises(gz.ExportError, match="is not a file of gantl-zoo export"):
        gz.runtime(tmp_path / "plain.onnx")
    (tmp_path / "text.onnx").write_text("not a model")
    with pytest.raises(gz.ExportError, match="is not an ONNX file that onnxruntime can run"):
        gz.runtime(tmp_path / "text.onnx")
    with pytest.raises(gz.UnknownNameError, match="there is no file"):
        gz.runtime(tmp_path / "none.onnx")
    with pytest.raises(gz.UsageError, match="unknown device for an ONNX file 'tpu'; did you mean cpu"):
        gz.runtime(file, device="tpu")


def test_export_changes_nothing_of_the_model(gan: gz.GAN, tmp_path: Path) -> None:
    gan.generator.train().half()
    before = {name: tensor.clone() for name, tensor in gan.generator.state_dict().items()}
    gan.export(tmp_path)
    assert gan.generator.training and gan.dtype == torch.float16
    assert all(torch.equal(before[name], one) for name, one in gan.generator.state_dict().items())
    inputs = onnxruntime.InferenceSession(tmp_path / "small.onnx").get_inputs()
    assert inputs[0].type == "tensor(float)"


def test_the_verb_prints_the_files(gan: gz.GAN, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = gan.save(tmp_path / "model")
    code, out, err = run(capsys, "export", folder, "--to", tmp_path / "new", "--quantize", "fp16")
    assert code == 0 and out == f"{tmp_path / 'new' / 'small-fp16.onnx'}\n"
    assert err.startswith(f"onnx, opset {OPSET}: differs from torch by") and "as fp16 by" in err


def test_antialiased_resampling_is_torchs() -> None:
    class Smaller(nn.Module):
        def forward(self, *inputs: Tensor) -> Tensor:
            return nn.functional.interpolate(inputs[0], size=(11, 9), mode="bilinear", antialias=True)

    part = Graph("generator", Smaller().eval(), ("images",), "smaller", {"image": [3, 28, 20]})
    assert parity.check(part, runs(model_of(part)), "ONNX") < 1e-6


def test_a_small_number_in_a_norm_stays() -> None:
    class Norm(nn.Module):
        def forward(self, *inputs: Tensor) -> Tensor:
            values = inputs[0] * 0
            return values * torch.rsqrt(values.square().mean(1, keepdim=True) + 1e-8)

    part = Graph("generator", Norm().eval(), ("images",), "normal", {"image": [3, 2, 2]})
    assert parity.check(part, runs(model_of(part)), "ONNX") == 0


class Cancels(nn.Module):
    """Adds and subtracts a large number: half of the digits are lost in float32, none in float64."""

    def forward(self, *inputs: Tensor) -> Tensor:
        return (inputs[0] + 1e4) - 1e4


class OnlyFloat32(nn.Module):
    """Multiplies with a matrix in float32, which takes no other type."""

    def forward(self, *inputs: Tensor) -> Tensor:
        return inputs[0] @ torch.eye(2)


def test_the_reference_is_torch_in_float64_if_the_network_can_compute_in_it() -> None:
    part = Graph("generator", Cancels(), ("images",), "same", {"image": [1, 2, 2]})
    assert parity.check(part, lambda inputs: inputs["images"], "ONNX") < 1e-8
    part = Graph("generator", OnlyFloat32(), ("images",), "same", {"image": [1, 2, 2]})
    assert parity.check(part, lambda inputs: inputs["images"], "ONNX") == 0


def test_nan_is_a_difference() -> None:
    part = Graph("generator", nn.Identity(), ("images",), "same", {"image": [1, 2, 2]})
    assert parity.check(part, lambda inputs: inputs["images"], "ONNX") == 0
    with pytest.raises(gz.ExportError, match="differs from torch by inf"):
        parity.check(part, lambda inputs: inputs["images"] * float("nan"), "ONNX")
