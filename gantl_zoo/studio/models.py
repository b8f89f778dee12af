"""The models that a visitor may choose, and those in memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gantl_zoo.errors import UnknownNameError, UsageError, ZooError
from gantl_zoo.registry.builtins import models
from gantl_zoo.registry.releases import folder_at
from gantl_zoo.storage.untrusted import printable
from gantl_zoo.studio.paths import complete, inside, searched, shown
from gantl_zoo.studio.settings import Settings
from gantl_zoo.zoo import gan_named, readable_info

if TYPE_CHECKING:
    from gantl_zoo.latent import Directions
    from gantl_zoo.model.gan import GAN

KEPT = 3  # models in memory


@dataclass(frozen=True)
class Choices:
    """What a visitor can choose without typing: names of releases, run folders, model folders, data."""

    releases: list[str]
    runs: list[str]
    folders: list[str]
    images: list[str]


def choices(settings: Settings) -> Choices:
    """The choices as they are now."""
    from gantl_zoo.runs.folder import runs_in

    names = [name for name in models.names() if (info := readable_info(name)) and info.kind == "gan"]
    runs = [shown(settings, run) for run in reversed(runs_in(settings.out)) if is_model(run)]
    folders, images = searched(settings)
    return Choices(names, runs, [one for one in folders if one not in runs], images)


def is_model(run: Path) -> bool:
    """Whether a run folder has a model already."""
    return (run / "model" / "config.json").is_file()


def resolved(settings: Settings, text: str) -> str:
    """The unambiguous name of a model, for `load_model` and for the command line.

    `text` is a path below the root, a release, or user/repo on the Hub, in this order. Raises `UsageError`
    for paths outside of the studio's folders.
    """
    text = text.strip()
    if not text:
        raise UsageError("choose a model")
    if text in models and not (settings.root / text).exists():
        return text
    path = None if text.startswith("hf-hub:") else local(settings, text)
    if path is not None:
        return shown(settings, complete(settings, path))
    from gantl_zoo.hub.fetch import parse

    bare = text.removeprefix("hf-hub:")
    if "/" not in bare or parse(bare) is None:
        raise UnknownNameError(
            f"there is no model {printable(text)}: choose a name of the list, a folder below "
            f"{settings.root}, or user/repo on the Hub"
        )
    return f"hf-hub:{bare}"


def local(settings: Settings, text: str) -> Path | None:
    """The folder that a text means, None if it can be a name of the Hub. Raises `UsageError`."""
    explicit = (
        text.startswith((".", "/", "~")) or "\\" in text or text.endswith("/") or ".." in text.split("/")
    )
    path = inside(settings, text)
    if not path.exists() and not explicit:
        return None
    if folder_at(path) is None:
        raise UnknownNameError(f"{printable(text)} is not a model folder")
    return path


@dataclass
class Loaded:
    """A model in memory, and the directions that were found for it."""

    gan: GAN
    stamp: float
    directions: dict[str, Directions] = field(default_factory=dict)


class Models:
    """Loads models by name and keeps the last few; a folder that has changed is loaded anew. Thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.kept: OrderedDict[str, Loaded] = OrderedDict()
        self.lock = threading.RLock()

    def get(self, text: str) -> Loaded:
        """The model of a visitor's text. Raises what `load_model` raises, and `UsageError`."""
        with self.lock:
            name = resolved(self.settings, text)
            stamp = self.stamp(name)
            loaded = self.kept.get(name)
            if loaded is None or loaded.stamp != stamp:
                loaded = Loaded(self.load(name), stamp)
            self.kept[name] = loaded
            self.kept.move_to_end(name)
            while len(self.kept) > KEPT:
                self.kept.popitem(last=False)
            return loaded

    def gan(self, text: str) -> GAN:
        """The GAN alone."""
        return self.get(text).gan

    def load(self, name: str) -> GAN:
        """Load a model without its discriminator; paths are those below the root."""
        loaded = gan_named(self.place(name), discriminator=False)
        return loaded.to(self.settings.device)

    def place(self, name: str) -> str | Path:
        """What `load_model` takes for a resolved name, wherever the studio was started."""
        if name.startswith((".", "/")):
            return self.settings.root / name
        return f"{models.entry(name).owner}:{name}" if name in models and ":" not in name else name

    def report_source(self, text: str) -> str | Path:
        """What `write_report` takes for a visitor's text. Raises `UsageError`."""
        return self.place(resolved(self.settings, text))

    def stamp(self, name: str) -> float:
        """When a folder's config was written; 0 for other models."""
        place = self.place(name)
        folder = folder_at(place) if isinstance(place, Path) else None
        return (folder / "config.json").stat().st_mtime if folder else 0.0

    def directions(self, text: str, method: str) -> Directions:
        """The directions of a model, found once. Raises `UsageError` if the method can't be used with it."""
        from gantl_zoo.latent import find_directions

        with self.lock:
            loaded = self.get(text)
            if method not in loaded.directions:
                loaded.directions[method] = find_directions(loaded.gan, method, count=count_for(loaded.gan))
            return loaded.directions[method]


def count_for(gan: GAN) -> int:
    """How many directions have a slider."""
    return min(8, gan.latent_dim)


def about(gan: GAN) -> dict[str, Any]:
    """What the pages say of a model."""
    channels, height, width = gan.image_shape
    lineage = gan.lineage
    return {
        "name": gan.name,
        "size": f"{width}×{height} {'grey' if channels == 1 else 'colour'}",
        "width": width,
        "height": height,
        "classes": [{"number": i, "name": str(name)} for i, name in enumerate(gan.classes)],
        "source": base_of(gan),
        "strategy": lineage.get("strategy", ""),
        "licence": gan.license,
        "parameters": sum(p.numel() for p in gan.generator.parameters()),
    }


def base_of(gan: GAN) -> str:
    """The name of the model that this one was fine-tuned from; "" if there is none."""
    from gantl_zoo.model.adapter import base_name

    try:
        return base_name(gan)
    except ZooError:
        return ""
