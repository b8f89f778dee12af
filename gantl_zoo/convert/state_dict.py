"""The format `state-dict`: weights of any registered architecture, with names that may differ."""

from __future__ import annotations

from typing import Any

from gantl_zoo import registry
from gantl_zoo.convert.formats import ImportedNetworks
from gantl_zoo.convert.mapping import check_used, read_mapping, renamed
from gantl_zoo.convert.states import GENERATORS, State, discriminator_beside, discriminator_in, pick, states
from gantl_zoo.errors import UsageError


class StateDict:
    """State dicts of any registered architecture, with a mapping for names that differ.

    `generator`: name of the generator's architecture.
    `generator_config`: arguments of the generator, such as its image size.
    `discriminator`: name of the discriminator's architecture; without it the discriminator is not imported.
    `discriminator_config`: arguments of the discriminator.
    `discriminator_file`: a second file, with the discriminator.
    `key`: place of the generator's state dict in the file, if it has several.
    `mapping`: JSON file from patterns of names in the file to our names; one star stands for any text, and
        null leaves a tensor out. An object for each network is possible, under generator and discriminator.
    """

    def __init__(
        self,
        *,
        generator: str,
        generator_config: dict[str, Any] | None = None,
        discriminator: str | None = None,
        discriminator_config: dict[str, Any] | None = None,
        discriminator_file: str | None = None,
        key: str | None = None,
        mapping: str | dict[str, Any] | None = None,
    ) -> None:
        if discriminator is None and (discriminator_file or discriminator_config):
            raise UsageError("the discriminator's architecture is missing: --discriminator NAME")
        self.names = read_mapping(mapping)
        config = registry.generators.configure(generator, **(generator_config or {}))
        self.generator = {"name": generator, "config": config}
        self.discriminator: dict[str, Any] | None = None
        if discriminator is not None:
            shared = {key: config[key] for key in ("image_size", "channels", "num_classes") if key in config}
            takes = registry.discriminators.takes(discriminator)[0]
            own = {key: value for key, value in shared.items() if key in takes} | (discriminator_config or {})
            config = registry.discriminators.configure(discriminator, **own)
            self.discriminator = {"name": discriminator, "config": config}
        self.discriminator_file, self.key = discriminator_file, key

    def read(self, tree: Any) -> ImportedNetworks:
        """The networks. Raises `WeightsError`, and `UsageError` for a mapping that doesn't fit."""
        parts = states(tree)
        weights = pick(parts, GENERATORS, "generator", self.key)
        critic: State = {}
        if self.discriminator is not None:
            file = self.discriminator_file
            critic = discriminator_beside(parts, weights) if file is None else discriminator_in(file)
        names = self.names
        check_used(names.generator, [*weights, *(critic if names.shared else ())])
        check_used(names.discriminator, [*critic, *(weights if names.shared else ())])
        mine, others = renamed(weights, names.generator), renamed(critic, names.discriminator)
        return ImportedNetworks(self.generator, mine, self.discriminator, others)
