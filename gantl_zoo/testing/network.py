"""`Network`: a registered network that is checked."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor

from gantl_zoo.networks.contract import Probe
from gantl_zoo.testing.check import Skip
from gantl_zoo.testing.probes import TOLERANCE
from gantl_zoo.testing.subject import Subject


@dataclass
class Network(Subject):
    """A registered network."""

    @cached_property
    def probe(self) -> Probe:
        """The network in eval mode, and its output for two inputs."""
        return Probe(self.kind, self.built.eval())

    def output(self, network: Any, inputs: Tensor | None = None) -> Tensor:
        """The output of another network for the same inputs, or for others, without gradients."""
        probe = Probe(self.kind, network)
        probe.inputs = self.probe.inputs if inputs is None else inputs
        probe.labels = self.probe.labels[: len(probe.inputs)]
        output: Tensor = probe.output
        return output


def skip_if_mixing(subject: Network) -> None:
    """Raise `Skip` if the output for an input depends on the others of the batch, and the network says so."""
    if any(getattr(module, "mixes_images", False) for module in subject.built.modules()):
        raise Skip("it declares mixes_images")


def close(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are equal up to rounding, relative to their largest value."""
    scale = float(other.abs().max()) or 1.0
    return one.shape == other.shape and float((one - other).abs().max()) <= TOLERANCE * scale
