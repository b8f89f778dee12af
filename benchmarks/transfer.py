"""The full table of transfer strategies: `python benchmarks/transfer.py`; some hours on two cores.

Finished cells are in `transfer.jsonl` beside this file and are not done again; runs lie in `runs/transfer`.
Started with OMP_NUM_THREADS=1 and `--part 1/2`, then with `--part 2/2`, it uses two cores, and a cell's core
seconds are those of one thread. `--report` only writes `transfer.md` and its pictures from what is finished.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from gantl_zoo.bench import transfer as bench

HERE = Path(__file__).parent
FEW_SHOT = ("mine", "cdc", "adam", "svd", "lora")  # from the plug-in gantl-zoo-fewshot
OTHERS = ("gradual", "mirror", "partial", "freeze", "vision-aided", "projected")
# what matters most comes first: an interrupted table is a smaller table, not a useless one
PHASES: tuple[tuple[tuple[int, ...], tuple[str, ...]], ...] = (
    ((100,), ("full", "freeze-d")),
    ((1000,), ("full",)),
    ((10,), ("full", "freeze-d", "scale-shift")),
    ((100,), ("l2-sp", "scale-shift", "ewc", "freeze-g")),
    ((0,), ("full",)),
    ((100,), (*OTHERS, *FEW_SHOT)),
    ((10,), ("l2-sp", "ewc", *FEW_SHOT)),
    ((1000, 0), ("freeze-d", "l2-sp")),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/transfer"))
    parser.add_argument("--part", default="1/1", help="I/N: every N-th cell")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--report", action="store_true", help="train nothing")
    options = parser.parse_args()
    cells = options.out / bench.RESULTS
    options.out.mkdir(parents=True, exist_ok=True)
    if not cells.exists() and (HERE / "transfer.jsonl").exists():
        shutil.copy(HERE / "transfer.jsonl", cells)
    part = bench.choose_part(options.part)
    for shots, strategies in () if options.report else PHASES:
        bench.transfer_table(
            bench.PAIRS, strategies, shots, part=part, out=options.out, data_root=options.data_root, say=print
        )
    path = bench.write_report(options.out, bench.Budget())
    shutil.copy(cells, HERE / "transfer.jsonl")
    shutil.copy(path, HERE / "transfer.md")
    for picture in options.out.glob("*.png"):
        shutil.copy(picture, HERE / f"transfer-{picture.name}")
    text = (HERE / "transfer.md").read_text()
    (HERE / "transfer.md").write_text(text.replace("![curves](", "![curves](transfer-"))


if __name__ == "__main__":
    main()
