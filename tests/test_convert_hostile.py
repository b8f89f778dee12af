"""Files of weights that try to run code, to use much memory, or to write: refused in one line."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import tracemalloc
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import run

import gantl_zoo as gz
from gantl_zoo.convert import limits, rebuild, tree, unpickle
from gantl_zoo.convert.states import bare, states
from gantl_zoo.convert.tensors import Storage
from gantl_zoo.convert.tree import Persisted, state_dict
from gantl_zoo.convert.unpickle import read

WRITE = "open('run.txt', 'w').close()"
TOUCH = f'"{sys.executable}" -S -c "{WRITE}"'
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
        Path("run.txt").touch()


def run_on_load() -> None:
    """What a hostile file calls: it writes a file, which `refused` notices."""
    Path("run.txt").touch()


@pytest.fixture(autouse=True)
def nothing_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Run in a new folder, where a file that is written is noticed; torch and pickle write one, too."""
    monkeypatch.chdir(tmp_path)

    def noticed(*arguments: Any, **settings: Any) -> None:
        run_on_load()

    for module, name in ((torch, "load"), (pickle, "load"), (pickle, "loads"), (pickle, "Unpickler")):
        monkeypatch.setattr(module, name, noticed)


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
    (Calls(os.system, TOUCH), r"it names (posix|nt)\.system, which is refused"),
    (Calls(eval, WRITE), r"it names (builtins|__builtin__)\.eval, which is refused"),
    (Calls(exec, WRITE), r"\.exec, which is refused"),
    (Calls(getattr, "a", "upper"), r"\.getattr, which is refused"),
    (
        Calls(subprocess.check_output, [sys.executable, "-S", "-c", WRITE]),
        r"it names (subprocess|commands)\.check_output, which is refused",
    ),
    (Calls(open, "run.txt", "w"), r"it names (io|_io)\.open, which is refused"),
    (Calls(pickle._loads, b"\x80\x04N."), r"it names pickle\._loads, which is refused"),
    (Calls(torch.load, "file.pt"), r"it names torch\.serialization\.load, which is refused"),
    (Calls(torch.nn.Linear, 2, 2), r"it calls torch\.nn\.modules\.linear\.Linear, which is refused"),
    (Calls(__import__, "os"), r"\.__import__, which is refused"),
    (WithSetState(), r"it names \S*WithSetState, which is refused.*save its state_dict\(\) instead"),
    (Calls(run_on_load), r"\.run_on_load, which is refused"),
]


RUN = [CODE[n][0] for n in (0, 1, 2, 4, 10, 11)]


@pytest.mark.parametrize("value", RUN, ids=range(len(RUN)))
def test_what_hostile_files_do_is_noticed(tmp_path: Path, value: Any) -> None:
    pickle._loads(WRAPPED["pickle"](value))
    assert [path.name for path in tmp_path.iterdir()] == ["run.txt"]


@pytest.mark.parametrize("how", WRAPPED)
@pytest.mark.parametrize(("value", "text"), CODE, ids=[text for _, text in CODE])
def test_code_is_refused_by_name(tmp_path: Path, how: str, value: Any, text: str) -> None:
    refused(tmp_path / "file.pkl", WRAPPED[how](value), text)


def test_a_call_within_a_call_is_refused(tmp_path: Path) -> None:
    inside = OrderedDict([("a", Calls(os.system, TOUCH))])
    refused(tmp_path / "a.pkl", pickle.dumps(inside), "system, which is refused")
    outer = pickle.dumps(Calls(torch.storage._load_from_bytes, saved(Calls(os.system, TOUCH))))
    refused(tmp_path / "b.pkl", outer, "something other than a storage")
    legacy = saved({"a": Calls(os.system, TOUCH)}, _use_new_zipfile_serialization=False)
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
        (b"\x80\x02ccollections\nOrderedDict\n)R)\x85K\x01s.", "a key that is a tuple"),
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
        (b"\x89HDF", "HDF5, as Keras writes it: save its tensors as safetensors or with torch.save"),
        (b"\x80\x02cdatetime\ndate\n.", "save it again without that object"),
        (b"\x80\x02ctorch._utils\n_rebuild_qtensor\n.", "convert its tensors to dense float32"),
        (b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\n(ccollections\nOrderedDict\nN)NtR.", "a way that"),
        (b"\x80\x02cpathlib\nPosixPath\nK\x01\x85R.", "a path that is not of texts"),
        (b"\x80\x02}G\x7f\xf0" + bytes(6) + b"Ns.", "a key that is a float"),
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
    refused(tmp_path / "expanded.pt", saved(expanded), "its tensors have more than 4 times the bytes")
    monkeypatch.setattr(limits, "SLACK", 16 << 20)
    (tmp_path / "expanded.pt").write_bytes(saved(expanded))
    assert torch.equal(read(tmp_path / "expanded.pt"), expanded)


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
    refused(
        tmp_path / "none.pt", rezipped(whole, without_pickle), "no data.pkl.*unpack it, and give the file"
    )
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
    path.write_bytes(WRAPPED["pickle"](Calls(os.system, TOUCH)))
    code, out, err = run(capsys, "import", "dcgan-examples", path, "--to", tmp_path / "new")
    assert code == 1 and not out and err.count("\n") == 1 and "system, which is refused" in err
    assert sorted(tmp_path.iterdir()) == [path]


def shared_modules(levels: int, entries: int) -> bytes:
    """A pickle of `levels` modules, each of which contains the next one under `entries` names."""
    new = b"ctraining.networks\nGenerator\n)\x81"
    data = new
    for _ in range(levels):
        data += b"q\x00" + new + b"}U\x08_modules}("
        data += b"".join(b"U\x02%02dh\x00" % i for i in range(entries)) + b"usb"
    return b"\x80\x02" + data + b"."


def nested(keys: list[str], levels: int) -> Any:
    """Dicts, each of which contains the next one under all of the keys."""
    value: Any = {"weight": TENSOR}
    for _ in range(levels):
        value = dict.fromkeys(keys, value)
    return value


def test_containers_that_others_share_are_visited_once(tmp_path: Path) -> None:
    path = tmp_path / "modules.pkl"
    path.write_bytes(shared_modules(18, 20))
    with pytest.raises(gz.WeightsError, match="more than 100,000 names"):
        state_dict(read(path))
    with pytest.raises(gz.WeightsError, match="more than 100,000 names"):
        states({"netG": read(path)})
    assert list(states(nested(["", "."], 60))) == []
    assert len(states(nested([f"{i}" for i in range(300)], 3))) == 300
    assert list(states({"one": {"netG": {"a": TENSOR}}, "netD": {"a": TENSOR}})) == ["netD", "one.netG"]
    state = {"a": TENSOR}
    assert list(states({"netG": state, "ema": state})) == ["netG", "ema"]
    long = {"x" * 5000: {"a": TENSOR}, "netG": {"a": TENSOR}}
    assert list(states(long)) == ["netG"]
    with pytest.raises(gz.WeightsError, match="a name of more than 1,000 characters"):
        state_dict(Persisted("G", {"_modules": {"x" * 5000: Persisted("G", {})}}))
    assert list(bare({"module." * 50 + "a": TENSOR})) == ["module." * 46 + "a"]


def test_a_module_without_tensors_is_not_a_state_dict(tmp_path: Path) -> None:
    torch.save({"netG": {"a": TENSOR}, "criterion": torch.nn.BCELoss()}, tmp_path / "file.pt")
    assert bare({}) == {} and list(states(read(tmp_path / "file.pt"))) == ["netG"]


def test_the_depth_of_shared_lists_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls, children = [], tree.children

    def counted(value: Any) -> list[Any]:
        calls.append(value)
        return children(value)

    monkeypatch.setattr(tree, "children", counted)
    tree.check_depth([list(range(50))] * 300)
    assert len(calls) == 2


NUMBERS = b"".join(b"K" + bytes([i]) for i in range(200))
PAIRS = b"".join(b"K" + bytes([i]) + b"N\x86" for i in range(200))
BYTES = (4000).to_bytes(4, "little") + b"a" * 4000
DTYPE = b"cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R"
ARRAY = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
CALLED = {  # a function and its arguments
    "encode": (b"c_codecs\nencode\n", b"X" + BYTES + b"U\x06latin1\x86"),
    "set": (b"cbuiltins\nset\n", b"](" + NUMBERS + b"e\x85"),
    "OrderedDict": (b"ccollections\nOrderedDict\n", b"](" + PAIRS + b"e\x85"),
    "defaultdict": (b"ccollections\ndefaultdict\n", b"(" + NUMBERS + b"t"),
    "_frombuffer": (b"cnumpy.core.numeric\n_frombuffer\n", b"(B" + BYTES + DTYPE + b"M\xe8\x03\x85U\x01Ct"),
    "_load_from_bytes": (b"ctorch.storage\n_load_from_bytes\n", b"B" + BYTES + b"\x85"),
}
STATES = {  # an object and its state
    "array": (ARRAY, b"(K\x01M\xe8\x03\x85" + DTYPE + b"\x89B" + BYTES + b"t"),
    "module": (b"ctraining.networks\nGenerator\n)\x81", b"}(" + b"".join(
        b"U\x03%03dN" % i for i in range(200)
    ) + b"u"),
}  # fmt: skip


def check_copies(path: Path, once: bytes, again: bytes) -> None:
    """Check that data which is used once is read, and that 200 uses are refused before they take memory."""
    path.write_bytes(b"\x80\x02](" + once + b"e.")
    try:
        read(path)
    except gz.WeightsError as error:
        assert "something other than a storage" in str(error)
    data = b"\x80\x02](" + once + again * 200 + b"e."
    tracemalloc.start()
    try:
        refused(path, data, "copies more than 4 times the bytes of the file")
        assert tracemalloc.get_traced_memory()[1] < 40 * len(data)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", CALLED)
def test_copies_by_calls_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(limits, "SLACK", 25_000)
    monkeypatch.setattr(unpickle, "embedded", lambda data, use: Storage(TENSOR))
    function, arguments = CALLED[name]
    check_copies(tmp_path / "file.pkl", function + b"q\x00" + arguments + b"q\x01R", b"h\x00h\x01R")


@pytest.mark.parametrize("name", STATES)
def test_copies_of_states_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(limits, "SLACK", 25_000)
    value, state = STATES[name]
    check_copies(tmp_path / "file.pkl", value + state + b"q\x01b", b"h\x01b")


@pytest.mark.parametrize(
    ("function", "argument", "text"),
    [
        ("torch Size", torch.arange(20), "a torch.Size that is not a tuple"),
        ("torch Size", tuple(range(17)), "a torch.Size that is not a tuple"),
        ("torch device", (1, 2), "a torch.device that is not a name"),
        ("collections OrderedDict", TENSOR, "a Tensor where a list belongs"),
        ("collections OrderedDict", ["ab"], "not of pairs"),
        ("builtins set", "text", "a str where a list belongs"),
        ("numpy dtype", [[]], "the NumPy dtype of a list"),
    ],
)
def test_arguments_must_be_lists(function: str, argument: Any, text: str) -> None:
    with pytest.raises(gz.WeightsError, match=text):
        rebuild.call(rebuild.Name(*function.split()), (argument,), limits.Use(100))
