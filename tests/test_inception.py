"""The Inception extractor gives what torch-fidelity's own command gives, for weights that we make up."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import gantl_zoo as gz
from gantl_zoo.data import ImageData
from gantl_zoo.metrics.evaluator import Evaluator
from gantl_zoo.metrics.extract import Images
from gantl_zoo.runs.extractor import choose_extractor
from gantl_zoo.viz.grid import save_picture

fidelity = pytest.importorskip("torch_fidelity")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of the right shapes: the real ones must be downloaded."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3 as Network

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    load = torch.nn.Module.load_state_dict
    torch.save({}, path)
    try:
        torch.nn.Module.load_state_dict = lambda *_: None  # type: ignore[method-assign, assignment]
        network = Network("inception-v3-compat", ["2048"], feature_extractor_weights_path=str(path))
    finally:
        torch.nn.Module.load_state_dict = load  # type: ignore[method-assign]
    torch.save(network.state_dict(), path)
    return path


def test_the_same_figures_as_torch_fidelitys_command(weights: Path, tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    sets = [
        torch.randint(low, 255, (12, 3, 32, 32), dtype=torch.uint8, generator=generator) for low in (0, 90)
    ]
    real, fake = (ImageData(images, name="noise") for images in sets)
    for name, images in (("real", real), ("fake", fake)):
        for i, image in enumerate(images.images):
            from torchvision.transforms.functional import to_pil_image

            save_picture(to_pil_image(image), tmp_path / name / f"{i:02}.png")
    words = [
        "--input1",
        tmp_path / "fake",
        "--input2",
        tmp_path / "real",
        "--kid",
        "--isc",
        "--json",
        "--silent",
    ]
    words += ["--kid-subset-size", 12, "--no-samples-shuffle"][:2]
    script = "import sys; from torch_fidelity.fidelity import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, words), "--feature-extractor-weights-path", str(weights)],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    theirs = json.loads(done.stdout[done.stdout.index("{") :])
    extractor = choose_extractor(f"inception:{weights}", real)
    ours = Evaluator(extractor, real, real, ("kd", "is"), 12)(Images.of(fake.images))
    assert ours["kd_inception"] == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-3)
    assert ours["is_inception"] == pytest.approx(theirs["inception_score_mean"], rel=1e-6)
    assert "TensorFlow" in ours.results[0]["convention"]


def test_what_is_missing_is_said_at_once(
    images: ImageData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "page.pth").write_text("<html>not found</html>")
    with pytest.raises(gz.WeightsError, match=r"page.pth does not have Inception weights"):
        choose_extractor(f"inception:{tmp_path / 'page.pth'}", images)
    torch.save({"other": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(gz.WeightsError, match="the Inception weights can't be loaded"):
        choose_extractor(f"inception:{tmp_path / 'other.pth'}", images)
    monkeypatch.setitem(sys.modules, "torch_fidelity.utils", None)
    with pytest.raises(gz.UsageError, match=r"pip install 'gantl_zoo\[fidelity\]'"):
        choose_extractor("inception", images)
