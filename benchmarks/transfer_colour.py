"""Few colour images, 64×64: `python benchmarks/transfer_colour.py SETS` fills transfer-colour.jsonl.

SETS is a folder with the zips of `TARGETS`. A cell is one run: a target, a number of training images, a
method, a seed. All methods train the generator of dcgan-faces for the same number of steps on the same
images. Up to 500 other images of the set are held out, and samples are compared with them. The features are
those of mobilenetv2-imagenet, which is the backbone of no method here. With 100 training images, fd compares
100 samples. Finished cells are skipped, so the command can be repeated and extended.
"""

from __future__ import annotations

import argparse
import json
import random
import time
import zipfile
from itertools import product
from pathlib import Path
from statistics import mean
from typing import Any

from PIL import Image, ImageDraw

import gantl_zoo as gz
from gantl_zoo.viz.grid import grid

HERE = Path(__file__).parent
RESULTS = HERE / "transfer-colour.jsonl"
OUT = Path("runs/transfer-colour")
SOURCE = "dcgan-faces"
JUDGE = "mobilenetv2-imagenet"
TARGETS = {
    "lorelei": ("dicebear-lorelei-64.zip", "near: line drawings of faces"),
    "micah": ("dicebear-micah-64.zip", "near: another artist's faces"),
    "cats": ("robohash-cats-64.zip", "far: drawn cats"),
    "stamps": ("tuxpaint-stamps-128.zip", "far: cut-out photographs"),
}
SHOWN = ("lorelei", "micah", "cats")  # the licence of the photographs differs from file to file
HELD_OUT = 500  # the most held-out images
STEPS, EVERY, SAMPLES = 600, 150, 500
NETWORKS: dict[str, Any] = {"generator_config": {"width": 32}, "image_size": 64}
PLAIN: dict[str, Any] = {"loss": "relativistic", "r1": 1.0, "lr": 4e-4}
HINGE: dict[str, Any] = {"loss": "hinge", "lr": 2e-4, "r1": 0.0}
LITE0: dict[str, Any] = {"backbone": "efficientnet-lite0-imagenet", "resize": 96, "width": 16}
METHODS: dict[str, dict[str, Any]] = {
    "scratch": {**NETWORKS, **PLAIN, "discriminator_config": {"width": 32}},
    "projected scratch": {
        **NETWORKS, **HINGE, "discriminator": "projected", "discriminator_config": LITE0,
    },
    "full": {"strategy": "full", **PLAIN},
    "freeze-d first=1": {"strategy": "freeze-d", "strategy_config": {"first": 1}, **PLAIN},
    "projected": {"strategy": "projected", "strategy_config": LITE0, **HINGE},
    "vision-aided": {
        "strategy": "vision-aided", **PLAIN,
        "strategy_config": {"backbone": LITE0["backbone"], "resize": LITE0["resize"], "width": 16},
    },
}  # fmt: skip


CREDITS = (
    "Drawings by Lisa Wischofsky (`lorelei`, CC0 1.0; the faces of `dcgan-faces`, CC BY 4.0), Micah Lanier "
    "(`micah`, CC BY 4.0) and David Revoy (`cats`, CC BY 4.0)."
)


def split(sets: Path, target: str, shots: int, seed: int) -> Path:
    """A zip with `shots` images of a set in the folder train, and at most `HELD_OUT` others in test.

    Other seeds draw other training images; the held-out ones are the same for all numbers of images.
    """
    path = OUT / f"{target}-{shots}-{seed}.zip"
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(sets / TARGETS[target][0]) as source, zipfile.ZipFile(path, "w") as new:
        names = sorted(n for n in source.namelist() if n.lower().endswith((".png", ".jpg", ".webp")))
        random.Random(seed).shuffle(names)
        for part, chosen in (("train", names[:shots]), ("test", names[100 : 100 + HELD_OUT])):
            for name in chosen:
                new.writestr(f"{part}/{Path(name).name}", source.read(name))
    return path


class Curve(gz.Callback):
    """Keeps the values of each measurement: {step: {metric: value}}."""

    def __init__(self) -> None:
        self.values: dict[int, dict[str, float]] = {}

    def on_metrics(self, run: Any) -> None:
        self.values[run.step] = {row["name"]: round(row["value"], 4) for row in run.results}


def cell(sets: Path, target: str, shots: int, method: str, seed: int, steps: int) -> dict[str, Any]:
    """Train and measure one cell."""
    settings, curve = METHODS[method], Curve()
    shared: dict[str, Any] = {
        "data": split(sets, target, shots, seed), "aug": "diffaugment", "steps": steps, "batch": 32,
        "seed": seed, "metrics": "fd,kd", "metrics_every": EVERY, "samples": SAMPLES, "extractor": JUDGE,
        "callbacks": [curve], "out": OUT / "runs", "quiet": True,
    }  # fmt: skip
    start = time.perf_counter()
    if "strategy" in settings:
        gan = gz.transfer(SOURCE, **shared, **settings)
    else:
        gan = gz.train("dcgan", **shared, **settings)
    seconds = round(time.perf_counter() - start)
    key = {"target": target, "shots": shots, "method": method, "seed": seed, "steps": steps}
    picture = OUT / f"{target}-{shots}-{method.replace(' ', '-')}-{seed}-{steps}.png"
    gan.sample(36, seed=0).save(picture)
    return key | {"seconds": seconds, "curve": curve.values}


def report() -> str:
    """All results as Markdown: a table for each target and number of images."""
    rows = [json.loads(line) for line in RESULTS.read_text().splitlines()]
    lines = ["# Few colour images", "", *(__doc__ or "").split("\n\n")[1].splitlines(), ""]
    for target, shots, steps in dict.fromkeys((r["target"], r["shots"], r["steps"]) for r in rows):
        cells = [r for r in rows if (r["target"], r["shots"], r["steps"]) == (target, shots, steps)]
        lines += [f"## {target}, {TARGETS[target][1]}: {shots} images", ""]
        lines += [*table(cells), ""]
    lines += [CREDITS, ""]
    lines += ["![Samples of each method with 100 images, beside real images](transfer-colour.png)", ""]
    return "\n".join(lines)


def table(cells: list[dict[str, Any]]) -> list[str]:
    """A row for each method: means over seeds, and ratios to `scratch` with the same seeds and steps."""
    measured = sorted(map(int, cells[0]["curve"]))
    heads = [f"fd after {step}" for step in measured]
    lines = [f"| method | seeds | {' | '.join(heads)} | kd at the end | best fd / scratch | kd / scratch |"]
    lines.append(f"| --- |{' ---: |' * (len(measured) + 4)}")
    scratch = {cell["seed"]: cell for cell in cells if cell["method"] == "scratch"}
    for method in METHODS:
        own = [cell for cell in cells if cell["method"] == method]
        if own:
            last, paired = measured[-1], [cell for cell in own if cell["seed"] in scratch]
            numbers = [f"{mean(value(cell, step, 'fd') for cell in own):.0f}" for step in measured]
            numbers.append(f"{mean(value(cell, last, 'kd') for cell in own):.2f}")
            fd = [least(cell, "fd") / least(scratch[cell["seed"]], "fd") for cell in paired]
            kd = [value(cell, last, "kd") / value(scratch[cell["seed"]], last, "kd") for cell in paired]
            numbers += [f"{mean(ratios):.2f}" if ratios else "" for ratios in (fd, kd)]
            lines.append(f"| {method} | {len(own)} | {' | '.join(numbers)} |")
    return lines


def value(cell: dict[str, Any], step: int, metric: str) -> float:
    """The value of a metric, "fd" or "kd", after `step`."""
    return next(number for name, number in cell["curve"][str(step)].items() if name.startswith(metric))


def least(cell: dict[str, Any], metric: str) -> float:
    """The least value of a metric in a run."""
    return min(value(cell, int(step), metric) for step in cell["curve"])


def contact_sheet() -> Image.Image:
    """Real images, and nine samples of each method with 100 images and seed 0: a row for each target."""
    side, gap, left, top = 192, 8, 64, 20
    methods = ("real", "scratch", "full", "vision-aided", "projected")
    size = (left + len(methods) * (side + gap), top + len(SHOWN) * (side + gap))
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    for column, method in enumerate(methods):
        x = left + column * (side + gap)
        draw.text((x, 4), method, fill="black")
        for row, target in enumerate(SHOWN):
            y = top + row * (side + gap)
            draw.text((4, y + side // 2), target, fill="black")
            if method == "real":
                images = gz.load_data(OUT / f"{target}-100-0.zip", image_size=64).images[:9]
                tiles = grid(images, 3, scale=1)
            elif (path := OUT / f"{target}-100-{method}-0-{STEPS}.png").exists():
                tiles = Image.open(path).crop((0, 0, side, side))
            else:
                continue
            sheet.paste(tiles, (x, y))
    return sheet.quantize(256)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", type=Path)
    parser.add_argument("--targets", default=",".join(TARGETS))
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--shots", default="100")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--steps", type=int, default=STEPS)
    options = parser.parse_args()
    done = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    chosen = [getattr(options, name).split(",") for name in ("seeds", "shots", "targets", "methods")]
    for seed, shots, target, method in product(*chosen):
        key = {"target": target, "shots": int(shots), "method": method, "seed": int(seed)}
        key |= {"steps": options.steps}
        if not any(all(row[name] == value for name, value in key.items()) for row in done):
            row = cell(options.sets, **key)
            print(json.dumps(row))
            with RESULTS.open("a") as file:
                file.write(json.dumps(row) + "\n")
    (HERE / "transfer-colour.md").write_text(report())
    contact_sheet().save(HERE / "transfer-colour.png", optimize=True)


if __name__ == "__main__":
    main()
