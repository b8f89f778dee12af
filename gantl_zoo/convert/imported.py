"""`import_weights`: build the networks that a file describes, check them, and save a model folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gantl_zoo import registry
from gantl_zoo.console import say, warn
from gantl_zoo.convert.formats import Format, ImportedNetworks
from gantl_zoo.convert.located import located
from gantl_zoo.convert.unpickle import read
from gantl_zoo.errors import PluginError, UsageError, WeightsError
from gantl_zoo.model.base import check_arguments
from gantl_zoo.model.gan import GAN, check_pair
from gantl_zoo.networks.base import num_classes_of
from gantl_zoo.networks.rebuild import AllocationLimit, float32_default
from gantl_zoo.storage import schema
from gantl_zoo.storage.folder import sha256
from gantl_zoo.storage.headers import Slot, Stored
from gantl_zoo.storage.origin import UNKNOWN, check_licence
from gantl_zoo.storage.untrusted import printable

SHOWN = 12  # names of each side in an error
COUNTER = "num_batches_tracked"  # of BatchNorms, which files of old versions of torch lack


def import_weights(
    format: str,
    file: str | Path,
    *,
    to: str | Path,
    name: str | None = None,
    licence: str | None = None,
    discriminator_file: str | Path | None = None,
    key: str | None = None,
    generator: str | None = None,
    generator_config: Mapping[str, Any] | None = None,
    discriminator: str | None = None,
    discriminator_config: Mapping[str, Any] | None = None,
    mapping: str | Path | Mapping[str, Any] | None = None,
) -> GAN:
    """Import another project's `file` of weights into the new model folder `to`. Returns the GAN.

    `format` is one of `gz.formats.names()`. Nothing in the file is run. `name` is by default that of the
    folder. `licence` is that of the weights, such as "mit"; without it, the card says that it is unknown.
    `discriminator_file` is a second file, `key` the place of the generator's state dict in a file with
    several. The other arguments are for the format "state-dict": the architectures with their arguments, and
    a JSON file or a dict from patterns of names in the file to our names, for both networks or
    `{"generator": {…}, "discriminator": {…}}`.

    Raises `UsageError` for arguments that can't be used, and if `to` exists; `WeightsError` for a file that
    is damaged, hostile or of another architecture. Then nothing is written.
    """
    folder, path = Path(os.path.expanduser(to)), Path(os.path.expanduser(file))
    title = check_target(folder, name, licence)
    second = None if discriminator_file is None else Path(os.path.expanduser(discriminator_file))
    mapping = os.path.expanduser(mapping) if isinstance(mapping, (str, Path)) else mapping
    options: dict[str, Any] = {"discriminator_file": second and str(second), "key": key, "mapping": mapping}
    options |= {"generator": generator, "generator_config": generator_config}
    options |= {"discriminator": discriminator, "discriminator_config": discriminator_config}
    gan, networks, terms = read_gan(reader_of(format, options), path, second, title)
    gan.about = origin(format, hashes(path, second), licence, terms)
    gan.save(folder)
    report(gan, networks, licence, terms)
    gan.folder = folder
    return gan


def read_gan(reader: Format, path: Path, second: Path | None, name: str) -> tuple[GAN, ImportedNetworks, str]:
    """The GAN in the files, the networks that the reader found, and the terms of files of this format."""
    with located(path):
        networks = reader.read(read(path))
    return built(networks, path, second or path, name), networks, str(getattr(reader, "terms", ""))


def origin(format: str, files: Mapping[str, str], licence: str | None, terms: str) -> dict[str, Any]:
    """What `config.json` says about the origin of the weights and their licence."""
    stated = {"format": format, **files, "license": licence or UNKNOWN}
    return {
        "lineage": {"imported": stated | ({"terms": terms} if terms else {})},
        "license": licence or "",
    }


def reader_of(name: str, options: Mapping[str, Any]) -> Format:
    """The reader of a format, with the options that are given. Raises `UsageError` and `PluginError`."""
    given = {key: copied(value) for key, value in options.items() if value is not None}
    reader = registry.formats.build(name, **given)
    if not isinstance(reader, Format):
        raise PluginError(f"format {name!r} is a {type(reader).__name__}, without the method read")
    return reader


def copied(value: Any) -> Any:
    """A mapping as a dict of its own, and any other value as it is."""
    return dict(value) if isinstance(value, Mapping) else value


def hashes(path: Path, second: Path | None) -> dict[str, str]:
    """The names and SHA-256 of the file, and of a second one with the discriminator."""
    sums = {"file": printable(path.name), "sha256": sha256(path)}
    if second is not None:
        sums |= {"discriminator_file": printable(second.name), "discriminator_sha256": sha256(second)}
    return sums


def check_target(folder: Path, name: str | None, licence: str | None) -> str:
    """The name of the model, by default that of its folder. Raises `UsageError` for what can't be stored."""
    check_place(folder)
    return check_words(folder.name if name is None else name, licence)


def check_place(folder: Path) -> None:
    """Raise `UsageError` if the folder exists already."""
    if os.path.lexists(folder):
        raise UsageError(f"{folder} exists; choose another folder with --to, or move it away")


def check_words(name: str, licence: str | None) -> str:
    """The name. Raises `UsageError` if the name or the licence can't be stored."""
    if wrong := schema.title(name):
        raise UsageError(f"the name of a model {wrong}; give another with --name")
    if licence is not None and (wrong := schema.licence(licence)):
        raise UsageError(f"a licence {wrong}")
    if licence is not None:
        check_licence(licence)
    return name


def built(imported: ImportedNetworks, path: Path, second: Path, name: str) -> GAN:
    """The GAN with the weights in two files, or one. Raises `WeightsError` if they don't fit."""
    parts = {"generator": imported.generator}
    networks = {"generator": network_of("generator", imported.generator, imported.generator_weights, path)}
    if imported.discriminator is not None:
        parts["discriminator"] = imported.discriminator
        weights = imported.discriminator_weights
        networks["discriminator"] = network_of("discriminator", imported.discriminator, weights, second)
        names = imported.generator["name"], imported.discriminator["name"]
        check_pair((networks["generator"], networks["discriminator"]), *names)
    generator = networks["generator"]
    stated = {"latent size": imported.latent_dim, "number of classes": imported.classes}
    actual = {"latent size": int(generator.latent_dim), "number of classes": num_classes_of(generator)}
    for what, value in stated.items():
        if value is not None and value != actual[what]:
            raise WeightsError(f"{path} states a {what} of {value}, but its weights have {actual[what]}")
    return GAN(generator, networks.get("discriminator"), parts, name=name)


def network_of(role: str, part: Mapping[str, Any], weights: Mapping[str, Tensor], path: Path) -> Any:
    """The network with these weights, in eval mode. Its size is bounded by that of the weights."""
    source, name = registry.REGISTRIES[f"{role}s"], part["name"]
    check_arguments({role: {"name": name, "config": part["config"]}})
    config = source.configure(name, **part["config"])
    slots = {
        key: Slot(str(tensor.dtype), tuple(tensor.shape), tensor.nbytes) for key, tensor in weights.items()
    }
    try:
        with torch.random.fork_rng(devices=[]), float32_default(), AllocationLimit(Stored(path, slots)):
            network = source.build_empty(name, **config)
    except WeightsError as error:
        raise WeightsError(
            f"{path}: the {role} {name!r} with {str(config)[:300]} is much larger than the weights in the "
            "file: they don't belong together"
        ) from error
    fill(network, weights, f"{path} does not fit the {role} {name!r}")
    return network.eval()


def fill(network: torch.nn.Module, weights: Mapping[str, Tensor], what: str) -> None:
    """Load all of the weights. Raises `WeightsError`, which lists the names without a counterpart."""
    expected = network.state_dict()
    given = dict(weights)
    for key, tensor in expected.items():
        if key.endswith(COUNTER) and key not in given:
            given[key] = torch.zeros_like(tensor)
    only_file = [key for key in given if key not in expected]
    only_ours = [key for key in expected if key not in given]
    shapes = [key for key in given if key in expected and given[key].shape != expected[key].shape]
    kinds = [
        key
        for key in given
        if key in expected and given[key].is_floating_point() != expected[key].is_floating_point()
    ]
    if only_file or only_ours or shapes or kinds:
        lists = [
            listed("only in the file", only_file, given),
            listed("only in the network", only_ours, expected),
            *(
                f"{key} is {sized(given[key])}, not {sized(expected[key])}"
                for key in (shapes + kinds)[:SHOWN]
            ),
        ]
        raise WeightsError(f"{what}: {'; '.join(filter(None, lists))}")
    network.load_state_dict(given, strict=True)


def listed(title: str, names: list[str], tensors: Mapping[str, Tensor]) -> str:
    """The names with their shapes; "" if there are none."""
    if not names:
        return ""
    more = f", and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    shown = (f"{printable(name, 100)} {sized(tensors[name])}" for name in names[:SHOWN])
    return f"{title}: {', '.join(shown)}{more}"


def sized(tensor: Tensor) -> str:
    """The shape of a tensor, and its dtype if it is not of floats."""
    kind = "" if tensor.is_floating_point() else f" {str(tensor.dtype).removeprefix('torch.')}"
    return f"{tuple(tensor.shape)}{kind}"


def report(gan: GAN, imported: ImportedNetworks, licence: str | None, terms: str) -> None:
    """Say what was imported, what was left out, and what is known about the licence."""
    say(f"imported {gan!r}")
    for note in imported.notes:
        say(note)
    if imported.discriminator is None:
        say(
            "the model has no discriminator: sampling needs none; transfer starts with a fresh one, or with "
            "--strategy projected"
        )
    if licence is None:
        warn(
            f"licence unknown: give the licence of the weights with --licence{f'; {terms}' if terms else ''}"
        )
    elif terms:
        say(f"licence {licence}; {terms}")
