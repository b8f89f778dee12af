"""What the methods learn, as files for the base model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import TINY

import gantl_zoo as gz
from gantl_zoo.data import ImageData

SETTINGS: dict[str, Any] = {key: value for key, value in TINY.items() if not key.endswith("_config")}


@pytest.fixture
def base(tmp_path: Path) -> gz.GAN:
    """A GAN whose weights are large enough for factors to be smaller than they are."""
    config = {"width": 16, "latent_dim": 32}
    gan = gz.build_gan("dcgan", generator_config=config, discriminator_config={"width": 4}, name="base")
    loaded = gz.load_model(gan.save(tmp_path / "base"))
    assert isinstance(loaded, gz.GAN)
    return loaded


def transferred(base: gz.GAN, images: ImageData, tmp_path: Path, name: str, **config: Any) -> gz.GAN:
    assert base.folder is not None
    return gz.transfer(
        base.folder,
        data=images,
        strategy=name,
        strategy_config=config,
        out=tmp_path / "runs",
        quiet=True,
        aug="none",
        lr=1e-2,
        **SETTINGS,
    )


@pytest.mark.parametrize(
    ("name", "config", "share", "forms"),
    [
        ("lora", {"rank": 2}, 0.3, {"a0", "b0", "a1", "b1", "diff"}),
        ("svd", {"rate": 1.0}, 0.02, {"s0", "s1", "diff"}),
        ("adam", {"probe": 2}, 1.01, {"diff"}),
    ],
)
def test_a_methods_adapter_gives_its_model(
    base: gz.GAN,
    images: ImageData,
    tmp_path: Path,
    name: str,
    config: dict[str, Any],
    share: float,
    forms: set[str],
) -> None:
    mine = transferred(base, images, tmp_path, name, **config)
    folder = mine.adapter().save(tmp_path / "adapter")
    adapter = gz.load_adapter(folder)
    whole = sum(tensor.numel() for tensor in mine.generator.state_dict().values())
    assert adapter.num_parameters() < share * whole and adapter.error <= 1e-6
    assert forms >= {key.rpartition(".")[2] for key in adapter.tensors}
    again = base.with_adapter(folder)
    for key, tensor in mine.generator.state_dict().items():
        actual = again.generator.state_dict()[key].double()
        assert float((actual - tensor.double()).norm()) <= 1e-6 * float(tensor.double().norm()), key
    assert torch.allclose(again.generate(4), mine.generate(4), atol=1e-4)
    assert not torch.allclose(base.generate(4), mine.generate(4), atol=1e-2)
    assert torch.equal(base.with_adapter(folder, 0).generate(4), base.generate(4))


def test_two_methods_are_blended(base: gz.GAN, images: ImageData, tmp_path: Path) -> None:
    adapters = [transferred(base, images, tmp_path, name).adapter() for name in ("lora", "scale-shift")]
    blend = base.with_adapter(adapters[0], 0.7).with_adapter(adapters[1], 0.3)
    assert [one["strategy"] for one in blend.lineage["adapters"]] == ["lora", "scale-shift"]
    start = base.generator.state_dict()
    weight, scale = (
        blend.generator.state_dict()[n] for n in ("blocks.1.conv.weight", "blocks.1.norm.weight")
    )
    low = adapters[0].differences(start)["blocks.1.conv.weight"]
    torch.testing.assert_close(weight.double(), start["blocks.1.conv.weight"] + 0.7 * low)
    norm = adapters[1].differences(start)["blocks.1.norm.weight"]
    torch.testing.assert_close(scale.double(), start["blocks.1.norm.weight"] + 0.3 * norm)


def test_loras_saved_weights_have_its_rank_and_training_keeps_the_average(
    base: gz.GAN, images: ImageData, trained: Callable[..., Any]
) -> None:
    name = "blocks.1.conv.weight"
    start = base.generator.state_dict()[name].double()
    trainer, _ = trained(base, images, "lora", rank=2)
    values = []
    for network in (trainer.snapshot().generator, trainer.average):
        matrix = (network.state_dict()[name].double() - start).movedim(1, 0).flatten(1)
        values.append(torch.linalg.svdvals(matrix))
    assert values[0][1] > 1e-3 * values[0][0] and values[0][2] < 1e-5 * values[0][0]
    assert values[1][2] > 1e-4 * values[1][0]
    torch.testing.assert_close(values[0][:2], values[1][:2])
