"""The full table of transfer strategies: `python benchmarks/transfer.py CIFAR`; some hours on two cores.

CIFAR is a zip or folder of CIFAR-10's images. A small classifier is first trained on them in grey: the
backbone of `vision-aided`, which must be neither the metrics' feature extractor (`cnn-mnist`) nor trained on
a target (`cnn-fashion-mnist`).

The most important cells have the budget at which the from-scratch baseline's curve on 1,000 images is nearly
flat; all strategies are also run with a third of it. Finished cells in `transfer.jsonl` beside this file are
skipped; runs are in `runs/transfer`. To use two cores, start it twice with OMP_NUM_THREADS=1, with `--part
1/2` and with `--part 2/2`; core seconds are then those of one thread. `--report` only writes the tables and
pictures.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from gantl_zoo import classify_train
from gantl_zoo.bench import transfer as bench

HERE = Path(__file__).parent
OUT = Path("runs/transfer")
BACKBONE = OUT / "eye"  # the name is in the keys of finished cells
VISION_AIDED = f"vision-aided backbone={BACKBONE}"
LONG, SHORT = bench.Budget(), bench.Budget(steps=1500, looks=10)
OWN = ("freeze-d", "l2-sp", "ewc", "freeze-g", "scale-shift", "gradual", "mirror", "partial", "freeze")
WITH_BACKBONE = (VISION_AIDED, f"projected backbone={BACKBONE}")
FEW_SHOT = ("lora", "mine", "svd", "adam", "cdc")  # from the plug-in gantl-zoo-fewshot
# the most important cells come first, so that an interrupted table is useful
PHASES: tuple[tuple[bench.Budget, int, tuple[int, ...], tuple[str, ...]], ...] = (
    (LONG, 3, (1000,), ("full", "freeze-d first=1")),
    (LONG, 3, (100,), ("full", "freeze-d", "freeze-d first=1", "mine", VISION_AIDED)),
    (SHORT, 3, (10,), ("full", "freeze-d", "mine")),
    (SHORT, 3, (100,), ("full", "freeze-d first=1", *OWN, *WITH_BACKBONE, *FEW_SHOT)),
    (SHORT, 3, (10,), ("l2-sp", "ewc", *FEW_SHOT)),
    (SHORT, 3, (1000,), ("full", "freeze-d", "mine", VISION_AIDED, "l2-sp", "gradual")),
    (SHORT, 3, (0,), ("full", "freeze-d", "mine")),
    (SHORT, 3, (1000, 10), ("freeze-d first=1", *OWN, *WITH_BACKBONE, *FEW_SHOT)),
    (SHORT, 3, (0,), ("freeze-d first=1", *OWN, *WITH_BACKBONE, *FEW_SHOT)),
    (LONG, 3, (100,), ("mirror", "lora")),
    (LONG, 3, (1000,), (VISION_AIDED,)),
    (LONG, 3, (10, 0), ("full", "freeze-d", "mine")),
)
REPORTS = {"transfer": LONG, "transfer-short": SHORT}


def train_backbone(cifar: Path) -> None:
    """Train the small classifier of grey photographs, unless it exists."""
    if not BACKBONE.is_dir():
        settings = {"epochs": 8, "lr": 0.004, "flip": True, "backbone_config": {"widths": (16, 32, 64)}}
        classify_train("cnn", data=str(cifar), channels=1, out=OUT / "eyes", **settings).save(BACKBONE)


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
        if options.cifar is None and not BACKBONE.is_dir():
            parser.error("name CIFAR-10's zip or folder: the backbone of vision-aided is trained on it")
        train_backbone(options.cifar)
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
        (HERE / f"{name}.md").write_text(text.replace("](", f"]({name}-"))


if __name__ == "__main__":
    main()
