"""Classifiers of few colour images, pretrained or not: `python benchmarks/classifiers_imagenet.py CIFAR`.

CIFAR is a zip or folder of CIFAR-10's images with a folder for each class. 100 or 1,000 of its training
images are used, and 2,000 of its held-out images. The pretrained network is `efficientnet-lite0-imagenet` of
the plug-in gantl-zoo-imagenet. Finished cells are lines of `cells.jsonl`.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

import gantl_zoo as gz
from gantl_zoo.bench.cells import RESULTS, Row, finished, once, spread, write_text

HERE = Path(__file__).parent
OUT = Path("runs/classifiers-imagenet")
SOURCE = "efficientnet-lite0-imagenet"
HELD_OUT = 2_000
SCRATCH = {"batch": 32, "flip": True}
LAST = {
    "strategy": "partial",
    "strategy_config": {"last": 4},
}  # last stage, last convolution, BatchNorm, head


@dataclass(frozen=True)
class Method:
    """How a classifier is trained; with `then` its run is followed by a second one, from its model."""

    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    then: dict[str, Any] | None = None
    scratch: bool = False


PROBE = Method("`freeze` (linear probe), the default")
METHODS = {
    "scratch": Method("`cnn` from scratch", SCRATCH, scratch=True),
    "probe": PROBE,
    "then": Method("`freeze`, then `partial`, last 4 blocks", then=LAST | {"lr": 3e-4, "epochs": 5}),
    "partial": Method("`partial`, last 4 blocks", LAST),
    "full": Method("`full`", {"strategy": "full"}),
    "gradual": Method("`gradual`, a block every 10 % of the steps", {"strategy": "gradual"}),
    "l2-sp": Method("`l2-sp`", {"strategy": "l2-sp"}),
}
SCRATCH_EPOCHS = {100: 150, 1000: 60}
CELLS = [
    *(("probe", count, seed) for seed in range(3) for count in (1000, 100)),
    ("scratch", 1000, 0), ("partial", 1000, 0),
    *(("then", count, seed) for seed in range(3) for count in (1000, 100)),
    *((key, 100, 0) for key in ("scratch", "partial", "full", "gradual", "l2-sp")),
    *((key, 1000, 0) for key in ("full", "gradual", "l2-sp")),
]  # fmt: skip


def images(source: Path, count: int, seed: int) -> Path:
    """A folder with `count` training images and the held-out images, a folder for each class."""
    place = OUT / f"cifar10-{count}-{seed}"
    if (place / "test").is_dir():
        return place
    test = gz.load_data(source, split="test").few(HELD_OUT)
    for split, part in (("train", gz.load_data(source, shots=count, data_seed=seed)), ("test", test)):
        assert part.labels is not None
        for number, (image, label) in enumerate(zip(part.images, part.labels.tolist(), strict=True)):
            path = place / split / part.classes[label]
            path.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(path / f"{number:05}.png")
    return place


def measured(source: Path, key: str, count: int, seed: int) -> Row:
    """Train and measure one classifier."""
    method, place = METHODS[key], {"data": images(source, count, seed), "out": OUT / "runs", "quiet": True}
    settings: Any = {"seed": seed, **method.settings, **place}
    if key == "gradual":
        settings["strategy_config"] = {"every": 32 if count > 300 else 12}
    if method.scratch:
        model = gz.classify_train("cnn", epochs=SCRATCH_EPOCHS[count], **settings)
    else:
        model = gz.classify_transfer(SOURCE, **settings)
        if method.then is not None:
            model = gz.classify_transfer(model.folder, seed=seed, **method.then, **place)
    return {"method": key, "images": count, "seed": seed, "accuracy": model.about["metrics"][0]["value"]}


def report(rows: list[Row]) -> str:
    """The table as Markdown."""
    lines = ["| | 100 images | 1,000 images |", "|---|---|---|"]
    for key, method in METHODS.items():
        cells = []
        for count in (100, 1000):
            scores = [100 * r["accuracy"] for r in rows if (r["method"], r["images"]) == (key, count)]
            seeds = f" ({len(scores)} seed{'s' * (len(scores) > 1)})"
            cells.append(spread(scores, "{:.1f}".format) + seeds if scores else "")
        if any(cells):
            lines.append(f"| {method.name} | {' | '.join(cells)} |")
    head = (
        f"# Classifiers of CIFAR-10 from few images\n\nAccuracy in % on {HELD_OUT:,} held-out images, mean ± "
        f"standard deviation over seeds. Rows with a strategy start from `{SOURCE}`; images of 32×32 are "
        "enlarged to 128×128. Their recipe is the one that `classify transfer` chooses. From scratch: 60 "
        "epochs of 1,000 images, 150 epochs of 100, in batches of 32."
    )
    return f"{head}\n\n" + "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cifar", type=Path)
    parser.add_argument("--most", type=int, default=len(CELLS), help="train at most the first N cells")
    options = parser.parse_args()
    for key, count, seed in CELLS[: options.most]:
        name = json.dumps([key, count, seed])
        row = once(OUT / RESULTS, name, partial(measured, options.cifar, key, count, seed))
        print(f"{key}, {count} images, seed {seed}: {row['accuracy']:.4f}", flush=True)
    write_text(HERE / "classifiers-imagenet.md", report(list(finished(OUT / RESULTS).values())))


if __name__ == "__main__":
    main()
