"""Files of weights that try to run code, to use much memory, or to write: refused in one line."""

from __future__ import annotations

import io
import os
import pickle
import socket
import subprocess
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import run

import gantl_zoo as gz
from gantl_zoo.convert import limits
from gantl_zoo.convert.tree import Persisted, state_dict
from gantl_zoo.convert.unpickle import read

SYSTEM = os.system  # tests replace it
TENSOR = torch.arange(6.0).view(2, 3)


class Calls:
    """An object whose pickle calls a function when it is loaded freely."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


class WithSetState:
    """A class whose `__setstate__` runs when an object is loaded freely."""

    def __init__(self) -> None:
        self.value = 1

    def __setstate__(self, state: Any) -> None:
        raise AssertionError("it was run")


@pytest.fixture(autouse=True)
def nothing_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Fail a test in which a file starts a process, opens a connection or is unpickled freely."""
    monkeypatch.chdir(tmp_path)  # a file that is written is noticed here

    def refuse(*arguments: Any, **settings: Any) -> Any:
        raise AssertionError(f"it was run with {arguments}")

    with monkeypatch.context() as patch:
        for module, name in ((os, "system"), (os, "popen"), (subprocess, "Popen"), (socket, "socket")):
            patch.setattr(module, name, refuse)
        patch.setattr(torch, "load", refuse)
        patch.setattr(pickle, "loads", refuse)
        patch.setattr(pickle, "load", refuse)
        yield


def refused(path: Path, data: bytes, text: str) -> None:
    """Check that the file is refused with one line, and that nothing is written."""
    path.write_bytes(data)
    before = sorted(path.parent.rglob("*"))
    with pytest.raises(gz.WeightsError, match=text) as raised:
        read(path)
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 700
    assert sorted(path.parent.rglob("*")) == before


def saved(value: Any, **settings: Any) -> bytes:
    """What `torch.save` writes."""
    buffer = io.BytesIO()
    torch.save(value, buffer, **settings)
    return buffer.getvalue()


def recursive(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


WRAPPED = {
    "pickle": lambda value: pickle.dumps({"G": value}, protocol=4),
    "protocol 2": lambda value: pickle.dumps({"G": value}, protocol=2),
    "torch zip": lambda value: saved({"netG": {"a": TENSOR}, "x": value}),
    "torch legacy": lambda value: saved({"x": value}, _use_new_zipfile_serialization=False),
}
CODE = [
    (Calls(SYSTEM, "echo run"), r"it names (posix|nt)\.system, which is refused"),
    (Calls(eval, "print('run')"), r"it names (builtins|__builtin__)\.eval, which is refused"),
    (Calls(exec, "print('run')"), r"\.exec, which is refused"),
    (Calls(getattr, "a", "upper"), r"\.getattr, which is refused"),
    (Calls(subprocess.check_output, "ls"), r"it names (subprocess|commands)\.check_output, which is refused"),
    (Calls(open, "run.txt", "w"), r"it names (io|_io)\.open, which is refused"),
    (Calls(pickle._loads, b"\x80\x04N."), r"it names pickle\._loads, which is refused"),
    (Calls(torch.load, "file.pt"), r"it names torch\.serialization\.load, which is refused"),
    (Calls(torch.nn.Linear, 2, 2), r"it calls torch\.nn\.modules\.linear\.Linear, which is refused"),
    (Calls(__import__, "os"), r"\.__import__, which is refused"),
    (WithSetState(), r"it names \S*WithSetState, which is refused.*save its state_dict\(\) instead"),
    (Path("a"), r"it names pathlib\S*Path, which is refused"),
]


@pytest.mark.parametrize("how", WRAPPED)
@pytest.mark.parametrize(("value", "text"), CODE, ids=[text for _, text in CODE])
def test_code_is_refused_by_name(tmp_path: Path, how: str, value: Any, text: str) -> None:
    refused(tmp_path / "file.pkl", WRAPPED[how](value), text)


def test_a_call_within_a_call_is_refused(tmp_path: Path) -> None:
    inside = OrderedDict([("a", Calls(SYSTEM, "echo run"))])
    refused(tmp_path / "a.pkl", pickle.dumps(inside), "system, which is refused")
    outer = pickle.dumps(Calls(torch.storage._load_from_bytes, saved(Calls(SYSTEM, "echo run"))))
    refused(tmp_path / "b.pkl", outer, "something other than a storage")
    legacy = saved({"a": Calls(SYSTEM, "x")}, _use_new_zipfile_serialization=False)
    refused(
        tmp_path / "c.pkl", pickle.dumps(Calls(torch.storage._load_from_bytes, legacy)), "system, which is"
    )
    nested = pickle.dumps(Calls(torch.storage._load_from_bytes, legacy))
    within = saved(Calls(torch.storage._load_from_bytes, nested), _use_new_zipfile_serialization=False)
    twice = pickle.dumps(Calls(torch.storage._load_from_bytes, within))
    refused(tmp_path / "d.pkl", twice, "embeds a storage that is not bytes, or one inside another")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\x80\x02cbuiltins\neval\n(S'1'\ntR.", "builtins.eval, which is refused"),
        (b"\x80\x02(S'echo'\nios\nsystem\n.", "opcode"),  # INST
        (b"\x80\x02(cos\nsystem\nS'x'\no.", "os.system, which is refused"),  # OBJ
        (b"\x80\x02\x82\x01.", "opcode EXT1"),
        (b"\x80\x02}U\x01a}U\x01bcos\nsystem\nss.", "os.system"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "os.system"),
        (b"\x80\x02ctorch\nFloatStorage\n)R.", "it calls torch.FloatStorage, which is refused"),
        (b"\x80\x02ctorch\nFloatStorage\n)\x81.", "an object of torch.FloatStorage, which is refused"),
        (b"\x80\x02K\x01)R.", "it calls a int, which is refused"),
        (b"\x80\x02]}b.", "it sets attributes of a list, which is refused"),
        (b"\x80\x02ccollections\nOrderedDict\n)R)K\x01s.", "a key that is a tuple"),
        (b"\x80\x02}(K\x01u.", "a key without a value"),
        (b"\x80\x02.", "empty stack"),
        (b"\x80\x02(.", "empty stack"),
        (b"\x80\x02]e.", "no mark"),
        (b"\x80\x02h\x00.", "is damaged"),
        (b"\x80\x02K\x01", "is damaged"),
        (b"\x80\x02\x8b\x7f\xff\xff\xff", "is damaged"),
        (b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f", "is damaged"),
        (b"\x80\x02\x8a\x20" + b"\x7f" * 32 + b".", "integer of more than 128 bits"),
        (b"\x80\x02U\x01aQ.", "refers to data outside"),
        (b"", "neither a pickle"),
        (b"hello", "neither a pickle"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"<html>", "HTML"),
        (b"PK\x03\x04", "is damaged"),
    ],
)  # fmt: skip
def test_damaged_and_hand_written_pickles_are_refused(tmp_path: Path, data: bytes, text: str) -> None:
    refused(tmp_path / "file.pkl", data, text)


def test_a_jump_of_the_memo_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "memo.pkl"
    path.write_bytes(b"\x80\x02}r\xff\xff\xff\x7f.")  # LONG_BINPUT 2147483647
    assert read(path) == {}


def test_sizes_above_the_files_are_refused(tmp_path: Path) -> None:
    data = saved({"a": torch.zeros(7, 11)}, _use_new_zipfile_serialization=False)
    size = b"K\x07K\x0b\x86"  # (7, 11)
    assert data.count(size) == 1
    for huge in (b"J\xff\xff\xff\x7fK\x0b\x86", b"K\x08K\x0b\x86", b"\x8a\x08" + b"\x7f" * 8 + b"K\x0b\x86"):
        refused(
            tmp_path / "size.pt", data.replace(size, huge), "larger than its storage|not a tuple of integers"
        )
    for stride in (b"K\x0cK\x01\x86", b"J\xff\xff\xff\xffK\x01\x86"):
        changed = data.replace(b"K\x0bK\x01\x86", stride)
        assert changed != data
        refused(tmp_path / "stride.pt", changed, "larger than its storage|not a tuple of integers")
    count = b"K\x4dN"  # 77 values, no view
    assert data.count(count) == 1
    refused(
        tmp_path / "many.pt", data.replace(count, b"J\xff\xff\xff\x7fN"), "more bytes of tensors than the"
    )
    refused(tmp_path / "few.pt", data.replace(count, b"K\x4cN"), "larger than its storage")


def test_tensors_that_share_a_storage_without_end_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = torch.zeros(1000)
    monkeypatch.setattr(limits, "SLACK", 0)
    refused(
        tmp_path / "shared.pt", saved([shared.view(10, 100) for _ in range(400)]), "times the bytes of the"
    )
    expanded = torch.zeros(1).expand(1000, 1000)
    refused(tmp_path / "expanded.pt", saved(expanded), "larger than its storage")


def test_the_number_of_opcodes_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_OPCODES", 100)
    refused(tmp_path / "many.pkl", b"\x80\x02" + b"}" * 101 + b".", "more than 100 opcodes")
    embedded = pickle.dumps([torch.zeros(2) for _ in range(3)])  # those of embedded storages count, too
    refused(tmp_path / "inner.pkl", embedded, "more than 100 opcodes")


def test_depth_is_bounded_and_a_circle_refused(tmp_path: Path) -> None:
    refused(tmp_path / "deep.pkl", pickle.dumps(recursive(200)), "more than 64 levels")
    deepest = b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b"."
    refused(tmp_path / "deeper.pkl", deepest, "more than 64 levels")
    tuples = b"\x80\x02)" + b"\x85" * 100_000 + b"."
    refused(tmp_path / "tuples.pkl", tuples, "more than 64 levels")
    circle: list[Any] = []
    circle.append({"a": circle})
    refused(tmp_path / "circle.pkl", pickle.dumps(circle), "contains itself")
    doubling = b"\x80\x02)" + b"2\x86" * 60 + b"."  # a tuple of 2 to the power of 60 elements
    path = tmp_path / "doubling.pkl"
    path.write_bytes(doubling.replace(b"2\x86", b"q\x00h\x00\x86"))
    assert isinstance(read(path), tuple)
    refused(
        tmp_path / "key.pkl", path.read_bytes()[:2] + b"}" + path.read_bytes()[2:-1] + b"Ns.", "a key that"
    )


def rezipped(data: bytes, change: Callable[[zipfile.ZipFile, zipfile.ZipFile], None]) -> bytes:
    """The zip of `torch.save`, copied into another one by `change`."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w") as new:
        change(old, new)
    return buffer.getvalue()


def test_a_zip_bomb_and_paths_in_a_zip_are_refused(tmp_path: Path) -> None:
    whole = saved({"a": TENSOR})

    def compressed(old: zipfile.ZipFile, new: zipfile.ZipFile) -> None:
        for entry in old.infolist():
            data = b"\0" * (1 << 24) if entry.filename.endswith("data/0") else old.read(entry)
            new.writestr(entry.filename, data, zipfile.ZIP_DEFLATED)

    def escaping(path: str) -> Callable[[zipfile.ZipFile, zipfile.ZipFile], None]:
        def change(old: zipfile.ZipFile, new: zipfile.ZipFile) -> None:
            for entry in old.infolist():
                new.writestr(entry.filename, old.read(entry))
            new.writestr(path, b"run")

        return change

    def without_pickle(old: zipfile.ZipFile, new: zipfile.ZipFile) -> None:
        new.writestr("archive/data/0", b"1234")

    refused(tmp_path / "bomb.pt", rezipped(whole, compressed), "its zip is compressed")
    for path in ("../../outside.txt", "/etc/outside", "archive/../../x", "C:/x", "..\\x"):
        refused(tmp_path / "path.pt", rezipped(whole, escaping(path)), "a path that leads out of it")
    refused(tmp_path / "none.pt", rezipped(whole, without_pickle), "no data.pkl")
    damaged = bytearray(whole)
    damaged[whole.index(TENSOR.numpy().tobytes()) + 3] ^= 1
    refused(tmp_path / "crc.pt", bytes(damaged), "is damaged.*CRC")
    refused(tmp_path / "cut.pt", whole[: len(whole) // 2], "is damaged")
    lying = whole.replace((24).to_bytes(4, "little") * 2, (1 << 30).to_bytes(4, "little") * 2)
    refused(tmp_path / "lying.pt", lying, "can't be imported|is damaged")


def test_numpy_holds_numbers_only(tmp_path: Path) -> None:
    refused(tmp_path / "object.pkl", pickle.dumps(np.array([{}], dtype=object)), "the NumPy dtype 'O8'")
    refused(tmp_path / "big.pkl", pickle.dumps(np.zeros(3, ">f4")), "not little-endian")
    good = pickle.dumps(np.arange(77.0), protocol=4)
    assert good.count(b"K\x4d\x85") == 1
    refused(tmp_path / "shape.pkl", good.replace(b"K\x4d\x85", b"K\x4e\x85"), "don't fit its shape")


def test_missing_files_and_folders_are_explained(tmp_path: Path) -> None:
    with pytest.raises(gz.WeightsError, match=r"nothing\.pt does not exist"):
        read(tmp_path / "nothing.pt")
    with pytest.raises(gz.WeightsError, match="is a folder; expected a file of weights"):
        read(tmp_path)


def test_the_command_prints_one_line_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.pkl"
    path.write_bytes(WRAPPED["pickle"](Calls(SYSTEM, "echo run")))
    code, out, err = run(capsys, "import", "dcgan-examples", path, "--to", tmp_path / "new")
    assert code == 1 and not out and err.count("\n") == 1 and "system, which is refused" in err
    assert sorted(tmp_path.iterdir()) == [path]


LONG = b"X\x00\x00\x20\x00" + b"a" * (1 << 21)  # a text of 2 MiB
MANY = b"](" + b"K\x01K\x02\x86" * 5000 + b"e"  # a list of 5,000 pairs


@pytest.mark.parametrize(
    ("value", "call"),
    [
        (LONG, b"c_codecs\nencode\nh\x00\x85R"),
        (MANY, b"ccollections\nOrderedDict\nh\x00\x85R"),
        (b"](" + b"K\x01" * 9000 + b"e", b"cbuiltins\nset\nh\x00\x85R"),
    ],
    ids=["encode", "OrderedDict", "set"],
)
def test_a_call_that_copies_is_not_repeated_without_end(tmp_path: Path, value: bytes, call: bytes) -> None:
    data = b"\x80\x02" + value + b"q\x000](" + call * 200 + b"e."
    refused(tmp_path / "copies.pkl", data, "what it builds has more than 4 times the bytes of the file")


# A tuple that holds itself 2 to the power of 40 times, so that its text would be endless.
DOUBLED = b")" + b"q\x00h\x00\x86" * 40


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"ctorch\ndevice\n" + DOUBLED + b"\x85R", "a torch.device without a name"),
        (b"cnumpy\ndtype\n" + DOUBLED + b"\x85R", "the NumPy dtype of an unknown kind"),
        (b"ctorch\nSize\n" + DOUBLED + b"\x85R", "a torch.Size that is not of integers"),
        (b"}" + DOUBLED + b"K\x01s", "a key that is a tuple"),
        (DOUBLED + b")R", "it calls a tuple"),
        (DOUBLED + b")\x81", "an object of a tuple"),
    ],
)
def test_what_is_exponentially_large_is_neither_shown_nor_hashed(
    tmp_path: Path, data: bytes, text: str
) -> None:
    refused(tmp_path / "doubled.pkl", b"\x80\x02" + data + b".", text)


def test_dicts_and_modules_that_share_themselves_are_not_walked_without_end(tmp_path: Path) -> None:
    tree: Any = {"a": TENSOR}
    for _ in range(40):
        tree = {"": tree, "x": tree, "y": TENSOR}
    (tmp_path / "dicts.pt").write_bytes(saved(tree))
    many: Any = {"a": TENSOR}
    for _ in range(3):
        many = dict.fromkeys(map(str, range(100)), many)
    (tmp_path / "many.pt").write_bytes(saved(many))
    for name in ("dicts", "many"):
        with pytest.raises(
            gz.WeightsError, match=r"which state dict is the generator's|more than 2,000 dicts"
        ):
            gz.import_weights("dcgan-examples", tmp_path / f"{name}.pt", to=tmp_path / "new")
    module = Persisted("Leaf", {"_buffers": {"a": TENSOR}})
    for _ in range(40):
        module = Persisted("Twice", {"_modules": {"a": module, "b": module}})
    with pytest.raises(gz.WeightsError, match="more than 100,000 modules and tensors"):
        state_dict(module)
