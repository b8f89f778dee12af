"""How OpenMP's threads wait for each other. No torch: this must be chosen before torch is imported."""

from __future__ import annotations

import os
import sys

VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
SPINS = "10000"  # libgomp's own 300,000 keep a core busy for milliseconds


def wait_briefly() -> None:
    """Let a thread that waits for others sleep soon, so that a run shares the processor with other programs.

    This holds for this process and its children, if torch uses libgomp, as its packages for Linux do. It has
    no effect once torch is imported. A setting in the environment wins.
    """
    if "torch" not in sys.modules and not any(name in os.environ for name in VARIABLES):
        os.environ["GOMP_SPINCOUNT"] = SPINS
