"""`Format`: a class that finds the networks in the content of a file. Formats are registered by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from torch import Tensor


@dataclass(frozen=True)
class ImportedNetworks:
    """The networks that a format found in a file.

    `generator` and `discriminator` are `{"name": registered name, "config": builder's arguments}`, as in
    `config.json`; no discriminator is None. The weights have the names of our networks' state dicts.
    `latent_dim` and `classes` (0 if unconditional) are what the file states, else None; the networks must
    agree.
    `notes` are lines about what was left out or changed.
    """

    generator: dict[str, Any]
    generator_weights: Mapping[str, Tensor]
    discriminator: dict[str, Any] | None = None
    discriminator_weights: Mapping[str, Tensor] = field(default_factory=dict)
    latent_dim: int | None = None
    classes: int | None = None
    notes: tuple[str, ...] = ()


@runtime_checkable
class Format(Protocol):
    """How the networks are stored in a file. A registered format is a class or a function that returns one.

    Its keyword arguments are the format's options, such as the architecture; most formats have none. A format
    may have an attribute `terms`: a sentence on the licence of such files, which the imported model keeps.
    """

    def read(self, tree: Any) -> ImportedNetworks:
        """The networks in `tree`, what `unpickle.read` returns. Raises `WeightsError`, which says what is
        missing or unexpected; errors of a damaged tree, such as `KeyError`, are reported by the caller.
        """
        ...
