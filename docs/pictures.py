"""Make the pictures in docs/pictures from seeds of the released models.

python docs/pictures.py                  # samples and thumbnails of each released model
python docs/pictures.py --demo RUN       # also demo.png, from the run folder that `make demo` wrote
python docs/pictures.py --targets RUN …  # also targets.png, from transfers of one source to other images
python docs/pictures.py --studio URL     # also studio.png, from a studio that runs there; needs Chromium
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

import gantl_zoo as gz
from gantl_zoo import registry
from gantl_zoo.data import to_uint8
from gantl_zoo.runs.folder import runs_in
from gantl_zoo.runs.spec import DataSpec

PICTURES = Path(__file__).parent / "pictures"
CARD = (87, 96, 106)  # grey that stands out from a white page and from a black one
GAP, MARGIN, HEAD = 4, 8, 32  # pixels
TILE = 56  # smaller images are enlarged by a whole factor
LETTERED = {"cnn-mnist": "dcgan-mnist", "cnn-fashion-mnist": "dcgan-fashion-mnist"}  # classifier: GAN
DRAWN = 1_000  # samples from which the most certain one of each class is taken


def sheet(images: Tensor, columns: int, tile: int = TILE) -> Image.Image:
    """Images (N, C, H, W), uint8 or float in [-1, 1], as tiles on a grey card with rounded corners."""
    images = images if images.dtype == torch.uint8 else to_uint8(images)
    factor = max(1, tile // images.shape[-1])
    side = images.shape[-1] * factor
    rows = -(-len(images) // columns)
    width, height = (2 * MARGIN + n * side + (n - 1) * GAP for n in (columns, rows))
    picture = card(width, height)
    for i, image in enumerate(images):
        pixels = Image.fromarray(image.permute(1, 2, 0).expand(-1, -1, 3).numpy())  # (H, W, 3)
        row, column = divmod(i, columns)
        place = (MARGIN + column * (side + GAP), MARGIN + row * (side + GAP))
        picture.paste(pixels.resize((side, side), Image.Resampling.NEAREST), place)
    return picture


def card(width: int, height: int) -> Image.Image:
    """A grey card with rounded, transparent corners."""
    picture = Image.new("RGBA", (width, height))
    ImageDraw.Draw(picture).rounded_rectangle((0, 0, width - 1, height - 1), radius=8, fill=CARD)
    return picture


def save(picture: Image.Image, name: str) -> None:
    """Write the PNG, and print its name and size."""
    path = PICTURES / f"{name}.png"
    picture.save(path, optimize=True)
    print(f"{path.name}: {picture.width}×{picture.height}, {path.stat().st_size / 1000:.0f} kB")


def certain(gan: gz.GAN, classifier: gz.Classifier) -> Tensor:
    """For each class the sample (L, C, H, W) of which the classifier is the most certain."""
    images = gan.generate(DRAWN, seed=0)
    return images[classifier(images).softmax(1).argmax(0)]


def drawn(gan: gz.GAN, count: int, seed: int) -> Tensor:
    """Samples (N, C, H, W); of a class-conditional GAN one class after the other."""
    labels = [i % gan.num_classes for i in range(count)] if gan.num_classes else None
    return gan.generate(count, seed=seed, labels=labels)


def filters(classifier: gz.Classifier) -> Tensor:
    """The filters of the first convolution (N, C, k, k), each stretched to [-1, 1]."""
    weights = next(p for p in classifier.backbone.parameters() if p.ndim == 4).detach().float()
    low, high = weights.amin((1, 2, 3), keepdim=True), weights.amax((1, 2, 3), keepdim=True)
    stretched: Tensor = (weights - low) / (high - low) * 2 - 1
    return stretched


def release(name: str) -> None:
    """The samples and the thumbnail of a released GAN, or the thumbnail of a released classifier."""
    model = gz.load_model(name)
    if isinstance(model, gz.GAN):
        save(sheet(drawn(model, 24, seed=0), columns=8), f"samples-{name}")
        save(sheet(drawn(model, 4, seed=6), columns=4), f"thumbnail-{name}")
    elif name in LETTERED:
        images = certain(cast(gz.GAN, gz.load_model(LETTERED[name])), model)
        save(sheet(images, columns=5, tile=28), f"thumbnail-{name}")
    else:
        save(sheet(filters(model)[:16], columns=8, tile=24), f"thumbnail-{name}")


def demo(run: Path, columns: int = 4) -> None:
    """Real images, and samples before the transfer, after it and from scratch, side by side.

    `run` is the folder of a transfer with `--compare-scratch`.
    """
    data = DataSpec.from_config(json.loads((run / "config.json").read_text(encoding="utf-8"))["data"]).load()
    count = columns * columns
    after = cast(gz.GAN, gz.load_model(str(run)))
    before = cast(gz.GAN, gz.load_model(str(after.lineage["base_model"])))
    scratch = cast(gz.GAN, gz.load_model(str(runs_in(run)[-1])))
    size, channels = data.shape[-1], data.shape[0]
    panels = {
        "real": data.few(count, seed=1).images,
        "before": before.generate(count, seed=0),
        "after transfer": after.generate(count, seed=0),
        "from scratch": scratch.generate(count, seed=0),
    }
    assert all(tuple(images.shape[1:]) == (channels, size, size) for images in panels.values())
    save(side_by_side(panels, columns), "demo")


def targets(runs: Sequence[Path], columns: int = 3) -> None:
    """One source and several targets: real images above, samples of the same seeds after the transfer below.

    `runs` are the folders of the transfers, whose titles are the names of the targets.
    """
    count = columns * columns
    above: dict[str, Tensor] = {}
    below: dict[str, Tensor] = {}
    for run in runs:
        gan = cast(gz.GAN, gz.load_model(str(run)))
        if not above:
            before = cast(gz.GAN, gz.load_model(str(gan.lineage["base_model"]))).generate(2 * count, seed=0)
            above[f"source: {gan.lineage['base_model']}"], below[""] = before[:count], before[count:]
        config = json.loads((run / "config.json").read_text(encoding="utf-8"))
        data = DataSpec.from_config(config["data"]).load()
        title = config["title"].removeprefix("dcgan-")
        above[f"{len(data)} {title}"] = data.few(count, seed=1).images
        below[f"after transfer to {title}"] = gan.generate(count, seed=0)
    rows = [side_by_side(panels, columns, 15) for panels in (above, below)]
    whole = card(rows[0].width, sum(row.height for row in rows))
    for number, row in enumerate(rows):
        whole.paste(row, (0, number * rows[0].height), row)
    save(whole, "targets")


def side_by_side(panels: dict[str, Tensor], columns: int, size: int = 20) -> Image.Image:
    """Each panel under its title, on one card."""
    sheets = {title: sheet(images, columns) for title, images in panels.items()}
    width = sum(picture.width for picture in sheets.values())
    height = next(iter(sheets.values())).height
    whole, left = card(width, height + HEAD), 0
    for title, picture in sheets.items():
        whole.paste(picture, (left, HEAD), picture)
        middle = (left + picture.width // 2, MARGIN + HEAD // 2)
        ImageDraw.Draw(whole).text(
            middle, title, fill="white", font=ImageFont.load_default(size), anchor="mm"
        )
        left += picture.width
    return whole


def studio(address: str) -> None:
    """The page Explore of a running studio, on a card."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1120, "height": 800})
        page.goto(f"{address.rstrip('/')}/explore?model=dcgan-faces")
        page.locator("[data-move]").first.wait_for()
        for number, end in ((8, "a"), (17, "b")):
            page.locator("#wall button").nth(number).click()
            page.click(f"#use-{end}")
        page.wait_for_timeout(1_000)
        shown = Image.open(io.BytesIO(page.screenshot())).convert("RGB").quantize(200).convert("RGB")
        browser.close()
    whole = card(shown.width + 2 * MARGIN, shown.height + 2 * MARGIN)
    whole.paste(shown, (MARGIN, MARGIN))
    save(whole, "studio")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Make the pictures of the guide from released models.")
    parser.add_argument("--demo", type=Path, metavar="RUN", help="the run folder that make demo wrote")
    parser.add_argument("--targets", type=Path, nargs="+", metavar="RUN", help="run folders of transfers")
    parser.add_argument("--studio", metavar="URL", help="the address of a running gantl-zoo studio")
    chosen = parser.parse_args(arguments)
    PICTURES.mkdir(exist_ok=True)
    for name in gz.list_models():
        if registry.models.info(name).owner == "gantl_zoo":
            release(name)
    if chosen.demo is not None:
        demo(chosen.demo)
    if chosen.targets:
        targets(chosen.targets)
    if chosen.studio is not None:
        studio(chosen.studio)


if __name__ == "__main__":
    main()
