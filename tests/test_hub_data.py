"""Data sets of the Hub: from parquet files on this machine, and from a Hub on loopback."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
import pytest
import torch
from helpers import run
from loopback_hub import Fault, LoopbackHub, Repo
from PIL import Image

import gantl_zoo as gz
from gantl_zoo.data import hub_rows, hub_tables, load
from gantl_zoo.runs.spec import DataSpec

datasets = pytest.importorskip("datasets", reason="needs the package datasets")


def picture(number: int, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    pixels = np.random.RandomState(number).randint(0, 255, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def parquet(count: int, start: int = 0, labels: bool = True, damaged: int = 0, **more: Any) -> bytes:
    """A parquet file of `count` images in the classes "dog" and "cat", in this order."""
    rows: dict[str, Any] = {"image": [{"bytes": picture(start + i), "path": None} for i in range(count)]}
    features: dict[str, Any] = {"image": datasets.Image()}
    for i in range(damaged):
        rows["image"][i]["bytes"] = b"no image"
    if labels:
        rows["label"], features["label"] = (
            [i % 2 for i in range(count)],
            datasets.ClassLabel(names=["dog", "cat"]),
        )
    file = io.BytesIO()
    table = datasets.Dataset.from_dict(rows | more.get("rows", {}), features=datasets.Features(features))
    table.to_parquet(file)
    return file.getvalue()


@pytest.fixture(scope="module", autouse=True)
def no_bars() -> None:
    datasets.utils.disable_progress_bars()


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with parquet files for training and testing."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    folder = tmp_path / "pets" / "data"
    folder.mkdir(parents=True)
    (folder / "train-00000-of-00001.parquet").write_bytes(parquet(40))
    (folder / "test-00000-of-00001.parquet").write_bytes(parquet(10, start=100))
    return folder.parent


def test_the_splits_and_classes_are_those_of_the_data_set(local: Path) -> None:
    train, test = (load(f"hf:{local}", split=split) for split in ("train", "test"))
    assert (len(train), len(test)) == (40, 10) and train.classes == test.classes == ("dog", "cat")
    assert train.name == "pets" and train.origin == "" and train.shape == (3, 16, 16)
    assert train.labels is not None and train.labels.tolist() == [0, 1] * 20
    first = np.asarray(Image.open(io.BytesIO(picture(0)))).transpose(2, 0, 1)
    assert np.array_equal(train.images[0].numpy(), first)


def test_one_split_holds_out_a_tenth_by_content(local: Path, tmp_path: Path) -> None:
    parts = [load(f"hf:{local}:train", split=split) for split in ("train", "test")]
    assert sum(map(len, parts)) == 40 and len(parts[1]) in range(2, 9)
    (tmp_path / "folder").mkdir()
    for i in range(40):
        (tmp_path / "folder" / f"{i:02}.png").write_bytes(picture(i))
    assert torch.equal(parts[1].images, load(tmp_path / "folder", split="test").images)
    assert len(load(f"hf:{local}:train[:50%]")) < 20
    assert load(f"hf:{local}:train:cat").classes == ("cat",) and len(load(f"hf:{local}::cat")) == 20
    assert load(f"hf:{local}:cat,dog").classes == ("cat", "dog")


def test_a_data_set_is_streamed_and_kept_as_a_folder_is(
    local: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole = load(f"hf:{local}", image_size=8)
    monkeypatch.setenv("GANTL_ZOO_MEMORY", "100")
    for _ in range(2):
        streamed = load(f"hf:{local}", image_size=8)
        assert torch.equal(streamed.images[:], whole.images)
    assert len(list((tmp_path / "cache" / "images").glob("*.images"))) == 1


def test_a_changed_file_is_noticed(local: Path) -> None:
    before = load(f"hf:{local}")
    (local / "data" / "train-00000-of-00001.parquet").write_bytes(parquet(41))
    after = load(f"hf:{local}")
    assert len(after) == 41 and after.fingerprint != before.fingerprint


def test_damaged_images_are_named(local: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (local / "data" / "train-00000-of-00001.parquet").write_bytes(parquet(40, damaged=1))
    assert len(load(f"hf:{local}")) == 39
    assert "train/000000000.png (not a known image format); left out" in capsys.readouterr().err
    (local / "data" / "train-00000-of-00001.parquet").write_bytes(parquet(40, damaged=9))
    with pytest.raises(gz.DataError, match="9 of 40 images can't be read"):
        load(f"hf:{local}")


def test_a_data_set_may_have_no_labels_and_one_split(local: Path) -> None:
    for path in (local / "data").iterdir():
        path.unlink()
    (local / "data" / "extra-00000-of-00001.parquet").write_bytes(parquet(40, labels=False))
    only = load(f"hf:{local}")
    assert only.labels is None and 30 <= len(only) < 40


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("hf:{0}:val", "unknown split .*'val'; there are: train, test .*::val"),
        ("hf:{0}/nothing", "the folder '.*nothing' does not exist"),
        ("hf:{0}::bird", "pets has no class 'bird'"),
        ("hf:me/pets", "hf:me/pets can't be read: HF_HUB_OFFLINE is set and it is not in the cache"),
        ("hf:", "unknown data set 'hf:'"),
    ],
)
def test_what_can_not_be_read_is_one_line(
    local: Path, capsys: pytest.CaptureFixture[str], address: str, text: str
) -> None:
    with pytest.raises(gz.DataError, match=text):
        load(address.format(local))
    words = ("train", "dcgan", "--data", address.format(local), "--image-size", 28, "--steps", 1)
    code, out, said = run(capsys, *words)
    assert code == 1 and out == "" and len(said.splitlines()) == 1


def test_a_data_set_without_images_is_refused(local: Path, tmp_path: Path) -> None:
    folder = tmp_path / "numbers"
    folder.mkdir()
    datasets.Dataset.from_dict({"x": [1, 2], "y": [3, 4]}).to_parquet(folder / "train.parquet")
    with pytest.raises(gz.DataError, match="no column of images, only x, y"):
        load(f"hf:{folder}")


def test_several_splits_without_train_and_test_are_a_question() -> None:
    address = hub_tables.Address.of("hf:me/pets/big@v2")
    assert address == ("me/pets", "big", "v2", None) and str(address) == "hf:me/pets/big@v2:"
    with pytest.raises(gz.DataError, match="has the splits a, b: choose one, such as hf:me/pets:a"):
        hub_tables.chosen_splits(address, ["a", "b"])
    assert hub_tables.chosen_splits(address, ["train", "validation", "extra"]) == ["train", "validation"]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("hf:./me@home:train", "./me@home"),
        ("hf:/data/me@home:train", "/data/me@home"),
        ("hf:C:/data/pets:train", "C:/data/pets"),
        ("hf:me/pets@v2:train", "me/pets"),
    ],
)
def test_folders_may_have_signs_of_addresses(text: str, place: str) -> None:
    address = hub_tables.Address.of(text)
    assert (address.place, address.split) == (place, "train")
    assert address.revision == ("v2" if place == "me/pets" else None)


def test_an_address_survives_a_path_of_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    text = str(PureWindowsPath("hf:me/pets@refs/pr/1:train"))
    monkeypatch.setattr(os, "sep", "\\")
    assert hub_tables.Address.of(text) == ("me/pets", None, "refs/pr/1", "train")


def test_other_columns_are_not_decoded_and_the_set_stays_in_chunks(local: Path) -> None:
    part = {"image": [{"bytes": picture(1), "path": None}], "mask": [{"bytes": b"no image", "path": None}]}
    features = datasets.Features({"image": datasets.Image(), "mask": datasets.Image()})
    one = datasets.Dataset.from_dict(part, features=features)
    table = hub_tables.encoded(datasets.concatenate_datasets([one, one]))
    rows = hub_rows.HubRows(Path(f"hf:{local}"))
    rows.__dict__["tables"] = {"train": table}
    assert hub_rows.column(table, "image").num_chunks == 2
    assert list(rows.paths()) == ["train/000000000.png", "train/000000001.png"]
    assert rows.read("train/000000001.png") == picture(1)


def test_missing_labels_are_a_warning(local: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (local / "data").iterdir():
        path.unlink()
    labels = {"label": [None, *range(39)]}
    images = {"image": [{"bytes": picture(i), "path": None} for i in range(40)]}
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    datasets.Dataset.from_dict(images | labels, features=features).to_parquet(
        local / "data" / "train.parquet"
    )
    assert load(f"hf:{local}").labels is None
    assert "some images of train have no label" in capsys.readouterr().err


def test_only_files_of_the_data_set_are_read(local: Path, tmp_path: Path) -> None:
    secret, download = tmp_path / "secret.png", tmp_path / "hf" / "downloads" / "1.png"
    download.parent.mkdir(parents=True)
    for path in (secret, download):
        path.write_bytes(picture(1))
    remote, here = hub_tables.Address("me/pets", None, None, None), hub_tables.Address.of(f"hf:{local}")
    assert hub_tables.file_of(str(download), remote) == download
    assert hub_tables.file_of(str(secret), here) == secret
    for path in (secret, tmp_path / "hf" / ".." / "secret.png"):
        with pytest.raises(PermissionError, match="is not a file of the data set"):
            hub_tables.file_of(str(path), remote)
    with pytest.raises(FileNotFoundError, match="is not a file"):
        hub_tables.file_of(os.devnull, here)


def test_a_missing_package_is_named(local: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub_tables.tables_of.cache_clear()
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(gz.DataError, match=r"pip install 'gantl_zoo\[datasets\]'"):
        load(f"hf:{local}")


READ = """
import json, sys
from gantl_zoo.errors import DataError
from gantl_zoo.runs.spec import DataSpec
found = []
for address in sys.argv[1:]:
    spec = DataSpec(source=address)
    try:
        data = spec.load()
        found.append([len(data), data.about().get("origin"), spec.to_config()["place"], data.fingerprint])
    except DataError as error:
        found.append(str(error))
print(json.dumps(found))
"""


@pytest.fixture
def shared(hub: LoopbackHub) -> Repo:
    """The data set me/pets on the Hub on loopback, and a private one."""
    files = {"data/train-00000-of-00001.parquet": parquet(40)}
    files |= {"data/test-00000-of-00001.parquet": parquet(10, 100)}
    for name in ("pets", "secret"):
        repo = hub.repos[f"datasets/me/{name}"] = Repo(private=name == "secret")
        repo.commit("main", {".gitattributes": b"", **files}, "first")
    return hub.repos["datasets/me/pets"]


def read(home: Path, *addresses: str, **variables: str) -> list[Any]:
    """What a new process reads from each address: the library reads its settings once."""
    environment = os.environ | {"HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1"} | variables
    words = [sys.executable, "-c", READ, *addresses]
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result: list[Any] = json.loads(done.stdout)
    return result


def test_a_data_set_of_the_hub_is_pinned_and_stays_readable_offline(
    hub: LoopbackHub, shared: Repo, tmp_path: Path
) -> None:
    first = shared.refs["main"]
    (online,) = read(tmp_path / "home", "hf:me/pets")
    assert online[:3] == [40, f"hf:me/pets@{first}:", f"hf:me/pets@{first}:"]
    more = {**shared.commits[first], "data/train-00000-of-00001.parquet": parquet(44)}
    second = shared.commit("main", more, "more")
    pinned, newest, absent, private = read(
        tmp_path / "home", online[2], "hf:me/pets", "hf:me/nothing", "hf:me/secret:train", HF_TOKEN="hf_wrong"
    )
    assert pinned == online and newest[:2] == [44, f"hf:me/pets@{second}:"]
    for text, name in ((absent, "nothing"), (private, "secret")):
        assert f"hf:me/{name}" in text and "does not exist, or is private" in text and "HF_TOKEN" in text
    hub.server.shutdown()
    hub.server.server_close()
    offline = read(tmp_path / "home", online[2], "hf:me/pets", HF_HUB_OFFLINE="1")
    assert offline == [online, newest]
    (never,) = read(tmp_path / "home", f"hf:me/pets@{'a' * 40}", HF_HUB_OFFLINE="1")
    assert "not in the cache" in never
    (lost,) = read(tmp_path / "other", "hf:me/pets")
    assert "the Hub does not answer" in lost


def test_a_configuration_in_the_cache_is_not_taken_for_another(
    hub: LoopbackHub, shared: Repo, tmp_path: Path
) -> None:
    card = "---\nconfigs:\n"
    for name, default in (("big", False), ("small", True)):
        card += f"- config_name: {name}\n  data_files: {name}.parquet\n" + "  default: true\n" * default
    files = {"README.md": (card + "---\n").encode(), "big.parquet": parquet(40), "small.parquet": parquet(20)}
    shared.commit("main", files, "two")
    big, small = read(tmp_path / "home", "hf:me/pets/big:train", "hf:me/pets:train")
    assert big[0] > 30 and small[0] < 20
    shared.commit(
        "main", files | {"README.md": card.replace("  default: true\n", "").encode() + b"---\n"}, ""
    )
    _, question = read(tmp_path / "home", "hf:me/pets/big:train", "hf:me/pets:train")
    assert "has the configurations big, small: choose one, write hf:me/pets/big" in question


def test_a_folder_of_images_on_the_hub_is_read(hub: LoopbackHub, shared: Repo, tmp_path: Path) -> None:
    files = {f"train/{name}/{i}.png": picture(i) for i in range(10) for name in ("cat", "dog")}
    shared.commit("main", files, "files")
    (whole,) = read(tmp_path / "home", "hf:me/pets:train")
    assert whole[0] >= 16


def test_a_revision_that_does_not_exist_is_named(hub: LoopbackHub, shared: Repo, tmp_path: Path) -> None:
    hub.faults.append(
        Fault("GET /api/datasets/me/secret", times=9, status=403, headers={"X-Error-Code": "GatedRepo"})
    )
    absent, gated = read(tmp_path / "home", "hf:me/pets@v9", "hf:me/secret")
    assert "it has no revision 'v9'" in absent and "ask for your agreement" in gated


def test_a_run_states_the_pinned_address() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hub_rows, "commit_of", lambda place, revision: "c" * 40)
        assert (
            DataSpec(source="hf:me/pets:train:cat").to_config()["place"] == f"hf:me/pets@{'c' * 40}:train:cat"
        )
        assert DataSpec(source="hf:me/pets:cat,dog").to_config()["place"] == f"hf:me/pets@{'c' * 40}::cat,dog"
