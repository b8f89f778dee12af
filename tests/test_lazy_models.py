"""Released models whose folder is written to the cache at first use."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import gantl_zoo as gz
from gantl_zoo.storage import cache

SCRIPT = """
import sys, time
from pathlib import Path
import gantl_zoo as gz
from gantl_zoo.storage.cache import written_once
def write(folder):
    with open(sys.argv[1], "a") as file:
        file.write("written\\n")
    (folder / "config.json").write_text("{}")
    time.sleep(0.5)
    (folder / "weights").write_text("all")
folder = written_once("it", write)
assert (folder / "weights").read_text() == "all"
"""


class Source:
    """Writes a classifier with `width` channels; counts how often, and fails while `broken`."""

    def __init__(self, description: Path, width: int = 4) -> None:
        self.description, self.width, self.count, self.broken = description, width, 0, False
        model = gz.build_classifier("cnn", {"widths": [width, width]}, name="late")
        config = model.config() | {"lineage": {"data": {"name": "nothing", "shape": [1, 28, 28]}}}
        description.mkdir(exist_ok=True)
        (description / "config.json").write_text(json.dumps(config))

    def write(self, folder: Path) -> None:
        self.count += 1
        torch.manual_seed(0)
        model = gz.build_classifier("cnn", {"widths": [self.width, self.width]}, name="late")
        (folder / "part").write_text("half")
        if self.broken:
            raise gz.WeightsError("the file is damaged")
        model.save(folder)

    def lazy(self, version: str = "1") -> gz.LazyModel:
        return gz.LazyModel(self.description, self.write, version)


@pytest.fixture
def late(tmp_path: Path) -> Iterator[Source]:
    source = Source(tmp_path / "description")
    gz.models.register("late", source.lazy())
    yield source
    del gz.models._own["late"]


@pytest.fixture
def no_temporary_folder() -> Iterator[None]:
    cache.temporary_folder.cache_clear()
    yield
    cache.temporary_folder.cache_clear()


def test_a_folder_is_written_at_first_use_and_once(late: Source, tmp_path: Path) -> None:
    info = gz.models.info("late")
    assert info.image_shape == (1, 28, 28) and info.parameters is None and info.folder is None
    assert "late" in gz.list_models(kind="classifier", image_size=28) and late.count == 0
    with pytest.raises(gz.UsageError, match="late is a Classifier, not a GAN"):
        gz.GAN.from_pretrained("late")
    assert late.count == 0, "another kind is refused before the weights are written"
    first, again = gz.load_model("late"), gz.load_model("late")
    assert late.count == 1 and first.folder == again.folder
    assert first.folder is not None and first.folder.parent == tmp_path / "cache" / "models"
    assert isinstance(first, gz.Classifier) and isinstance(again, gz.Classifier)
    images = torch.rand(2, 1, 28, 28)
    assert torch.equal(first(images), again(images))
    assert gz.models.info("late").parameters == first.num_parameters()


def test_other_weights_or_another_description_are_another_folder(late: Source) -> None:
    names = {late.lazy(version).folder_name("late") for version in ("1", "2")}
    (late.description / "README.md").write_text("A card.")
    names.add(late.lazy("1").folder_name("late"))
    assert len(names) == 3 and all(name.startswith("late-") for name in names)


def test_nothing_is_left_of_a_folder_that_could_not_be_written(late: Source, tmp_path: Path) -> None:
    late.broken = True
    with pytest.raises(gz.WeightsError, match=r"^the file is damaged$"):
        gz.load_model("late")
    left = [path.name for path in (tmp_path / "cache" / "models").iterdir() if path.suffix != ".lock"]
    assert left == []
    late.broken = False
    assert gz.load_model("late").name == "late"


@pytest.mark.usefixtures("no_temporary_folder")
@pytest.mark.parametrize("place", ["off", "file/below"])
def test_without_a_cache_the_folder_is_temporary_and_that_is_said_once(
    late: Source,
    place: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GANTL_ZOO_CACHE", place if place == "off" else str(tmp_path / place))
    first, again = gz.load_model("late"), gz.load_model("late")
    assert late.count == 1 and first.folder == again.folder and first.folder is not None
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "written to a temporary folder, again in every process" in said
    assert ("GANTL_ZOO_CACHE is off" if place == "off" else "can't be written") in said


@pytest.mark.usefixtures("no_temporary_folder")
@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root can write everywhere")
def test_a_cache_that_may_only_be_read_is_no_error(late: Source, tmp_path: Path) -> None:
    place = tmp_path / "cache" / "models"
    place.mkdir(parents=True)
    place.chmod(0o555)
    assert gz.load_model("late").name == "late" and not list(place.iterdir())


def test_a_full_disk_is_one_line(late: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(folder: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(late, "write", full)
    gz.models.register("late", late.lazy(), override=True)
    with pytest.raises(
        gz.WeightsError, match=r"^can't write the model folder .*late-.*: No space left on device$"
    ):
        gz.load_model("late")


def test_two_processes_at_first_use_write_once(tmp_path: Path) -> None:
    environment = os.environ | {"GANTL_ZOO_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "log")]
    started = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) for _ in range(2)]
    assert [process.communicate()[1] for process in started] == [b"", b""]
    assert [process.returncode for process in started] == [0, 0]
    assert (tmp_path / "log").read_text() == "written\n"


def test_a_plug_ins_model_must_be_a_path_or_lazy() -> None:
    gz.models.register("wrong", 7)
    try:
        with pytest.raises(
            gz.PluginError, match="is a int, but must be the path of its folder or a LazyModel"
        ):
            gz.load_model("wrong")
    finally:
        del gz.models._own["wrong"]
