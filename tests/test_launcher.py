"""A launcher's variables, left over ones included, and errors that cross from process to process."""

from __future__ import annotations

import os
from pathlib import Path

import children
import pytest

import gantl_zoo as gz
from gantl_zoo.cli.app import explain, main
from gantl_zoo.training.launcher import is_main, launched
from gantl_zoo.training.processes import join

LEFT_OVER = [
    {"WORLD_SIZE": "2"},
    {"WORLD_SIZE": "2", "RANK": ""},
    {"WORLD_SIZE": "2", "RANK": "0"},
    {"WORLD_SIZE": "2", "RANK": "2", "MASTER_ADDR": "127.0.0.1"},
    {"WORLD_SIZE": "2", "RANK": "first", "MASTER_ADDR": "127.0.0.1"},
    {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "http"},
    {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "127.0.0.1", "LOCAL_RANK": "x"},
    {"WORLD_SIZE": "abc"},
    {"WORLD_SIZE": "-1"},
    {"WORLD_SIZE": "0"},
    {"WORLD_SIZE": "2.0"},
    {"WORLD_SIZE": "²"},
    {"PMI_SIZE": "4"},
    {"PMI_SIZE": "4", "PMI_RANK": "0"},
    {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "7"},
    {"MV2_COMM_WORLD_SIZE": "none"},
]  # fmt: skip
HARMLESS = [
    {"WORLD_SIZE": ""},
    {"WORLD_SIZE": " ", "RANK": "", "LOCAL_RANK": ""},
    {"WORLD_SIZE": "1", "RANK": "0", "PMI_SIZE": "4"},
    {"RANK": "1"},
    {"RANK": "abc", "LOCAL_RANK": "3"},
    {"MASTER_ADDR": "elsewhere", "MASTER_PORT": "1"},
]


@pytest.mark.parametrize("variables", LEFT_OVER, ids=str)
def test_a_left_over_variable_is_named(
    variables: dict[str, str],
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as stop:
        main(["train", "dcgan", "--data", str(photos), "--image-size", "28", "--out", str(tmp_path / "runs")])
    error = capsys.readouterr().err
    assert stop.value.code == 2 and error.count("\n") == 1 and error.startswith("error")
    assert any(
        f"{name}={value}" in error or f"{name}={value!r}" in error for name, value in variables.items()
    )
    assert "unset" in error and "torchrun" in error and "unexpected" not in error
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("variables", HARMLESS, ids=str)
def test_a_variable_without_meaning_is_not_in_the_way(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert not launched() and is_main() and join("cpu").count == 1
    explain(gz.DataError("wrong"))
    assert capsys.readouterr().err == "error: wrong\n"


def as_mpi(rank: int, folder: Path, port: int) -> None:
    """As `mpirun -x MASTER_ADDR -x MASTER_PORT` starts a process."""
    os.environ |= {
        "OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": str(rank), "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
        "OMPI_COMM_WORLD_LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": "1", "WORLD_SIZE": "",
    }  # fmt: skip
    first = is_main()
    processes = join("cpu")
    assert first == processes.main == is_main() and processes.rank == rank
    (folder / f"{rank}").write_text(processes.from_main(lambda: "hello"))


def test_mpirun_starts_processes_that_meet(tmp_path: Path) -> None:
    port = children.free_port()
    assert children.finish([children.start(as_mpi, rank, tmp_path, port) for rank in (0, 1)]) == [0, 0]
    assert [(tmp_path / name).read_text() for name in "01"] == ["hello", "hello"]


class Derived(gz.DataError):
    """What a plug-in may raise."""


ERRORS = [gz.UsageError("a"), gz.UnknownNameError("b"), gz.WeightsError("c"), Derived("d"), KeyError("e")]


def raise_in_main(folder: Path) -> None:
    processes = join("cpu")
    names = []
    for error in ERRORS:

        def make(error: Exception = error) -> None:
            raise error

        try:
            processes.from_main(make)
        except Exception as caught:
            names.append(f"{type(caught).__name__}: {caught}")
    (folder / f"{processes.rank}").write_text("\n".join(names))


def test_an_error_keeps_its_class_in_all_processes(tmp_path: Path) -> None:
    assert children.finish(children.launch(2, raise_in_main, tmp_path)) == [0, 0]
    first, second = ((tmp_path / name).read_text().splitlines() for name in "01")
    assert first == ["UsageError: a", "UnknownNameError: b", "WeightsError: c", "Derived: d", "KeyError: 'e'"]
    assert second[:3] == first[:3] and second[3] == "DataError: d"
    assert second[4] == "TrainingError: the main process failed: KeyError: 'e'"
