"""`Adapter`: what fine-tuning changed in a generator, as a small file for its base model."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from gantl_zoo.errors import UsageError, WeightsError
from gantl_zoo.model.base import Model, address_of, check_ours, requirements
from gantl_zoo.model.lineage import ancestor
from gantl_zoo.model.remote import LOAD_ADAPTER, Shared
from gantl_zoo.networks.base import digest
from gantl_zoo.networks.difference import TOLERANCE, compact, expand, misfit
from gantl_zoo.registry.imports import resolve
from gantl_zoo.storage import card
from gantl_zoo.storage.folder import SHARD, read_valid, sha256, write_folder
from gantl_zoo.storage.schema import read_config

if TYPE_CHECKING:
    from gantl_zoo.model.gan import GAN

FILE = "adapter.safetensors"


@dataclass(eq=False, repr=False)
class Adapter(Shared):
    """The difference of a fine-tuned generator from its base.

    `about` is its `config.json`. `tensors` are the forms of the differences (`networks.difference`), each
    named after the generator's tensor and the form, such as `blocks.1.conv.weight.a0`. Tensors that did not
    change have none.
    """

    kind = "adapter"

    about: dict[str, Any]
    tensors: dict[str, Tensor]
    folder: Path | None = None  # where it was loaded from

    @property
    def name(self) -> str:
        """The name of the fine-tuned model."""
        return str(self.about.get("name") or (self.folder.name if self.folder else "unnamed"))

    @property
    def base(self) -> dict[str, str]:
        """The base: name, commit on the Hub if it has one, digest of the generator."""
        return dict(self.about["base"])

    @property
    def error(self) -> float:
        """The largest error of a tensor at weight 1, relative to its norm."""
        return float(self.about.get("error", 0.0))

    @property
    def lineage(self) -> dict[str, Any]:
        """The origin of the fine-tuned model: base model, strategy, data and seed."""
        return dict(self.about.get("lineage", {}))

    def num_parameters(self) -> int:
        """The number of stored numbers."""
        return sum(tensor.numel() for tensor in self.tensors.values())

    def __repr__(self) -> str:
        return f"Adapter({self.name!r} for {self.base['model']!r}: {self.num_parameters():,} numbers)"

    def save(self, folder: str | Path, *, max_shard_size: int | str = SHARD) -> Path:
        """Write `config.json`, `adapter.safetensors` and a card, all or nothing. Returns the folder's path.

        Raises `UsageError` if the folder holds anything but an adapter, `WeightsError` if values are not
        finite or the folder can't be written.
        """
        folder = Path(os.path.expanduser(folder))
        check_ours(folder, "an adapter", self.kind)
        config = {key: value for key, value in self.about.items() if key not in ("files", "hub")}
        readme = card.render(config, card.text_in(folder), address=address_of(folder))
        return write_folder(folder, config, {self.kind: self.tensors}, readme, max_shard_size)

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
    ) -> Adapter:
        """Load the adapter `name`; the same as `gantl_zoo.load_adapter`."""
        options = {"token": token, "cache_dir": cache_dir, "local_files_only": local_files_only}
        loaded: Adapter = resolve(LOAD_ADAPTER)(name, revision=revision, **options)
        return loaded

    def forms(self) -> dict[str, dict[str, Tensor]]:
        """The forms of each changed tensor, by the tensor's name."""
        forms: dict[str, dict[str, Tensor]] = {}
        for key, tensor in self.tensors.items():
            name, _, form = key.rpartition(".")
            forms.setdefault(name, {})[form] = tensor
        return forms

    def check(self, state: Mapping[str, Tensor]) -> None:
        """Raise `WeightsError` unless the differences have the names and shapes of the base's tensors."""
        for name, forms in self.forms().items():
            wrong = misfit(forms, state[name]) if name in state else "is not a tensor of the base"
            if wrong:
                raise WeightsError(
                    f"adapter {self.name}: {name[:80]!r} {wrong}, and does not fit {self.base['model']}: the "
                    f"file is damaged or was changed; download it again"
                )

    def differences(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The differences in float64 by the tensors' names. `state` are the base's tensors."""
        return {name: expand(forms, state[name]) for name, forms in self.forms().items()}


def load_adapter_folder(folder: str | Path, origin: dict[str, str] | None = None) -> Adapter:
    """The adapter of a folder. `origin` is its repository and commit on the Hub. Raises `WeightsError`."""
    folder = Path(folder)
    config = read_config(folder)
    if config["kind"] != "adapter":
        raise WeightsError(f"{folder} holds a {config['kind']}, not an adapter")
    tensors = read_valid(folder / FILE, config.get("files"))
    return Adapter(config | ({"hub": origin} if origin else {}), tensors, folder)


def adapter_named(adapter: str | Path | Adapter) -> Adapter:
    """Load an adapter by name; an `Adapter` is returned as it is. Raises `UsageError` for a model."""
    if isinstance(adapter, Adapter):
        return adapter
    if isinstance(adapter, Model):
        raise UsageError(f"{adapter.name} is a model, not an adapter; adapter(base) computes its difference")
    loaded: Adapter = resolve(LOAD_ADAPTER)(adapter)
    return loaded


def base_name(gan: GAN) -> str:
    """The name of the model that a GAN was fine-tuned from. Raises `UsageError` if its lineage has none."""
    lineage = gan.lineage
    if not lineage.get("base_model"):
        raise UsageError(
            f"{gan.name} was not fine-tuned from another model, by its lineage: name the base to which the "
            "adapter is to be added (base=, --base)"
        )
    revision = lineage.get("base_revision")
    return f"{lineage['base_model']}@{revision}" if revision else str(lineage["base_model"])


def check_base(gan: GAN, base: GAN) -> None:
    """Raise `UsageError` unless the weights of `base` have the hash in the lineage of `gan`."""
    expected = gan.lineage.get("base_sha256")
    if expected and base.folder and sha256(base.folder / "generator.safetensors") != expected:
        raise UsageError(
            f"{base.name} in {base.folder} has other weights than the model of this name that {gan.name} was "
            "fine-tuned from; name the right one (base=, --base)"
        )


def difference(
    gan: GAN, base: GAN, name: str, *, rank: int | None = None, tolerance: float = TOLERANCE
) -> Adapter:
    """The adapter that turns `base`, which is called `name`, into `gan`; see `GAN.adapter`."""
    tuned, start = state_of(gan), state_of(base)
    check_same(gan, base, tuned, start)
    tensors: dict[str, Tensor] = {}
    errors = [0.0]
    for key, tensor in tuned.items():
        forms, error = compact(start[key], tensor, rank=rank, tolerance=tolerance)
        tensors |= {f"{key}.{form}": stored for form, stored in forms.items()}
        errors.append(error)
    if not tensors:
        raise UsageError(f"the generators of {gan.name} and {base.name} are equal: nothing to store")
    named = ancestor(base, name)
    commit = {"revision": named["base_revision"]} if "base_revision" in named else {}
    about = gan.config() | {"kind": Adapter.kind, "error": max(errors)}
    about["base"] = {"model": named["base_model"], **commit, "digest": digest(start)}
    about["requires"] = requirements({"generator": gan.parts["generator"]})
    about.pop("discriminator", None)
    if max(errors) > TOLERANCE:
        about["metrics"] = []  # they are of the fine-tuned model, which a lossy adapter does not give
    return Adapter(about, tensors)


def check_settings(rank: int | None, tolerance: float) -> None:
    """Raise `UsageError` for a rank or a tolerance that can't be used."""
    if rank is not None and (type(rank) is not int or rank < 1):
        raise UsageError(f"rank must be a whole number of at least 1, not {rank!r}")
    if not isinstance(tolerance, (int, float)) or not 0 <= tolerance < 1:
        raise UsageError(f"tolerance must be at least 0 and below 1, not {tolerance!r}")


def state_of(gan: GAN) -> dict[str, Tensor]:
    """The generator's tensors on the CPU. Raises `UsageError` unless their floats are float32."""
    network: nn.Module = gan.generator
    state = {name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}
    odd = {str(t.dtype)[6:] for t in state.values() if t.is_floating_point() and t.dtype != torch.float32}
    if odd:
        raise UsageError(
            f"{gan.name} is in {', '.join(sorted(odd))}: adapters are for float32; load it in float32, and "
            "convert the result"
        )
    return state


def check_same(gan: GAN, base: GAN, tuned: Mapping[str, Tensor], start: Mapping[str, Tensor]) -> None:
    """Raise `UsageError` unless both generators have the same architecture, names and shapes of tensors."""
    shapes = [{name: tuple(tensor.shape) for name, tensor in one.items()} for one in (tuned, start)]
    names = {one.parts["generator"]["name"].rpartition(":")[2] for one in (gan, base)}
    if shapes[0] == shapes[1] and len(names) == 1 and gan.image_shape == base.image_shape:
        return
    raise UsageError(
        f"an adapter needs a base of the same architecture: {gan.name} is a {outline(gan)}, {base.name} a "
        f"{outline(base)}; the transfer fitted its source to other images or classes: save the whole model"
    )


def outline(gan: GAN) -> str:
    """A generator's name, image shape, latent size, classes and tensors, for an error message."""
    size = "×".join(map(str, gan.image_shape))
    classes = f", {gan.num_classes} classes" if gan.num_classes else ""
    tensors = sum(tensor.numel() for tensor in gan.generator.state_dict().values())
    return (
        f"{gan.parts['generator']['name']} for {size}, latent {gan.latent_dim}{classes}, {tensors:,} numbers"
    )
