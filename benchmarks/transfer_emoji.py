"""The colour pair, other emoji to faces, at 64×64: `python benchmarks/transfer_emoji.py ZIP CIFAR`.

ZIP has Noto's emoji as `emoji_u1f600.png`, …. Faces are the code points 1f600 to 1f644, every second one held
out. The budget is smaller than that of the other pairs, since this is run on a CPU. CIFAR is a zip or folder
of CIFAR-10's images. A classifier of them is trained here as feature extractor, since the released one is the
backbone of `projected` and `vision-aided`.
"""

from __future__ import annotations

import argparse
import re
import shutil
import zipfile
from pathlib import Path

from gantl_zoo import classify_train
from gantl_zoo.bench import transfer as bench

HERE = Path(__file__).parent
OUT = Path("runs/transfer-emoji")
EXTRACTOR = OUT / "judge"  # the name is in the keys of finished cells
FACES = range(0x1F600, 0x1F645)
BUDGET = bench.Budget(steps=600, batch=16, looks=6, samples=500, source_steps=1500)
PAIR = bench.Pair(
    "emoji",
    f"{OUT}/faces.zip",
    learn=f"{OUT}/others.zip",
    note="colour: emoji that are no faces to faces",
    extractor=str(EXTRACTOR),
    metric="kd",  # fewer held-out faces (34) than features
)
OWN = ("l2-sp", "gradual", "freeze", "mirror", "ewc", "partial", "freeze-g", "scale-shift")
FEW_SHOT = ("mine", "lora", "adam", "cdc", "svd")  # from the plug-in gantl-zoo-fewshot
PHASES = (
    ((0,), ("full", "freeze-d")),
    ((0,), ("projected", "vision-aided")),
    ((10,), ("full", "freeze-d", "projected", "vision-aided")),
    ((0, 10), ("freeze-d first=1", *OWN, *FEW_SHOT)),
)


def split(source: Path) -> None:
    """Write two zips: faces, every second one held out, and all other emoji. Skips existing ones."""
    OUT.mkdir(parents=True, exist_ok=True)
    if all((OUT / f"{name}.zip").exists() for name in ("faces", "others")):
        return
    with (
        zipfile.ZipFile(source) as emoji,
        zipfile.ZipFile(OUT / "faces.zip", "w") as faces,
        zipfile.ZipFile(OUT / "others.zip", "w") as others,
    ):
        for name in sorted(emoji.namelist()):
            file = Path(name).name
            match = re.fullmatch(r"emoji_u([0-9a-f]+)\.png", file)
            if match and (code := int(match[1], 16)) in FACES:
                faces.writestr(f"{('train', 'test')[code % 2]}/{file}", emoji.read(name))
            else:
                others.writestr(file, emoji.read(name))


def train_extractor(cifar: Path) -> None:
    """Train the feature extractor, unless it exists."""
    if not EXTRACTOR.is_dir():
        settings = {"epochs": 8, "lr": 0.004, "flip": True, "title": "cnn-cifar10"}
        classify_train("cnn", data=str(cifar), out=OUT / "judges", **settings).save(EXTRACTOR)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("zip", type=Path)
    parser.add_argument("cifar", type=Path, nargs="?")
    parser.add_argument("--part", default="1/1", help="I/N: every N-th cell")
    parser.add_argument("--report", action="store_true", help="train nothing")
    options = parser.parse_args()
    split(options.zip)
    if not options.report:
        if options.cifar is None and not EXTRACTOR.is_dir():
            parser.error("name CIFAR-10's zip or folder: the feature extractor is trained on it")
        train_extractor(options.cifar)
    if not (OUT / bench.RESULTS).exists() and (HERE / "transfer-emoji.jsonl").exists():
        shutil.copy(HERE / "transfer-emoji.jsonl", OUT / bench.RESULTS)
    part = bench.choose_part(options.part)
    for shots, strategies in () if options.report else PHASES:
        bench.transfer_table((PAIR,), strategies, shots, budget=BUDGET, out=OUT, part=part, say=print)
    report = bench.write_report(OUT, BUDGET)
    shutil.copy(OUT / bench.RESULTS, HERE / "transfer-emoji.jsonl")
    for picture in OUT.glob(f"{PAIR.name}*.png"):
        shutil.copy(picture, HERE / f"transfer-{picture.name}")
    text = report.read_text().replace(f"]({PAIR.name}", f"](transfer-{PAIR.name}")
    (HERE / "transfer-emoji.md").write_text(text)


if __name__ == "__main__":
    main()
