"""Model folders from strangers: each rule by itself, and a short run of `benchmarks/fuzz.py`."""

from __future__ import annotations

import gzip
import json
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import torch
from helpers import SMALL, state
from hypothesis import strategies as st

import gantl_zoo as gz
from gantl_zoo.networks.rebuild import AllocationLimit
from gantl_zoo.storage import headers
from gantl_zoo.storage.folder import load_into
from gantl_zoo.storage.schema import read_config

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
import fuzz
from mutate import join, many, split

Config = dict[str, Any]


@pytest.fixture
def folder(gan: gz.GAN, tmp_path: Path) -> Path:
    return gan.save(tmp_path / "model")


def refused(folder: Path, said: str) -> None:
    with pytest.raises(gz.WeightsError, match=said):
        gz.load_model(folder)


def change(folder: Path, edit: Callable[[Config], Any]) -> None:
    config = json.loads((folder / "config.json").read_text())
    edit(config)
    (folder / "config.json").write_text(json.dumps(config))


def put(part: str, **arguments: Any) -> Callable[[Config], Any]:
    return lambda config: config[part]["config"].update(arguments)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda c: c.update(auto_map={"x": "y"}), "key 'auto_map'; .* has format, .*upgrade gantl_zoo"),
        (lambda c: c.update(format=True), "format True, but this version reads 1"),
        (lambda c: c.update(latent_dim=2**63), "'latent_dim' must be an integer from 1 to 65,536"),
        (lambda c: c.update(latent_dim=-8), "'latent_dim' must be an integer"),
        (lambda c: c.update(num_classes=False), "'num_classes' must be an integer from 0"),
        (lambda c: c.update(latent_dim=9), "config.json states latent_dim 9, but its generator has 8"),
        (lambda c: c.update(num_classes=3), "config.json states num_classes 3, but its generator has 0"),
        (lambda c: c["image"].update(height=32), r"tells image \(1, 32, 28\), but its generator"),
        (lambda c: c["image"].update(depth=1), "'image' must be an object with channels, height and width"),
        (lambda c: c.pop("generator"), "'generator' is missing"),
        (lambda c: c["generator"].update(code="x"), "'generator' has the unknown key 'code'"),
        (lambda c: c.update(name="../up"), r"must not look like a path, with '/', '\\' or '..': '../up'"),
        (lambda c: c.update(name="C:x"), "'name' must not look like a path"),
        (lambda c: c.update(name="two\nlines"), "'name' must be one line"),
        (lambda c: c["generator"].update(name="dc/gan"), "registered name, .* not 'dc/gan'"),
        (lambda c: c["generator"].update(name="timm:../x"), "NAME or PACKAGE:NAME, not 'timm:../x'"),
        (lambda c: c["generator"].update(name="..dcgan"), "NAME or PACKAGE:NAME, not"),
        (lambda c: c["generator"].update(name="dcgam"), "unknown generator 'dcgam'; did you mean dcgan"),
        (put("generator", width="4"), "can't be built: generator 'dcgan': width must be int, not '4'"),
        (put("generator", width=4.0), "width must be int, not 4.0"),
        (put("generator", width=True), "width must be int, not True"),
        (put("generator", width=0), "width must be at least 1, not 0"),
        (put("generator", width=10**6), "'width' that is 1e.06, above the limit of 65,536"),
        (put("generator", width=60_000), "much larger than .*generator.safetensors holds"),
        (put("generator", image_size=30), "can't be built: dcgan: image_size 30 is not 7 or 4 times"),
        (put("discriminator", norm="/etc/passwd"), "'norm' that must not look like a path"),
        (put("discriminator", dropout=7.5), "can't be built, 'dcgan' with .*ValueError: dropout probability"),
        (put("discriminator", flat=60_000), "flat must be a number of blocks from 0 to 8, not 60000"),
        (put("discriminator", image_size=56), "its image_size is 56, but the generator makes images of 28"),
        (put("discriminator", weights=[4] * 300), "'weights' that has more than 256 values"),
        (put("discriminator", **{"a b": 1}), "'a b', which is not a valid argument name"),
        (lambda c: c.update(requires={"x; rm -rf ~": "1"}), "'requires' must map packages to versions"),
        (lambda c: c.update(metrics=[1]), "'metrics' must be a list of objects"),
        (
            lambda c: c.update(metrics=[{"name": "fd", "value": "low"}]),
            "must have numbers as values, not 'low' for 'fd'",
        ),
        (lambda c: c.update(training={"curves": {"curves": {"a": {"x": 1}}}}), "'curves' that map steps to"),
        (lambda c: c.update(lineage={"base_lineage": []}), "'lineage' must be an object"),
        (lambda c: c.update(license="\x1b[31mfree"), "control characters"),
        (lambda c: c["lineage"].update(note="\ud800"), "control characters"),
        (lambda c: c["files"].update({"x.py": {"sha256": "0" * 64}}), "'x.py', which is not a weights file"),
        (lambda c: c["files"].update({"generator.safetensors": {"sha256": "0"}}), "64 hexadecimal digits"),
    ],
)  # fmt: skip
def test_a_config_that_no_saving_wrote_is_refused(folder: Path, edit: Any, said: str) -> None:
    change(folder, edit)
    refused(folder, said)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda t: t.replace(b'"format"', b'"format": 2, "format"', 1), "the key 'format' occurs twice"),
        (lambda t: t.replace(b": 28", b": NaN", 1), "NaN is not a JSON number"),
        (lambda t: t.replace(b": 28", b": -Infinity", 1), "-Infinity is not a JSON number"),
        (lambda t: t.replace(b": 28", b": 1e999", 1), "the number 1e999 is too large"),
        (lambda t: t.replace(b": 28", b": " + b"9" * 5000, 1), "more than 20 digits"),
        (lambda t: t.replace(b": 28", b": " + b"[" * 150 + b"]" * 150, 1), "nested more than 100 levels"),
        (lambda t: t.replace(b": 28", b": " + b"[" * 30_000 + b"]" * 30_000, 1), "can't be read as JSON"),
        (lambda t: t.replace(b": 28", b": [" + b"[]," * 60_000 + b"[]]", 1), "more than 50,000 lists"),
        (lambda t: t.rstrip()[:-1] + b"," + many(90_000) + b"}", "the key '89999' occurs twice"),
        (lambda t: t + b" " * (1 << 20), "config of 1,0.* bytes, above the limit of 1,048,576"),
        (lambda t: t.decode().encode("utf-16"), "it is not UTF-8"),
        (lambda t: t[:-9], "can't be read as JSON"),
        (lambda t: b"<!doctype html>", "HTML or XML page: the URL was that of a web page"),
        (lambda t: b"version https://git-lfs.github.com/spec/v1", "Git LFS pointer: download the file"),
        (lambda t: b"[]", "is not the config of a gantl_zoo model"),
    ],
)  # fmt: skip
def test_json_with_loopholes_is_refused(folder: Path, edit: Any, said: str) -> None:
    path = folder / "config.json"
    path.write_bytes(edit(path.read_bytes()))
    refused(folder, said)


ENTRY = b'{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'
DEEP = b"[" * 5000 + b"]" * 5000


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (join(b'{"a":' + ENTRY + b',"a":' + ENTRY + b"}", bytes(4)), "the key 'a' occurs twice"),
        (join(b'{"a":' + ENTRY + b"}", bytes(5)), "don't exactly fill the 5 bytes"),
        (join(b'{"a":' + ENTRY + b',"b":' + ENTRY + b"}", bytes(4)), "don't exactly fill the 4 bytes"),
        (join(b'{"a":' + ENTRY.replace(b"0,4", b"4,8") + b"}", bytes(8)), "don't exactly fill the 8 bytes"),
        (join(b'{"a":' + ENTRY.replace(b"[1]", b"[2]") + b"}", bytes(4)), "needs 8 bytes, but its offsets"),
        (join(b'{"a":' + ENTRY.replace(b"[1]", b"[-1]") + b"}", bytes(4)), "of non-negative integers"),
        (join(b'{"a":' + ENTRY.replace(b"[1]", b"[true]") + b"}", bytes(4)), "of non-negative integers"),
        (join(b'{"a":' + ENTRY.replace(b"[1]", b"[1.0]") + b"}", bytes(4)), "of non-negative integers"),
        (join(b'{"a":' + ENTRY.replace(b"[1]", b"[1" + b",1" * 16 + b"]") + b"}", bytes(4)), "17 axes"),
        (join(b'{"a":' + ENTRY.replace(b"F32", b"F8_E4M3") + b"}", bytes(4)), "unsupported dtype 'F8_E4M3'"),
        (join(b'{"a":' + ENTRY[:-1] + b',"x":1}}', bytes(4)), "data_offsets and nothing else"),
        (join(b'{"a":1}', b""), "must have dtype, shape"),
        (join(b'{"\\u001b":' + ENTRY + b"}", bytes(4)), "control characters"),
        (join(b'{"__metadata__":{"a":1},"a":' + ENTRY + b"}", bytes(4)), "must map strings to strings"),
        (join(b"{}", b""), "it has no tensors"),
        (join(b"[]", b""), "its header is not a JSON object"),
        (join(b'{"a":' + DEEP + b"}", b""), "is damaged or truncated"),
        (join(b" " * (1 << 21) + b"{}", b""), "header has 2,097,154 bytes, the limit is 2,097,152"),
        ((1 << 63).to_bytes(8, "little") + b"{", "it ends inside its header"),
        (gzip.compress(b"x" * 100, mtime=0), "it is gzip: unpack it first"),
        (pickle.dumps({"a": 1}), "it is a pickle: only safetensors are supported"),
        (b"PK\x03\x04" + bytes(99), "it is a zip archive, as torch.save writes it"),
        (b"\x89HDF\r\n\x1a\n", "it is HDF5, as Keras writes"),
        (b'{"error":"Repository not found"}', "it is a server's error message"),
    ],
)  # fmt: skip
def test_a_header_that_does_not_add_up_is_refused(folder: Path, content: bytes, said: str) -> None:
    (folder / "generator.safetensors").write_bytes(content)
    refused(folder, said)


def test_what_is_no_regular_file_is_not_waited_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    (folder / "generator.safetensors").unlink()
    os.mkfifo(folder / "generator.safetensors")
    refused(folder, "is not a regular file")
    monkeypatch.setattr(headers, "MAX_FILE_BYTES", 1000)
    with pytest.raises(gz.WeightsError, match=r"a weights file of .* bytes, above the limit of 1,000"):
        headers.look(folder / "discriminator.safetensors")


@pytest.mark.parametrize("arguments", [{"width": 60_000}, {"latent_dim": 65_536, "width": 4096}])
def test_a_network_of_gigabytes_costs_neither_time_nor_memory(folder: Path, arguments: Config) -> None:
    change(folder, put("generator", **arguments))
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    result, text, seconds, grown = fuzz.check_case(folder.parent / "case", files, {})
    assert result == "refused" and "much larger than" in text and seconds < 1 and grown < 50_000_000


def test_a_folder_without_a_discriminator_loads(folder: Path) -> None:
    change(folder, lambda config: config.update(discriminator=None))
    alone = gz.load_model(folder)
    assert isinstance(alone, gz.GAN) and alone.discriminator is None and "discriminator" not in alone.parts


def test_a_classifier_is_checked_like_a_gan(tmp_path: Path) -> None:
    saved = gz.build_classifier("cnn", {"widths": (4, 8), "num_classes": 3}).save(tmp_path / "model")
    text = (saved / "config.json").read_text()
    for edit, said in (
        (put("backbone", widths=[4, "8"]), r"widths must be .*Sequence\[int\], not \[4, '8'\]"),
        (put("backbone", widths=[4] * 200), "much larger than"),
        (put("backbone", widths=[]), "widths must be one or more positive numbers"),
        (lambda c: c.update(num_classes=4), "config.json states 4 classes, but its backbone has 3"),
        (lambda c: c.update(image={}), "unknown key 'image'; a backbone's config of format 1"),
    ):
        (saved / "config.json").write_text(text)
        change(saved, edit)
        refused(saved, said)
    (saved / "config.json").write_text(text)
    assert isinstance(gz.load_model(saved), gz.Classifier)


def test_a_backbone_to_start_from_is_bounded_too(tmp_path: Path) -> None:
    saved = gz.build_classifier("cnn", {"widths": (4, 8)}).save(tmp_path / "model")
    change(saved, put("backbone", widths=[4096, 4096]))
    with pytest.raises(gz.WeightsError, match="much larger than"):
        gz.discriminators.build("backbone", weights=str(saved), widths=[4096, 4096])


def test_no_tensor_is_created_that_the_files_could_not_hold(folder: Path) -> None:
    stored = headers.look(folder / "generator.safetensors")
    with AllocationLimit(stored), pytest.raises(gz.WeightsError, match="don't belong together"):
        torch.nn.Linear(1 << 12, 1 << 13)
    with AllocationLimit(stored), pytest.raises(gz.WeightsError, match="don't belong together"):
        torch.nn.ModuleList(torch.nn.Linear(1, 1) for _ in range(1 << 12))
    torch.nn.Linear(1 << 12, 1 << 2)  # nothing holds outside


def test_a_network_is_untouched_by_a_file_that_does_not_fit(gan: gz.GAN, folder: Path) -> None:
    path = folder / "generator.safetensors"
    header, rest = split(path.read_bytes())
    twin = gz.generators.build("dcgan", **SMALL)
    before = state(twin)
    last = max(header, key=lambda name: header[name].get("data_offsets", [0])[0])
    spoilt = rest[:-4] + b"\x00\x00\xc0\x7f" if header[last]["dtype"] == "F32" else rest
    path.write_bytes(join(header, spoilt))
    with pytest.raises(gz.WeightsError, match="NaN or infinite"):
        load_into(twin, path)
    path.write_bytes(join(header, bytes(len(rest))))
    with pytest.raises(gz.WeightsError, match="does not match its SHA-256 in config"):
        load_into(twin, path, pins=read_config(folder)["files"])
    assert all(torch.equal(tensor, before[name]) for name, tensor in twin.state_dict().items())


def test_a_pinned_file_that_was_changed_is_refused_and_an_unpinned_one_is_not(folder: Path) -> None:
    path = folder / "generator.safetensors"
    changed = bytearray(path.read_bytes())
    changed[-1] ^= 1
    path.write_bytes(changed)
    refused(folder, "it was changed after it was saved; download it again")
    change(folder, lambda config: config["files"].pop("generator.safetensors"))
    refused(folder, "is not listed in the 'files' of config.json, which has others")
    change(folder, lambda config: config.pop("files"))  # as older versions wrote
    assert isinstance(gz.load_model(folder), gz.GAN)


def test_what_could_not_be_read_again_is_not_written(gan: gz.GAN, tmp_path: Path) -> None:
    gan.about["lineage"] = {"loss": float("nan")}
    with pytest.raises(gz.WeightsError, match="not saved: the config can't be written as JSON"):
        gan.save(tmp_path / "model")
    gan.about, gan.name = {}, "a/b"
    with pytest.raises(gz.WeightsError, match="'name' must not look like a path"):
        gan.save(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(gz.UsageError, match="title must not look like a path"):
        gz.train("dcgan", data=tmp_path, title="a/b")


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, fuzz.Files]]:
    place = tmp_path_factory.mktemp("fuzz")
    return place, fuzz.bases(place)


@hypothesis.settings(max_examples=150, deadline=None, derandomize=True, database=None)
@hypothesis.given(seed=st.integers(0, 2**32), number=st.integers(0, len(fuzz.KINDS) - 1))
def test_broken_folders_are_refused_or_still_valid(valid: Any, seed: int, number: int) -> None:
    place, folders = valid
    base, _, files = fuzz.case(seed, number, folders)
    result, text, *_ = fuzz.check_case(place / "case", files, folders[base])
    assert result in fuzz.GOOD, text


def test_the_fuzzer_would_notice(valid: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    place, folders = valid
    files, other = dict(folders["gan"]), gz.build_gan("dcgan", generator_config=SMALL)
    monkeypatch.setattr(gz, "load_model", lambda folder: other)
    assert fuzz.check_case(place / "case", files, files)[0] == "garbage"
    monkeypatch.setattr(gz, "load_model", lambda folder: 1 / 0)
    assert fuzz.check_case(place / "case", files, files)[0] == "another error"
