"""The suites of generators, discriminators and backbones.

The first checks are the rules of `networks/contract.py`.
"""

from __future__ import annotations

from collections.abc import Callable

from gantl_zoo.networks.contract import Rule, rules_for
from gantl_zoo.testing import behaviour, capabilities
from gantl_zoo.testing.check import Check, Suite
from gantl_zoo.testing.network import Network
from gantl_zoo.testing.subject import begun


def followed(rule: Rule) -> Callable[[Network], str]:
    """A rule of `networks/contract.py` as the function of a check."""
    return lambda subject: rule.broken(subject.probe)


def suite(kind: str) -> Suite:
    """The suite of a registry of networks."""
    built = begun()
    for rule in rules_for(kind):
        needs = ("builds", *rule.needs)
        built.checks.append(Check(rule.name, rule.convention, followed(rule), needs))
    sound = "one-block output-finite" + (" output-range" if kind == "generators" else "")
    built.check("deterministic", sound)(behaviour.deterministic)
    built.check("copies", "deterministic")(behaviour.copies)
    built.check("round-trip", "deterministic")(behaviour.round_trip)
    built.check("input-matters", "deterministic")(behaviour.sensitive)
    built.check("independent", "deterministic")(behaviour.independent)
    built.check("block-order", "deterministic")(behaviour.in_order)
    needed = "deterministic all-in-blocks"
    if kind == "discriminators":
        built.check("self-supervised", "deterministic")(behaviour.self_supervised)
        needed += " self-supervised"
    built.check("gradients", needed)(behaviour.gradients)
    built.check("classes", sound)(capabilities.classes)
    built.check("channels", sound)(capabilities.channels)
    if kind == "backbones":
        built.check("any-size", "deterministic")(capabilities.any_size)
    needed = "gradients classes" + (" any-size" if kind == "backbones" else "")
    built.check("trains", needed)(capabilities.trains)
    return built


GENERATORS, DISCRIMINATORS, BACKBONES = map(suite, ("generators", "discriminators", "backbones"))
GENERATORS.check("by-seed", "independent")(capabilities.by_seed)
GENERATORS.check("mapped", "deterministic")(capabilities.mapped)
GENERATORS.check("stages", "deterministic")(capabilities.stages)
