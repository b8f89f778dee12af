"""A model in the hand: sampling, latent spaces, data about it, and lists of models by what they are."""

from __future__ import annotations

import base64
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import SMALL
from PIL import Image
from torch import Tensor, nn

import gantl_zoo as gz
from gantl_zoo import registry
from gantl_zoo.model.sampling import latents
from gantl_zoo.networks.mapping import MappedGenerator
from gantl_zoo.registry.plugins import Entry


class Mapped(nn.Module):
    """Noise (N, 4) to intermediate latents (N, 2, 3) to images (N, 1, 8, 8), conditioned on two classes."""

    latent_dim, image_shape, num_classes = 4, (1, 8, 8), 2

    def __init__(self) -> None:
        super().__init__()
        self.mapping, self.classes = nn.Linear(4, 6), nn.Embedding(2, 6)
        self.synthesis = nn.Linear(6, 64)
        self.mean: Tensor
        self.register_buffer("mean", torch.full((2, 3), 0.5))

    def map(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        assert labels is not None
        return (self.mapping(noise) + self.classes(labels)).view(-1, 2, 3)

    def truncate(self, latents: Tensor, psi: float) -> Tensor:
        return torch.lerp(self.mean, latents, psi)

    def synthesize(self, latents: Tensor) -> Tensor:
        return self.synthesis(latents.flatten(1)).tanh().view(-1, 1, 8, 8)

    def forward(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.synthesize(self.map(noise, labels))


@pytest.fixture
def mapped() -> gz.GAN:
    """A class-conditional GAN with an intermediate latent space."""
    return gz.GAN(Mapped().eval(), None, {"generator": {"name": "dcgan", "config": {}}}, name="mapped")


@pytest.fixture
def conditional() -> gz.GAN:
    """A small class-conditional DCGAN."""
    return gz.build_gan("dcgan", generator_config=SMALL | {"num_classes": 3}, name="three").to("cpu")


# ---- sampling


def test_sample_is_generate_as_pictures(gan: gz.GAN, conditional: gz.GAN) -> None:
    images = gan.sample(3, seed=5)
    assert isinstance(images, gz.Images) and torch.equal(images.tensor, gan.generate(3, seed=5))
    assert images.seeds == (5, 6, 7) and images.labels is None
    assert len(gan.sample()) == 1 and gan.sample(0).seeds == ()
    drawn = conditional.sample(8, truncation=0.5)
    assert torch.equal(drawn.tensor, conditional.generate(8, labels=drawn.labels, truncation=0.5))
    assert torch.equal(drawn.tensor, conditional.generate(8, truncation=0.5)) and len(set(drawn.labels)) > 1
    assert conditional.sample(2, labels=1).labels == (1, 1)
    with pytest.raises(gz.UsageError, match="takes no labels"):
        gan.sample(2, labels=1)


def sizes_of_calls(gan: gz.GAN, **settings: Any) -> tuple[list[int], Tensor]:
    sizes: list[int] = []
    hook = gan.generator.register_forward_hook(lambda module, inputs, output: sizes.append(len(output)))
    images = gan.generate(20, **settings)
    hook.remove()
    return sizes, images


def test_batch_size_is_that_of_the_calls(gan: gz.GAN) -> None:
    sizes, images = sizes_of_calls(gan)
    assert sizes == [16, 16]
    sizes, others = sizes_of_calls(gan, batch_size=9)
    assert sizes == [9, 9, 2]
    torch.testing.assert_close(images, others)
    assert gan.generate(0, batch_size=4).shape == (0, 1, 28, 28)
    for wrong, said in (
        (0, "at least 1, not 0"),
        (1.5, "must be a whole number"),
        (True, "must be a whole number"),
    ):
        with pytest.raises(gz.UsageError, match=f"batch_size.* {said}"):
            gan.generate(2, batch_size=wrong)  # type: ignore[arg-type]


def test_the_default_dtype_changes_no_image(gan: gz.GAN) -> None:
    usual = gan.generate(2)
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.equal(gan.generate(2), usual) and gan.generate(2).dtype == torch.float32
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["dcgan", "resnet"])
@pytest.mark.parametrize("classes", [0, 3])
def test_half_precision_works_on_a_cpu(name: str, classes: int, dtype: torch.dtype) -> None:
    config = {"width": 4, "latent_dim": 8, "image_size": 32, "num_classes": classes}
    gan = gz.build_gan(name, generator_config=config)
    usual = gan.generate(4)
    assert gan.to(dtype).dtype is dtype
    images = gan.generate(4)
    assert images.dtype == torch.float32, "pictures are float32 whatever the weights"
    torch.testing.assert_close(images, usual, atol=0.05, rtol=0.05)
    latents = gan.map(torch.zeros(2, 8), 1 if classes else None)
    made = gan.synthesize(latents, 1 if classes else None)
    assert made.dtype is dtype and made.device == gan.device, "synthesize gives the weights' own"
    assert len(gan.sample(2)) == 2


# ---- latent spaces


def test_synthesize_is_differentiable_and_what_generate_does(gan: gz.GAN) -> None:
    noise = latents([0, 1, 2], 8)
    gan.generator.train()
    before = {name: tensor.clone() for name, tensor in gan.generator.state_dict().items()}
    start = noise.clone().requires_grad_()
    images = gan.synthesize(start)
    torch.testing.assert_close(images, gan.generate(3))
    (gradient,) = torch.autograd.grad(images.square().sum(), start)
    assert gradient.abs().min() > 0 and gan.generator.training
    assert all(torch.equal(before[name], tensor) for name, tensor in gan.generator.state_dict().items())
    assert torch.equal(gan.map(noise), noise), "no intermediate space: the noise itself"
    assert torch.equal(gan.truncate(noise, 0.5), noise * 0.5)
    torch.testing.assert_close(gan.synthesize(gan.truncate(noise, 0.5)), gan.generate(3, truncation=0.5))
    for wrong in (torch.zeros(8), torch.zeros(2, 9)):
        with pytest.raises(gz.UsageError, match=r"needs latents \(N, 8\)"):
            gan.synthesize(wrong)
    with pytest.raises(gz.UsageError, match="psi must be a finite number, not 'nan'"):
        gan.truncate(noise, float("nan"))


def test_synthesize_takes_the_labels_of_a_conditional_model(conditional: gz.GAN) -> None:
    noise = latents([0, 1], 8)
    torch.testing.assert_close(conditional.synthesize(noise, 2), conditional.generate(2, labels=2))
    with pytest.raises(gz.UsageError, match=r"three has the 3 classes 0, 1, 2; 2 image.* not none"):
        conditional.synthesize(noise)
    with pytest.raises(gz.UsageError, match="there is no class 3"):
        conditional.synthesize(noise, [0, 3])


def test_a_generator_with_an_intermediate_space_is_asked(mapped: gz.GAN) -> None:
    network = mapped.generator
    assert isinstance(network, MappedGenerator)
    noise, labels = latents(range(20), 4), [i % 2 for i in range(20)]
    inner = mapped.map(noise, labels)
    assert inner.shape == (20, 2, 3) and inner.requires_grad
    with torch.no_grad():
        expected = network(noise, torch.tensor(labels))
        halfway = network.synthesize(network.truncate(network.map(noise, torch.tensor(labels)), 0.5))
        mean = network.synthesize(network.mean[None])
    torch.testing.assert_close(mapped.generate(20, labels=labels), expected)
    torch.testing.assert_close(mapped.synthesize(inner), expected)
    with pytest.raises(gz.UsageError, match="contain the class"):
        mapped.synthesize(inner, labels)
    shown = mapped.generate(20, labels=labels, truncation=0.5)
    torch.testing.assert_close(shown, halfway)
    scaled = mapped.decode(noise * 0.5, labels)
    assert not torch.allclose(shown, scaled), "the network truncates; the noise stays"
    torch.testing.assert_close(mapped.synthesize(mapped.truncate(inner, 0.0))[:1], mean)
    with pytest.raises(gz.UsageError, match="as many labels"):
        mapped.map(noise)


def test_threads_that_read_one_model_agree(mapped: gz.GAN, gan: gz.GAN) -> None:
    noise = latents([1, 2], 8)
    reads: list[Callable[[], Any]] = [
        lambda: gan.sample(3, batch_size=2).tensor.tolist(),
        lambda: gan.synthesize(noise).tolist(),
        lambda: mapped.generate(3, truncation=0.5).tolist(),
        lambda: str(gan.info()),
        lambda: gan._repr_html_(),
    ]
    for network in (gan.generator, mapped.generator):
        network.train()
    right = [read() for read in reads]
    with ThreadPoolExecutor(4) as threads:
        for read, expected in zip(reads, right, strict=True):
            assert all(threads.submit(read).result() == expected for _ in range(4))
    assert gan.generator.training and all(module.training for module in mapped.generator.modules())


# ---- what is known


def test_info_is_the_same_in_memory_and_on_disk() -> None:
    for name in gz.list_models():
        here, there = gz.load_model(name).info(), gz.models.info(name)  # in this order: some are written now
        other = {"bytes", "dtype", "owner", "version"}  # of files and of installed packages
        for key in set(there.to_dict()) - other:
            assert getattr(there, key) == getattr(here, key), (name, key)
        files = [path.stat().st_size for path in there.folder.glob("*.safetensors")]  # type: ignore[union-attr]
        assert there.bytes == sum(files) and here.bytes is None
        assert json.loads(json.dumps(there.to_dict())) == there.to_dict()


def test_info_of_a_release_needs_no_torch() -> None:
    code = (
        "import sys, gantl_zoo as gz\n"
        "info = gz.models.info('dcgan-mnist')\n"
        "assert isinstance(info, gz.ModelInfo)\n"
        "assert info.image_shape == (1, 28, 28) and info.channels == 1 and not info.conditional\n"
        "assert info.kind == 'gan' and info.owner == 'gantl_zoo' and info.bytes > 3_000_000\n"
        "assert gz.list_models(kind='classifier', image_size=28) == ['cnn-fashion-mnist', 'cnn-mnist']\n"
        "assert not {'torch', 'torchvision', 'timm', 'huggingface_hub'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_parameters_on_disk_are_counted_without_buffers(tmp_path: Path) -> None:
    from gantl_zoo.model.info import folder_info

    config = {"width": 4, "image_size": 32}
    gan = gz.build_gan("resnet", generator_config=config | {"latent_dim": 8, "num_classes": 3})
    spectral = gz.build_gan("dcgan", generator_config=SMALL, discriminator_config={"norm": "spectral"})
    for model in (gan, spectral):
        folder = model.save(tmp_path / "model", max_shard_size=5_000)
        assert len(list(folder.glob("generator-*.safetensors"))) > 1
        info = folder_info(folder)
        assert info.parameters == model.num_parameters()
        assert info.bytes == sum(path.stat().st_size for path in folder.glob("*.safetensors*"))
    assert folder_info(gan.save(tmp_path / "other")).conditional


def test_a_licence_can_be_set_and_is_kept(gan: gz.GAN, tmp_path: Path) -> None:
    assert gan.license == "" and gan.metrics == [] and gan.classes == []
    gan.license = "mit"
    again = gz.load_model(gan.save(tmp_path / "mine"))
    assert again.license == "mit" and again.info().license == "mit"
    for wrong in (None, 3, "two\nlines"):
        with pytest.raises(gz.UsageError, match="a license must be one line of text"):
            gan.license = wrong  # type: ignore[assignment]
    assert gan.license == "mit"


def test_reading_data_about_a_model_changes_nothing() -> None:
    gan = gz.load_model("dcgan-mnist")
    gan.metrics[0]["value"] = gan.info().metrics[0]["value"] = -1
    gan.info().lineage["data"].clear()
    assert gan.metrics[0]["value"] > 0 and gan.lineage["data"]["name"] == "mnist"


def picture_in(view: str) -> Image.Image:
    found = re.search(r'src="data:image/png;base64,([^"]+)"', view)
    assert found, view[:200]
    return Image.open(io.BytesIO(base64.b64decode(found[1])))


def test_a_notebook_shows_a_gan_with_a_row_of_samples(gan: gz.GAN, conditional: gz.GAN) -> None:
    for model in (gan, conditional):
        view = model._repr_html_()
        assert picture_in(view).width == 8 * 56 + 14 and "&#x27;" in view
    conditional.name = "<script>"
    assert "<script>" not in conditional._repr_html_()


def test_the_view_of_a_broken_or_large_model_is_its_line(
    gan: gz.GAN, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gantl_zoo.model.generate.QUICK", (20, 1 << 40))
    assert "<img" not in gan._repr_html_(), "28×28 is large now"
    monkeypatch.undo()
    assert "<img" in gan._repr_html_()
    gan.generator.blocks[0] = nn.Linear(1, 1)
    view = gan._repr_html_()
    assert "<img" not in view and "small" in view


# ---- list_models


@pytest.fixture
def released(monkeypatch: pytest.MonkeyPatch, conditional: gz.GAN, tmp_path: Path) -> None:
    """A conditional release and three broken ones beside the usual names."""
    kept = dict(registry.models._own)
    kept["three"] = Entry("models", "three", "", "mine", "1", target=conditional.save(tmp_path / "three"))
    kept["no-path"] = Entry("models", "no-path", "", "mine", "1", target=7)
    kept["no-import"] = Entry("models", "no-import", "not_there_at_all:folder", "mine", "1")
    kept["no-folder"] = Entry("models", "no-folder", "", "mine", "1", target=tmp_path / "nowhere")
    monkeypatch.setattr(registry.models, "_own", kept)


@pytest.mark.usefixtures("released")
def test_models_are_listed_by_what_they_are() -> None:
    assert {"three", "no-path", "no-import", "no-folder"} <= set(gz.list_models())
    assert gz.list_models(conditional=True) == ["dcgan-mnist-conditional", "three"]
    assert gz.list_models("*t*", kind="gan", conditional=False, image_size=28) == [
        "dcgan-fashion-mnist", "dcgan-mnist",
    ]  # fmt: skip
    assert "timm-mobilenetv3-cifar10" in gz.list_models(kind="classifier", channels=3)
    assert "cnn-mnist" not in gz.list_models(kind="classifier", channels=3)
    assert gz.list_models(channels=1, image_size=64) == []
    for name, error in (
        ("no-path", gz.PluginError),
        ("no-import", gz.PluginError),
        ("no-folder", gz.WeightsError),
    ):
        with pytest.raises(error):
            gz.models.info(name)
    with pytest.raises(gz.UnknownNameError, match="did you mean three"):
        gz.models.info("thre")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"kind": "gna"}, "unknown kind of model 'gna'; did you mean gan"),
        ({"image_size": "28"}, "image_size must be a whole number of at least 1, not '28'"),
        ({"channels": 0}, "channels must be a whole number of at least 1, not 0"),
    ],
)
def test_wrong_filters_are_explained(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(gz.UsageError, match=said):
        gz.list_models(**settings)
