"""How many of 150 cats a GAN draws, 64×64: `python benchmarks/modes_cats.py SETS FAMILY ... --steps N`.

SETS is a folder with robohash-cats-64.zip and robohash-cats-64.factors.tsv. The modes are the pairs of body
and fur (`gantl_zoo/bench/modes.py`). All families train on the same images; 500 others are held out, and
copies are left out. A cell is one run. Finished cells are lines of modes-cats.jsonl and are skipped, and an
interrupted run is continued. To use one thread: OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import json
import random
import zipfile
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import gantl_zoo as gz
from gantl_zoo.bench.cells import Row, finished, folder, once, trained, write_text
from gantl_zoo.bench.modes import ModeCounter, mode_counter, report

HERE = Path(__file__).parent
RESULTS, REPORT = HERE / "modes-cats.jsonl", HERE / "modes-cats.md"
OUT = Path("runs/modes-cats")
SET, FACTORS = "robohash-cats-64", ("body", "fur")
HELD_OUT, SAMPLES = 500, 10_000
RELATIVISTIC: dict[str, Any] = {"loss": "relativistic", "r1": 1.0}
FAMILIES: dict[str, dict[str, Any]] = {
    "dcgan": {
        **RELATIVISTIC, "lr": 4e-4,
        "generator_config": {"width": 32}, "discriminator_config": {"width": 32},
    },
    "fast": {
        "loss": "hinge", "lr": 2e-4, "beta2": 0.999,
        "generator_config": {"width": 16}, "discriminator_config": {"width": 16},
    },
    "r3": {
        **RELATIVISTIC, "lr": 2e-4, "beta1": 0.0, "regularizer": "r2", "regularizer_config": {"gamma": 1.0},
        "generator_config": {"width": 64}, "discriminator_config": {"width": 64},
    },
}  # fmt: skip
SHARED: dict[str, Any] = {
    "image_size": 64, "batch": 32, "aug": "diffaugment", "metrics": (), "checkpoint_every": 500,
}  # fmt: skip
CREDIT = "Drawings by David Revoy (CC BY 4.0), put together by RoboHash."


def split(sets: Path) -> Path:
    """A zip with the training images in the folder train and the held-out ones in test, without copies."""
    path = OUT / f"{SET}.zip"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(sets / f"{SET}.zip") as source:
            files = {source.getinfo(name).CRC: name for name in sorted(source.namelist(), reverse=True)}
            names = sorted(name for name in files.values() if name.endswith(".png"))
            random.Random(0).shuffle(names)
            with zipfile.ZipFile(unfinished := path.with_suffix(".part"), "w") as new:
                for number, name in enumerate(names):
                    part = "test" if number < HELD_OUT else "train"
                    new.writestr(f"{part}/{Path(name).name}", source.read(name))
        unfinished.rename(path)
    return path


def cell(
    family: str, changes: dict[str, Any], settings: dict[str, Any], data: Path, counter: ModeCounter
) -> Row:
    """Train and measure one GAN."""
    key = json.dumps([family, settings], sort_keys=True)
    steps, seed = settings["steps"], settings["seed"]
    place = folder(OUT, f"{family}-{steps}-{seed}", key)
    start = partial(gz.train, family, data=data, out=place, title=f"{family}-{seed}", quiet=True, **settings)
    gan, _ = trained(place, start, True)
    gan.sample(64, seed=0).save(OUT / f"{place.name}.png")
    sizes = [sum(p.numel() for p in net.parameters()) for net in (gan.generator, gan.discriminator)]
    row = {
        "family": family,
        "changes": changes,
        "steps": steps,
        "seed": seed,
        "batch": settings["batch"],
        "parameters": sizes,
    }
    return row | {"counts": counter(gan, SAMPLES), "facts": counter.facts()}


def table(rows: list[Row]) -> str:
    """The report on all cells with the newest classifiers: a row for each family, recipe and length."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if row["facts"]["sha256"] == rows[-1]["facts"]["sha256"]:
            group = [row[name] for name in ("family", "changes", "steps", "batch")]
            groups.setdefault(json.dumps(group, sort_keys=True), []).append(row)
    lines = []
    for own in groups.values():
        row, changes = own[0], json.dumps(own[0]["changes"]) if own[0]["changes"] else ""
        first = {"generator": f"`{row['family']}` {changes}".rstrip()}
        first |= {"parameters": " + ".join(f"{size / 1e6:.2f} M" for size in row["parameters"])}
        first |= {"steps": f"{row['steps']:,} of {row['batch']} images", "seeds": len(own)}
        lines.append((first, [row["counts"] for row in own]))
    return report(lines, rows[-1]["facts"]) + f"\n{CREDIT}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", type=Path)
    parser.add_argument("families", nargs="*", default=[], metavar="FAMILY", help=", ".join(FAMILIES))
    parser.add_argument("--steps", type=int, default=4_000)
    parser.add_argument("--seeds", default="0", help="such as 0,1,2")
    parser.add_argument(
        "--set", type=json.loads, default={}, metavar="JSON", help="other settings of gz.train"
    )
    parser.add_argument("--source", default="", help="pretrained classifier to fine-tune for each factor")
    options = parser.parse_args()
    if wrong := sorted(set(options.families) - set(FAMILIES)):
        parser.error(f"unknown family {', '.join(wrong)}; there are: {', '.join(FAMILIES)}")
    data = split(options.sets)
    counter = mode_counter(data, options.sets / f"{SET}.factors.tsv", FACTORS, out=OUT, source=options.source)
    print(json.dumps(counter.facts()), flush=True)
    for seed, family in product(map(int, options.seeds.split(",")), options.families):
        settings = SHARED | FAMILIES[family] | {"steps": options.steps, "seed": seed} | options.set
        key = json.dumps([family, settings, counter.extractor.sha256], sort_keys=True)
        row = once(RESULTS, key, partial(cell, family, options.set, settings, data, counter))
        print(f"{family}, {row['steps']} steps, seed {seed}: {json.dumps(row['counts'])}", flush=True)
    if rows := list(finished(RESULTS).values()):
        write_text(REPORT, table(rows))


if __name__ == "__main__":
    main()
