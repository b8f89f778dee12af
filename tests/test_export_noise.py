"""The latents of seeds without torch are those with torch, to the last bit."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from gantl_zoo.export.noise import normal
from gantl_zoo.model.sampling import latents

# torch's own numbers have other last bits on processors without AVX2
EXACT = torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")
SIZES = (1, 2, 7, 15, 16, 17, 31, 32, 64, 100, 120, 128, 200, 512)
SEEDS = [*range(2000), 2**31, 2**32 - 1]


@pytest.mark.parametrize("size", SIZES)
def test_the_numbers_of_a_seed_are_torchs(size: int) -> None:
    theirs, ours = latents(SEEDS, size).numpy(), normal(SEEDS, size)
    assert ours.dtype == np.float32 and ours.shape == theirs.shape
    if EXACT or size < 16:
        assert (ours.view(np.int32) == theirs.view(np.int32)).all()
    assert np.abs(ours - theirs).max() < 4e-6


@pytest.mark.parametrize(("capability", "bound"), [("avx2", 0.0 if EXACT else 4e-6), ("default", 4e-6)])
def test_they_are_close_on_other_processors(capability: str, bound: float) -> None:
    code = (
        "import numpy as np; from gantl_zoo.export.noise import normal\n"
        "from gantl_zoo.model.sampling import latents\n"
        "print(max(np.abs(normal(range(300), z) - latents(range(300), z).numpy()).max() for z in (8, 100)))"
    )
    settings = os.environ | {"ATEN_CPU_CAPABILITY": capability}
    done = subprocess.run([sys.executable, "-c", code], env=settings, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) <= bound


def test_a_row_depends_on_its_seed_alone() -> None:
    assert (normal([7, 3], 100)[1] == normal([3], 100)[0]).all()
    assert normal([], 100).shape == (0, 100)
