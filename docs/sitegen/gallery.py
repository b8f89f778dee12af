"""The gallery: every released model of this repository, from the registry and the cards."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

from gantl_zoo import registry
from gantl_zoo.registry.model_info import ModelInfo
from sitegen.links import DOCS, ROOT, rewritten

WIDTH = 76  # characters of a line of code
GROUPS = {"gan": "GANs", "backbone": "Classifiers"}
LOADED = {
    "gan": "gantl-zoo sample {name} --seeds 0-15 --out grid.png",
    "backbone": "gantl-zoo classify transfer {name} --data ./photos",
}


def write(generated: Path) -> None:
    """Write `gallery.md`, and a picture of each GAN that has none in `docs/pictures`."""
    infos = [registry.models.info(name) for name in registry.models.names() if is_here(name)]
    parts = ["# Gallery", "The released models. `gz.load_model(NAME)` loads each without a network."]
    for kind, title in GROUPS.items():
        group = [info for info in infos if info.kind == kind]
        parts += [f"## {title}", *(entry(info, generated) for info in sorted(group, key=order))]
    generated.mkdir(parents=True, exist_ok=True)
    (generated / "gallery.md").write_text("\n\n".join([*parts, ""]), encoding="utf-8")


def is_here(name: str) -> bool:
    """Whether the package that brings a model is in this repository."""
    owner = registry.models.entry(name).owner
    return owner == "gantl_zoo" or (ROOT / "plugins" / owner).is_dir()


def order(info: ModelInfo) -> tuple[bool, int, str]:
    """Those of the core first, those with large images before small ones."""
    height = info.image_shape[1] if info.image_shape else 0
    return info.owner != "gantl_zoo", -height, info.name


def entry(info: ModelInfo, generated: Path) -> str:
    """The part of the page about one model."""
    card = card_of(info)
    rows = {
        "images (C×H×W)": "×".join(map(str, info.image_shape or ())),
        "size": size(info),
        "licence": info.license,
        "package": "" if info.owner == "gantl_zoo" else f"[{info.owner}](plugins/{info.owner}.md)",
        "card": f"[{info.name}](models/{info.name}.md)" if card and card.parent.name == "model_cards" else "",
    }
    command = info.training.get("command")
    parts = [
        f"### {info.name}",
        picture(info, generated),
        f"{info.description[0].upper()}{info.description[1:]}.",
        f"```sh\n{LOADED[info.kind].format(name=info.name)}\n```",
        "\n".join(["| | |", "|---|---|", *(f"| {key} | {text} |" for key, text in rows.items() if text)]),
        f"Training data: {data(info, text_of(card))}",
        f"Trained with:\n\n```sh\n{in_lines(command)}\n```" if command else "",
    ]
    return rewritten("\n\n".join(filter(None, parts)), generated / "gallery.md", "generated/gallery")


def in_lines(command: str) -> str:
    """A long command in several lines that a shell reads as one."""
    lines = textwrap.wrap(command, WIDTH, break_on_hyphens=False, break_long_words=False)
    return " \\\n  ".join(lines)


def size(info: ModelInfo) -> str:
    """Parameters and bytes in words."""
    parts = [f"{info.parameters / 1e6:.2g} million parameters"] if info.parameters else []
    parts += [f"{info.bytes / 1e6:.1f} MB as {info.dtype}"] if info.bytes else []
    return ", ".join(parts)


def card_of(info: ModelInfo) -> Path | None:
    """The file of a model's card; None without one."""
    places = [ROOT / "model_cards" / f"{info.name}.md"]
    places += [info.folder / "README.md"] if info.folder else []
    return next((place for place in places if place.is_file()), None)


def text_of(card: Path | None) -> str:
    return card.read_text(encoding="utf-8") if card else ""


def data(info: ModelInfo, card: str) -> str:
    """What a card says about the training data, its licence and its artist; else the name of the data."""
    if words := re.search(r"^Training data: (.+?)(?:\n\n|\Z)", card, re.M | re.S):
        return " ".join(words[1].split())
    terms = re.search(r"^\| licence of the data \| (.+?) \|$", card, re.M)
    name = str(info.lineage.get("data", {}).get("name", ""))
    return f"{name}. {terms[1]}" if terms else name


def picture(info: ModelInfo, generated: Path) -> str:
    """The picture of a model in `docs/pictures`. If a GAN has none, its samples are drawn to `generated`."""
    for kind, words in (("samples", "Samples of"), ("thumbnail", "Features of")):
        name = f"{kind}-{info.name}.png"
        if (DOCS / "pictures" / name).is_file():
            return f"![{words} {info.name}](../pictures/{name})"
    if info.kind != "gan":
        return ""
    generated.mkdir(parents=True, exist_ok=True)
    draw(info.name, generated / f"samples-{info.name}.png")
    return f"![Samples of {info.name}](samples-{info.name}.png)"


def draw(name: str, path: Path) -> None:
    """Write the samples of a GAN as `docs/pictures.py` does."""
    import pictures

    import gantl_zoo as gz

    model = gz.load_model(name, discriminator=False)
    assert isinstance(model, gz.GAN)
    pictures.sheet(pictures.drawn(model, 24, seed=0), columns=8).save(path)
