"""Few colour images, 64×64: `python benchmarks/transfer_colour.py SETS` fills transfer-colour.jsonl.

SETS is a folder with the zips of `TARGETS`. All methods train the generator of dcgan-faces for the same
number of steps on the same images. The features are those of mobilenetv2-imagenet, which is the backbone of
no method here. Needs the plug-in gantl-zoo-imagenet. Finished cells are skipped, so the command can be
repeated and extended; `--report` only writes the tables and pictures. Runs are in `runs/transfer-colour`.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from gantl_zoo.bench import transfer as bench

HERE = Path(__file__).parent
OUT = Path("runs/transfer-colour")
TARGETS = {
    "lorelei": ("dicebear-lorelei-64.zip", "near: line drawings of faces"),
    "micah": ("dicebear-micah-64.zip", "near: another artist's faces"),
    "cats": ("robohash-cats-64.zip", "far: drawn cats"),
    "stamps": ("tuxpaint-stamps-128.zip", "far: cut-out photographs"),
}
UNSHOWN = ("stamps",)  # the licence of the photographs differs from file to file
BUDGET = bench.Budget(steps=600, looks=4, samples=500)
BACKBONE = "backbone=efficientnet-lite0-imagenet resize=96 width=16"
HINGE = "loss=hinge lr=2e-4 r1=0"
VISION_AIDED = f"vision-aided {BACKBONE}"
PROJECTED = f"projected {BACKBONE} {HINGE}"
FROM_SCRATCH = " ".join(
    ["scratch discriminator=projected", *(f"discriminator.{word}" for word in BACKBONE.split())]
)
PROJECTED_SCRATCH = (
    f"{FROM_SCRATCH} {HINGE}",
    f"{FROM_SCRATCH} loss=hinge lr=1e-3 r1=0",
    f"{FROM_SCRATCH} r1=0",
)
STRATEGIES = ("full", "freeze-d first=1", VISION_AIDED, PROJECTED)
# numbers of images, seeds, targets, strategies; the most important cells come first
PHASES: tuple[tuple[tuple[int, ...], int, tuple[str, ...], tuple[str, ...]], ...] = (
    ((100,), 1, ("lorelei", "micah", "cats", "stamps"), STRATEGIES),
    ((100,), 1, ("lorelei",), PROJECTED_SCRATCH),
    ((100,), 3, ("lorelei", "micah", "cats"), ("full",)),
    ((100,), 3, ("lorelei", "micah", "cats"), (VISION_AIDED,)),
    ((10,), 1, ("lorelei", "micah", "cats"), STRATEGIES),
    ((100,), 3, ("lorelei", "micah", "cats"), (PROJECTED,)),
)
CREDITS = (  # the picture is from before reports had samples
    "\nDrawings by Lisa Wischofsky (`lorelei`, CC0 1.0; the faces of `dcgan-faces`, CC BY 4.0), Micah Lanier "
    "(`micah`, CC BY 4.0) and David Revoy (`cats`, CC BY 4.0).\n\n"
    "![Samples of each method with 100 images, beside real images](transfer-colour.png)\n"
)


def pair(target: str) -> bench.Pair:
    """The pair of `dcgan-faces` and a target: 100 images to draw from, all others held out."""
    note = TARGETS[target][1]
    own = {"extractor": "mobilenetv2-imagenet", "preset": "transfer-64"}
    return bench.Pair(target, f"{OUT}/{target}.zip", "dcgan-faces", note=note, pool=100, **own)


def copy_sets(sets: Path) -> None:
    """Copy the zips to the paths that are in the keys of finished cells, unless they are there."""
    OUT.mkdir(parents=True, exist_ok=True)
    for target, (name, _) in TARGETS.items():
        if not (OUT / f"{target}.zip").exists():
            shutil.copy(sets / name, OUT / f"{target}.zip")


def publish(name: str, out: Path, budget: bench.Budget, ending: str = "") -> None:
    """Copy the cells of a folder, its report and its pictures to this folder, below the given name."""
    shutil.copy(out / bench.RESULTS, HERE / f"{name}.jsonl")
    text = bench.write_report(out, budget).read_text(encoding="utf-8")
    for target in UNSHOWN:
        (out / f"{target}-samples.png").unlink(missing_ok=True)
        text = text.replace(f"\n\n![samples]({target}-samples.png)", "")
    for picture in out.glob("*.png"):
        shutil.copy(picture, HERE / f"{name}-{picture.name}")
    (HERE / f"{name}.md").write_text(text.replace("](", f"]({name}-") + ending, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", type=Path, nargs="?")
    parser.add_argument("--part", default="1/1", help="I/N: every N-th cell")
    parser.add_argument("--report", action="store_true", help="train nothing")
    options = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    if not (OUT / bench.RESULTS).exists():
        shutil.copy(HERE / "transfer-colour.jsonl", OUT / bench.RESULTS)
    if not options.report:
        if options.sets is None:
            parser.error("name the folder with the zips of the targets")
        copy_sets(options.sets)
        part = bench.choose_part(options.part)
        for shots, trials, targets, strategies in PHASES:
            pairs = [pair(target) for target in targets]
            some = {"trials": trials, "budget": BUDGET, "out": OUT, "part": part}
            bench.transfer_table(pairs, strategies, shots, say=print, **some)
    publish("transfer-colour", OUT, BUDGET, CREDITS)


if __name__ == "__main__":
    main()
