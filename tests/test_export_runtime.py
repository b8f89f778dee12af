"""An exported file without torch: what is imported, and `gantl-zoo sample` of the file."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import SMALL, run
from PIL import Image

import gantl_zoo as gz
from gantl_zoo.export import parity

HEAVY = "{'torch', 'torchvision', 'timm', 'matplotlib', 'onnx', 'onnxscript', 'huggingface_hub', 'rich'}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a class-conditional GAN, `model`, and its export, `three.onnx`."""
    place = tmp_path_factory.mktemp("exported")
    gan = gz.build_gan("dcgan", generator_config=SMALL | {"num_classes": 3}, name="three")
    gan.save(place / "model")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parity, "SEEDS", 4)
        gan.export(place)
    return place


def test_sampling_imports_no_torch(folder: Path, tmp_path: Path) -> None:
    calls = [
        f"import gantl_zoo as gz; gz.runtime({str(folder / 'three.onnx')!r}).sample(3).save('grid.png')",
        "from gantl_zoo.cli.app import app; app(['sample', "
        f"{str(folder / 'three.onnx')!r}, '--out', 'cli.png', '--separate', 'each'], standalone_mode=False)",
        "import gantl_zoo.serve.app",
    ]
    for call in calls:
        code = f"{call}\nimport sys; heavy = {HEAVY} & set(sys.modules); assert not heavy, heavy"
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "each").iterdir())) == 16


@pytest.mark.parametrize("words", [["--seeds", "0-9"], ["--seeds", "7,3", "--class", "2", "--trunc", "0.5"]])
def test_the_verb_draws_what_the_model_draws(
    words: list[str], folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = []
    for name in ("model", "three.onnx"):
        out = tmp_path / f"{name}.png"
        assert run(capsys, "sample", folder / name, "--out", out, *words)[1] == f"{out}\n"
        with Image.open(out) as picture:
            found.append(np.array(picture).astype(int))
    assert found[0].shape == found[1].shape and np.abs(found[0] - found[1]).max() <= 1


def test_many_images_are_written_in_parts(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    generate = gz.OnnxGAN.generate

    def counted(self: gz.OnnxGAN, **settings: object) -> np.ndarray:
        asked.append(len(settings["seeds"]))  # type: ignore[arg-type]
        return generate(self, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(gz.OnnxGAN, "generate", counted)
    code, out, err = run(
        capsys, "sample", folder / "three.onnx", "--seeds", "0-599", "--separate", tmp_path / "s"
    )
    assert (code, out) == (0, f"{tmp_path / 's'}\n") and "sample 600/600" in err
    assert asked == [256, 256, 88] and len(list((tmp_path / "s").iterdir())) == 600


def test_a_stream_is_all_samples() -> None:
    gan = gz.build_gan("dcgan", generator_config=SMALL | {"num_classes": 3})
    labels = [i % 3 for i in range(300)]
    for chosen in (None, 1, labels):
        parts = list(gan.stream(300, seed=7, labels=chosen, truncation=0.9))
        whole = gan.sample(300, seed=7, labels=chosen, truncation=0.9)
        assert len(parts) == 2 and (np.concatenate([part.array for part in parts]) == whole.array).all()
        assert parts[1].seeds == whole.seeds[256:] and parts[1].labels == whole.labels[256:]  # type: ignore[index]
    with pytest.raises(gz.UsageError, match="300 image"):
        next(gan.stream(300, labels=[1, 2]))


@pytest.mark.parametrize("name", ["model", "three.onnx"])
def test_a_stream_keeps_no_part_that_was_read(name: str, folder: Path) -> None:
    gan: Any = gz.runtime(folder / name) if name.endswith(".onnx") else gz.load_model(folder / name)
    read = list[weakref.ref[Any]]()
    for images in gan.stream(900, batch_size=256):
        assert len(images) <= 256
        read.append(weakref.ref(images.array))
        del images
        gc.collect()
        assert not any(part() is not None for part in read[:-1])
    assert len(read) == 4


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--adapter", "x"], "--adapter can't be used with an exported file: name the model itself"),
        (["--direction", "x:1", "--latents", "y"], "--direction, --latents can't be used"),
        (["--class", "9"], "there is no class 9"),
        (["--device", "tpu"], "unknown device for an ONNX file 'tpu'"),
    ],
)
def test_what_a_file_cant_do_is_explained(
    words: list[str], text: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "sample", folder / "three.onnx", "--out", tmp_path / "a.png", *words)
    assert code == 2 and not out and text in err and err.count("\n") == 1
    assert not (tmp_path / "a.png").exists()
