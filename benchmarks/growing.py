"""Does growing beat a fresh start? `python benchmarks/growing.py SETS` fills growing.jsonl and growing.md.

SETS is a folder with the zips of `TARGETS`, images of 128×128. `full` fits dcgan-faces, which makes 64×64, to
the images: blocks are added at the image's end. All other methods begin at random weights and have as many
steps: `scratch` with the same networks, the others with networks that were built for 128×128. The features
are those of mobilenetv2-imagenet, so this needs the plug-in gantl-zoo-imagenet. Finished cells are skipped;
`--report` only writes the tables and pictures. Runs are in `runs/growing`.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from transfer_colour import publish

from gantl_zoo.bench import transfer as bench

HERE = Path(__file__).parent
OUT = Path("runs/growing")
TARGETS = {
    "emoji": ("fluent-emoji-3d-128.zip", "far: drawn objects"),
    "stamps": ("tuxpaint-stamps-128.zip", "far: cut-out photographs"),
}
SIZE = 128
BUDGET = bench.Budget(steps=600, looks=4, samples=500)
DISCRIMINATOR = "discriminator=dcgan discriminator.width=32"
STRATEGIES = (
    "full",
    f"scratch generator=dcgan generator.width=32 {DISCRIMINATOR}",
    f"scratch generator=fast generator.width=12 {DISCRIMINATOR}",
)


def pair(target: str) -> bench.Pair:
    """The pair of `dcgan-faces` and a target at 128×128: 100 images to draw from, all others held out."""
    note = f"{TARGETS[target][1]}; 64×64 to {SIZE}×{SIZE}"
    own = {"extractor": "mobilenetv2-imagenet", "preset": "transfer-64"}
    size: dict[str, int] = {"pool": 100, "image_size": SIZE}
    return bench.Pair(target, f"{OUT}/{target}.zip", "dcgan-faces", note=note, **own, **size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", type=Path, nargs="?")
    parser.add_argument("--targets", default="emoji", help=f"separated by commas: {', '.join(TARGETS)}")
    parser.add_argument("--trials", type=int, default=1)
    parser.add_argument("--part", default="1/1", help="I/N: every N-th cell")
    parser.add_argument("--report", action="store_true", help="train nothing")
    options = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    if not (OUT / bench.RESULTS).exists() and (HERE / "growing.jsonl").exists():
        shutil.copy(HERE / "growing.jsonl", OUT / bench.RESULTS)
    if not options.report:
        if options.sets is None:
            parser.error("name the folder with the zips of the targets")
        pairs = []
        for target in options.targets.split(","):
            pairs.append(pair(target))
            if not (OUT / f"{target}.zip").exists():  # the path in the keys of finished cells
                shutil.copy(options.sets / TARGETS[target][0], OUT / f"{target}.zip")
        some = {"trials": options.trials, "budget": BUDGET, "out": OUT}
        part = bench.choose_part(options.part)
        bench.transfer_table(pairs, STRATEGIES, (100,), say=print, part=part, **some)
    publish("growing", OUT, BUDGET)


if __name__ == "__main__":
    main()
