"""Folders and runs that an earlier version wrote go on loading and resuming."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import gantl_zoo as gz
from gantl_zoo.data import load

KEPT = Path(__file__).parent / "data"
VERSIONS = sorted(path.name for path in KEPT.glob("v*"))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["gan", "transferred", "classifier"])
def test_a_model_folder_loads(version: str, name: str) -> None:
    model = gz.load_model(KEPT / version / name)
    if isinstance(model, gz.GAN):
        assert model.generate(2).shape == (2, 1, 28, 28)
        assert model.classes == ["bright", "dim"] and model.lineage["data"]["name"] == "photos"
    else:
        assert model(torch.zeros(3, 1, 28, 28)).shape == (3, 2)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_checkpointed_run_resumes_to_the_same_weights(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("photos", "run"):
        shutil.copytree(KEPT / version / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    gz.train(resume="run")
    state = load_file("run/checkpoints/00000008/state.safetensors")
    for name, wanted in load_file(KEPT / version / "expected.safetensors").items():
        torch.testing.assert_close(state[name], wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_model_is_measured_on_the_images_that_its_own_version_held_out(version: str) -> None:
    gan, photos = gz.load_model(KEPT / version / "gan"), KEPT / version / "photos"
    settings = {"metrics": "kd", "extractor": "pixels", "samples": 20}
    assert isinstance(gan, gz.GAN)
    report = gz.evaluate(gan, data=photos, **settings)
    early = load(photos, split="test", split_by="path")
    assert report.results[0]["data_fingerprint"] == early.fingerprint
    assert not any("was trained on" in note for note in report.notes)
