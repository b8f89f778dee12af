"""What a run changes in its process holds while it runs, and no longer."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import TINY

import gantl_zoo as gz
from gantl_zoo.data import ImageData
from gantl_zoo.runs.dry_run import dry_run
from gantl_zoo.runs.execute import execute, folder_of
from gantl_zoo.runs.train import prepare_train
from gantl_zoo.runs.transfer import prepare_transfer
from gantl_zoo.training import applied, engine

Calls = list[tuple[int, ...]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """The options that are passed to glibc."""
    made: Calls = []

    class Libc:
        def mallopt(self, option: int, value: int) -> None:
            made.append((option, value))

        def malloc_trim(self, pad: int) -> None:
            made.append((pad,))

    monkeypatch.setattr(applied, "_libc", Libc)
    return made


KEPT, GIVEN_BACK = [(-4, 0), (-1, 2**31 - 1)], [(-4, 65_536), (-1, 131_072), (0,)]


def own() -> tuple[int, bool]:
    return torch.get_num_threads(), torch.backends.cudnn.deterministic


def machine_of(**settings: Any) -> engine.Engine:
    return engine.choose("cpu", "fp32", {"allocator": "keep"} | settings)


def test_choosing_changes_nothing(calls: Calls, images: ImageData) -> None:
    before = own()
    assert "3 threads" in str(machine_of(threads=3))
    settings: Any = TINY | {"engine_config": {"threads": 3, "allocator": "keep"}}
    assert "3 threads" in " ".join(dry_run(prepare_train("dcgan", images, settings)).split())
    assert own() == before and calls == []


def test_settings_hold_inside_and_are_given_back(calls: Calls) -> None:
    before = own()
    with pytest.raises(ValueError, match="in the middle"), machine_of(threads=3).applied():
        assert own() == (3, True) and calls == KEPT
        with machine_of(threads=2).applied(), machine_of().applied():
            assert own() == (2, True)
        assert own() == (3, True) and calls == KEPT, "the outer one still runs"
        raise ValueError("in the middle")
    assert own() == before and calls == KEPT + GIVEN_BACK
    with engine.choose("cpu", "bf16", {"allocator": "default"}).applied():
        assert own() == before and len(calls) == 5


def test_runs_that_overlap_in_threads_end_with_the_processes_own(calls: Calls) -> None:
    before, first_in, second_in = own(), threading.Event(), threading.Event()

    def first() -> None:
        with machine_of().applied():
            first_in.set()
            assert second_in.wait(5)

    thread = threading.Thread(target=first)
    thread.start()
    assert first_in.wait(5)
    with machine_of().applied():
        second_in.set()
        thread.join()
        assert torch.backends.cudnn.deterministic and calls == KEPT
    assert own() == before and calls == KEPT + GIVEN_BACK


def test_a_run_and_a_measurement_leave_the_process_as_it_was(
    calls: Calls, photos: Path, tmp_path: Path
) -> None:
    before = own()
    settings = TINY | {"image_size": 28, "steps": 2, "engine_config": {"threads": 2, "allocator": "keep"}}
    gan = gz.train("dcgan", data=photos, out=tmp_path, **settings)
    assert own() == before and calls == KEPT + GIVEN_BACK
    gz.evaluate(gan, data=photos, samples=8, metrics="kd", extractor="pixels")
    assert own() == before and calls[-3:] == GIVEN_BACK


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_a_run_under_the_callers_modes_is_the_run_without(
    gan: gz.GAN, images: ImageData, tmp_path: Path, mode: Any
) -> None:
    settings: Any = {k: v for k, v in TINY.items() if not k.endswith("config")}
    plain = gz.transfer(gan, data=images, out=tmp_path / "plain", **settings)
    with mode():
        made = gz.transfer(gan, data=images, out=tmp_path / "in-mode", **settings)
        assert not torch.is_grad_enabled()
        gz.train("dcgan", data=images, out=tmp_path, **TINY | {"steps": 1})
    assert torch.equal(plain.generate(2), made.generate(2))
    with mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        run = prepare_transfer(gan, images, "full", settings)
        torch.set_default_dtype(torch.float64)
        try:
            made = execute(run, folder_of(run, tmp_path, "dtype", True))
            assert torch.get_default_dtype() is torch.float64
        finally:
            torch.set_default_dtype(torch.float32)
    assert torch.equal(plain.generate(2), made.generate(2))
