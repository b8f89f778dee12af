"""`Model`: what a GAN and a classifier have in common, which is how they are kept in a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from torch import nn

from gantl_zoo import registry
from gantl_zoo.errors import UsageError
from gantl_zoo.storage import card, schema
from gantl_zoo.storage.folder import SHARD, write_folder
from gantl_zoo.storage.schema import FORMAT

ABOUT = ("lineage", "training", "metrics", "license")


class Model:
    """Networks of registered names and what is known about them.

    `parts` holds `{"generator": {"name", "config"}, …}`; `about` holds lineage, training and metrics; both as
    in `config.json`.
    """

    kind: ClassVar[str]  # as folders say it
    parts: dict[str, dict[str, Any]]
    about: dict[str, Any]
    name: str
    folder: Path | None  # where it was loaded from

    @property
    def num_classes(self) -> int:
        raise NotImplementedError

    @property
    def classes(self) -> list[str]:
        """The classes' names in order, or numbers where nobody named them."""
        names = list(self.about.get("training", {}).get("classes") or ())
        return names if len(names) == self.num_classes else list(map(str, range(self.num_classes)))

    @property
    def lineage(self) -> dict[str, Any]:
        """Where this model comes from: base model, strategy, data, seed; its ancestors inside."""
        return dict(self.about.get("lineage", {}))

    def networks(self) -> dict[str, nn.Module]:
        """What is saved, by the names of its files."""
        raise NotImplementedError

    def sizes(self) -> dict[str, Any]:
        """What `config.json` tells of images and latents."""
        return {}

    def config(self, dtype: str = "float32") -> dict[str, Any]:
        """The `config.json` that describes this model."""
        return {
            "format": FORMAT,
            "kind": self.kind,
            "name": self.name,
            "dtype": dtype,
            **{part: describe(**said) for part, said in self.parts.items()},
            **self.sizes(),
            "num_classes": self.num_classes,
            "requires": requirements(self.parts),
            "lineage": self.about.get("lineage", {}),
            "training": self.about.get("training", {}),
            "metrics": self.about.get("metrics", []),
            "license": self.about.get("license", ""),
        }

    def save(self, folder: str | Path, *, dtype: str = "float32", max_shard_size: int | str = SHARD) -> Path:
        """Write the model folder, all or nothing; `dtype="float16"` halves it. Returns its path.

        A network above `max_shard_size` ("5GB", or bytes) is split over several files. Raises `UsageError` if
        something else would be lost there, `WeightsError` for weights that aren't finite or a full disk.
        """
        self.check_place(Path(folder))
        config = self.config(dtype)
        readme = card.render(config, card.text_in(folder))
        return write_folder(folder, config, self.networks(), readme, max_shard_size)

    def check_place(self, folder: Path) -> None:
        """Raises `UsageError` if saving there would lose a run or another library's model, or the
        discriminator that this one was loaded without.
        """
        config = folder / "config.json"
        if config.is_file() and not schema.is_ours(config.read_text(encoding="utf-8", errors="replace")):
            raise UsageError(
                f"{config} describes no model of this library but a run, say, and it would be lost: save "
                "elsewhere, or delete it first"
            )
        own = self.folder is not None and folder.resolve() == self.folder.resolve()
        weights_there = any(folder.glob("discriminator.safetensors*")) if own else False  # or their index
        if weights_there and "discriminator" not in self.parts:
            raise UsageError(
                f"{folder} holds the discriminator that {self.name} was loaded without, and it would be "
                "lost: load all of it, or save elsewhere"
            )


def metadata_from(config: Mapping[str, Any], folder: str | Path) -> dict[str, Any]:
    """What a folder's `config.json` tells about its model beside the networks."""
    about = {key: config[key] for key in ABOUT if key in config}
    return {"about": about, "name": str(config.get("name") or Path(folder).name), "folder": Path(folder)}


def check_arguments(parts: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises `UsageError` for networks whose arguments no model folder can hold: before they are trained."""
    for part, said in parts.items():
        try:
            wrong = schema.network(json.loads(json.dumps(describe(**said))))
        except (TypeError, ValueError) as error:
            wrong = f"has arguments that are no JSON: {error}"
        if wrong:
            raise UsageError(f"{part} {said['name']!r} could not be saved, since it {wrong}")


def describe(name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """A network as folders keep it: without the arguments that only fetch starting weights."""
    return {"name": name, "config": {k: v for k, v in config.items() if k not in registry.INITIALISERS}}


def requirements(parts: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The plug-ins, with versions, without which these networks can't be built."""
    entries = [registry.REGISTRIES[f"{kind}s"].info(part["name"]) for kind, part in parts.items()]
    bodies = [part["config"].get("backbone") for part in parts.values()]
    entries += [registry.backbones.info(body) for body in bodies if isinstance(body, str)]
    return registry.requirements(*entries)
