"""Start-up times of whole processes: medians of eleven interleaved rounds after a warm-up round."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

ROUNDS = 11
BIN = Path(sys.executable).parent
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import gantl_zoo; list_models()": [sys.executable, "-c", "import gantl_zoo as gz; gz.list_models()"],
    "gantl-zoo list": [str(BIN / "gantl-zoo"), "list"],
    "import torch": [sys.executable, "-c", "import torch"],
    "gantl-zoo sample dcgan-mnist": [
        str(BIN / "gantl-zoo"),
        "sample",
        "dcgan-mnist",
        "--out",
        "{tmp}/grid.png",
    ],
    "gantl-zoo sample dcgan-mnist.onnx": [
        str(BIN / "gantl-zoo"),
        "sample",
        "{tmp}/dcgan-mnist.onnx",
        "--out",
        "{tmp}/grid.png",
    ],
}


def main() -> None:
    import tempfile

    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as folder:
        export = [str(BIN / "gantl-zoo"), "export", "dcgan-mnist", "--to", folder]
        subprocess.run(export, check=True, capture_output=True)
        for round_number in range(ROUNDS + 1):
            for name, words in COMMANDS.items():
                start = time.perf_counter()
                subprocess.run([w.format(tmp=folder) for w in words], check=True, capture_output=True)
                if round_number:
                    times[name].append(time.perf_counter() - start)
    for name, every in times.items():
        print(
            f"{name:36} median {1000 * statistics.median(every):6.0f} ms  least {1000 * min(every):6.0f} ms"
        )


if __name__ == "__main__":
    main()
