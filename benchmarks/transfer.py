"""The full table of transfer strategies: `python benchmarks/transfer.py CIFAR`; some hours on two cores.

CIFAR is a zip or folder of CIFAR-10's images. On them, in grey, a small classifier is trained first: the eye
of `vision-aided`, which must be neither what judges (`cnn-mnist`) nor know the targets (`cnn-fashion-mnist`).

What matters most gets the budget at which scratch's curve on 1,000 images is nearly flat; all strategies
get a third of it. Finished cells are in `transfer.jsonl` beside this file and are not
done again; runs lie in `runs/transfer`. Started with OMP_NUM_THREADS=1 and `--part 1/2`, then with `--part
2/2`, it uses two cores, and a cell's core seconds are those of one thread. `--report` only writes the
tables and pictures.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from gantl_zoo import classify_train
from gantl_zoo.bench import transfer as bench

HERE = Path(__file__).parent
OUT = Path("runs/transfer")
EYE = OUT / "eye"
EYED = f"vision-aided backbone={EYE}"
LONG, SHORT = bench.Budget(), bench.Budget(steps=1500, looks=10)
OWN = ("freeze-d", "l2-sp", "ewc", "freeze-g", "scale-shift", "gradual", "mirror", "partial", "freeze")
EYES = (EYED, f"projected backbone={EYE}")
FEW_SHOT = ("lora", "mine", "svd", "adam", "cdc")  # from the plug-in gantl-zoo-fewshot
# what matters most comes first: an interrupted table is a smaller table, not a useless one
PHASES: tuple[tuple[bench.Budget, int, tuple[int, ...], tuple[str, ...]], ...] = (
    (LONG, 3, (1000,), ("full", "freeze-d first=1")),
    (LONG, 3, (100,), ("full", "freeze-d", "freeze-d first=1", "mine", EYED)),
    (SHORT, 3, (10,), ("full", "freeze-d", "mine")),
    (SHORT, 3, (100,), ("full", "freeze-d first=1", *OWN, *EYES, *FEW_SHOT)),
    (SHORT, 3, (10,), ("l2-sp", "ewc", *FEW_SHOT)),
    (SHORT, 3, (1000,), ("full", "freeze-d", "mine", EYED, "l2-sp", "gradual")),
    (SHORT, 3, (0,), ("full", "freeze-d", "mine")),
    (SHORT, 3, (1000, 10), ("freeze-d first=1", *OWN, *EYES, *FEW_SHOT)),
    (SHORT, 3, (0,), ("freeze-d first=1", *OWN, *EYES, *FEW_SHOT)),
    (LONG, 3, (100,), ("mirror", "lora")),
    (LONG, 3, (1000,), (EYED,)),
    (LONG, 3, (10, 0), ("full", "freeze-d", "mine")),
)
REPORTS = {"transfer": LONG, "transfer-short": SHORT}


def open_eye(cifar: Path) -> None:
    """Train the small classifier of grey photographs, if it isn't there."""
    if not EYE.is_dir():
        settings = {"epochs": 8, "lr": 0.004, "flip": True, "backbone_config": {"widths": (16, 32, 64)}}
        classify_train("cnn", data=str(cifar), channels=1, out=OUT / "eyes", **settings).save(EYE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cifar", type=Path, nargs="?")
    parser.add_argument("--part", default="1/1", help="I/N: every N-th cell")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--report", action="store_true", help="train nothing")
    options = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    cells = OUT / bench.RESULTS
    if not cells.exists() and (HERE / "transfer.jsonl").exists():
        shutil.copy(HERE / "transfer.jsonl", cells)
    if not options.report:
        if options.cifar is None and not EYE.is_dir():
            parser.error("name CIFAR-10's zip or folder: the eye of vision-aided learns from it")
        open_eye(options.cifar)
        some = {"part": bench.choose_part(options.part), "out": OUT, "data_root": options.data_root}
        for budget, trials, shots, strategies in PHASES:
            bench.transfer_table(
                bench.PAIRS, strategies, shots, trials=trials, budget=budget, say=print, **some
            )
    shutil.copy(cells, HERE / "transfer.jsonl")
    for name, budget in REPORTS.items():
        text = bench.write_report(OUT, budget).read_text()
        for picture in OUT.glob("*.png"):
            shutil.copy(picture, HERE / f"{name}-{picture.name}")
        (HERE / f"{name}.md").write_text(text.replace("![curves](", f"![curves]({name}-"))


if __name__ == "__main__":
    main()
