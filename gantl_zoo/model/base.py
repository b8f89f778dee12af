"""`Model`: the base class of GANs and classifiers: device, metadata, saving to a folder."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from gantl_zoo import registry
from gantl_zoo.errors import UsageError
from gantl_zoo.model.remote import Pretrained
from gantl_zoo.registry.model_info import ModelInfo, class_names, from_config
from gantl_zoo.storage import card, schema
from gantl_zoo.storage.folder import SHARD, write_folder
from gantl_zoo.storage.schema import FORMAT

if TYPE_CHECKING:
    from typing_extensions import Self

ABOUT = ("lineage", "training", "metrics", "license")


class Model(Pretrained):
    """Base class of `GAN` and `Classifier`: registered networks with lineage, metrics and licence.

    `parts` is `{"generator": {"name", "config"}, …}`, `about` is the other metadata, both as in
    `config.json`.
    """

    parts: dict[str, dict[str, Any]]
    about: dict[str, Any]
    name: str

    @property
    def num_classes(self) -> int:
        raise NotImplementedError

    @property
    def classes(self) -> list[str]:
        """The names of the classes in order, or their numbers if they have no names."""
        return class_names(self.about.get("training", {}).get("classes"), self.num_classes)

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """The stored metrics of the model, each with a "name", a "value" and the data that it is "on"."""
        return [dict(row) for row in self.about.get("metrics", [])]

    @property
    def license(self) -> str:
        """The id of the model's licence, such as "mit"; "" if none is stated. It can be set."""
        return str(self.about.get("license", ""))

    @license.setter
    def license(self, value: str) -> None:
        """Raises `UsageError` for anything but one line of text."""
        if problem := schema.licence(value):
            raise UsageError(f"a license {problem}, not {str(value)[:80]!r}")
        self.about["license"] = value

    @property
    def lineage(self) -> dict[str, Any]:
        """The origin of the model: base model with its lineage, strategy, data and seed."""
        return dict(self.about.get("lineage", {}))

    @property
    def main(self) -> nn.Module:
        """The network that computes the model's output."""
        raise NotImplementedError

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next((tensor.device for tensor in self._tensors()), torch.device("cpu"))

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the weights."""
        return next((t.dtype for t in self._tensors() if t.is_floating_point()), torch.float32)

    def _tensors(self) -> Iterator[Tensor]:
        yield from self.main.parameters()
        yield from self.main.buffers()

    def to(self, *place: Any, **options: Any) -> Self:
        """Move all networks to a device or a dtype, in place, as `nn.Module.to` does. Returns the model.

        Raises `UsageError` for a device or a dtype that can't be used.
        """
        try:
            for network in self.networks().values():
                network.to(*place, **options)
        except (TypeError, RuntimeError, AssertionError) as error:
            where = ", ".join(map(str, [*place, *options.values()]))
            raise UsageError(f"{self.name} can't be moved to {where}: {error}") from error
        return self

    def half(self) -> Self:
        """Convert all networks to float16, in place. Returns the model."""
        return self.to(torch.float16)

    def bfloat16(self) -> Self:
        """Convert all networks to bfloat16, in place. Returns the model."""
        return self.to(torch.bfloat16)

    def double(self) -> Self:
        """Convert all networks to float64, in place. Returns the model."""
        return self.to(torch.float64)

    def float(self) -> Self:
        """Convert all networks to float32, in place. Returns the model."""
        return self.to(torch.float32)

    def num_parameters(self) -> int:
        """The number of parameters in all networks."""
        return sum(p.numel() for network in self.networks().values() for p in network.parameters())

    def info(self) -> ModelInfo:
        """The name, sizes, classes, parameters, licence, lineage and metrics of the model as `ModelInfo`."""
        dtype, count = str(self.dtype).removeprefix("torch."), self.num_parameters()
        return from_config(copy.deepcopy(self.config(dtype)), parameters=count, folder=self.folder)

    def summary(self) -> list[str]:
        """The parts of `repr` between the networks' names and the number of parameters."""
        return []

    def __repr__(self) -> str:
        names = "/".join(dict.fromkeys(str(part["name"]) for part in self.parts.values()))
        words = [names, *self.summary(), f"{self.num_parameters():,} parameters"]
        words += [str(self.dtype).removeprefix("torch."), str(self.device)]
        return f"{type(self).__name__}({self.name!r}: {', '.join(words)})"

    def networks(self) -> dict[str, nn.Module]:
        """The networks by their file names without suffix."""
        raise NotImplementedError

    def sizes(self) -> dict[str, Any]:
        """The entries of `config.json` for images and latents."""
        return {}

    def config(self, dtype: str = "float32") -> dict[str, Any]:
        """The `config.json` that describes this model."""
        return {
            "format": FORMAT,
            "kind": self.kind,
            "name": self.name,
            "dtype": dtype,
            **{part: describe(part, **network) for part, network in self.parts.items()},
            **self.sizes(),
            "num_classes": self.num_classes,
            "requires": requirements(self.parts),
            "lineage": self.about.get("lineage", {}),
            "training": self.about.get("training", {}),
            "metrics": self.about.get("metrics", []),
            "license": self.about.get("license", ""),
        }

    def save(self, folder: str | Path, *, dtype: str = "float32", max_shard_size: int | str = SHARD) -> Path:
        """Write the model folder, all or nothing. Returns its path.

        `dtype="float16"` halves the size. A network larger than `max_shard_size` ("5GB", or bytes) is split
        into several files. Raises `UsageError` if the folder holds something else that would be overwritten,
        `WeightsError` if weights are not finite or the folder can't be written.
        """
        folder = Path(os.path.expanduser(folder))
        self.check_place(folder)
        config = self.config(dtype)
        readme = card.render(config, card.text_in(folder), address=address_of(folder))
        return write_folder(folder, config, self.networks(), readme, max_shard_size)

    def check_place(self, folder: Path) -> None:
        """Raise `UsageError` if saving to `folder` would overwrite a run, another library's model, or the
        discriminator that this model was loaded without.
        """
        check_ours(folder, "a model", "gan", "backbone")
        own = self.folder is not None and folder.resolve() == self.folder.resolve()
        weights_there = any(folder.glob("discriminator.safetensors*")) if own else False  # or their index
        if weights_there and "discriminator" not in self.parts:
            raise UsageError(
                f"{folder} holds the discriminator that {self.name} was loaded without, and it would be "
                "lost: load the model with it, or save elsewhere"
            )


def check_ours(folder: Path, what: str, *kinds: str) -> None:
    """Raise `UsageError` if `folder` has a `config.json` of another kind, which saving would overwrite."""
    config = folder / "config.json"
    if config.is_file() and not schema.is_ours(config.read_text(encoding="utf-8", errors="replace"), *kinds):
        raise UsageError(
            f"{config} is not of {what} of this library (of a run, perhaps) and would be overwritten: "
            "save elsewhere, or delete it first"
        )


def address_of(folder: Path) -> str:
    """The name for `load_model` of a folder, relative to the working directory; of a run's model, the run.

    "" for a path with characters that can't be printed.
    """
    place = folder.parent if folder.name == "model" and (folder.parent / "config.json").is_file() else folder
    relative = os.path.relpath(place)
    address = str(place.absolute()) if relative.startswith("..") else Path(relative).as_posix()
    return address if address.isprintable() else ""


def metadata_from(config: Mapping[str, Any], folder: str | Path) -> dict[str, Any]:
    """The arguments `about`, `name` and `folder` of a model, from the `config.json` of a folder."""
    about = {key: config[key] for key in ABOUT if key in config}
    return {"about": about, "name": str(config.get("name") or Path(folder).name), "folder": Path(folder)}


def check_arguments(parts: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise `UsageError` if `config.json` can't hold the networks' arguments, before any training."""
    for part, network in parts.items():
        try:
            problem = schema.network(json.loads(json.dumps(describe(part, **network))))
        except (TypeError, ValueError) as error:
            problem = f"has arguments that are not valid in JSON: {error}"
        if problem:
            raise UsageError(f"{part} {network['name']!r} could not be saved, since it {problem}")


def describe(kind: str, name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """A network's entry in `config.json`, without arguments that only select starting weights.

    `kind` is "generator", "discriminator" or "backbone".
    """
    return registry.REGISTRIES[f"{kind}s"].described(name, config)


def requirements(parts: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The plug-ins, with versions, that these networks and their inner networks need."""
    nested = [registry.REGISTRIES[f"{kind}s"].entries(**part) for kind, part in parts.items()]
    return registry.requirements(*(entry for entries in nested for entry in entries))
