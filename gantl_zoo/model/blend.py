"""`Blend`: a base GAN plus weighted adapters. The sum is always computed from the base, and rounded once."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from gantl_zoo.errors import UsageError, WeightsError
from gantl_zoo.model.adapter import Adapter, state_of
from gantl_zoo.model.lineage import ancestor
from gantl_zoo.networks.base import digest
from gantl_zoo.storage.origin import non_commercial

if TYPE_CHECKING:
    from gantl_zoo.model.gan import GAN


@dataclass(frozen=True)
class Blend:
    """A base and the adapters that are added to it, each with its weight."""

    base: GAN
    added: tuple[tuple[Adapter, float], ...] = ()
    result: str = ""  # digest of the generator that `gan` returned

    def plus(self, adapter: Adapter, weight: float) -> Blend:
        """The blend with one more adapter. Raises `UsageError` for another base, or an unusable weight."""
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not math.isfinite(weight):
            raise UsageError(f"the weight of an adapter is a finite number, such as 0.7, not {weight!r:.80}")
        state, named = state_of(self.base), adapter.base
        if (own := digest(state)) != named["digest"]:
            raise UsageError(self.other_base(adapter, own))
        adapter.check(state)
        return replace(self, added=(*self.added, (adapter, float(weight))), result="")

    def other_base(self, adapter: Adapter, own: str) -> str:
        """The error message for an adapter of another base; `own` is the digest of this one."""
        named = adapter.base
        base = f"{named['model']}@{named['revision']}" if "revision" in named else named["model"]
        text = f"{adapter.name} is an adapter for {base} (generator {named['digest']}), not for "
        text += f"{self.base.name} (generator {own})"
        if merged := self.base.lineage.get("adapters"):
            names = ", ".join(str(one.get("name")) for one in merged if isinstance(one, dict))
            return f"{text}, to which {names} is added already: load {base} and add all adapters to it"
        return f"{text}: load {base}"

    def gan(self) -> GAN:
        """A new GAN with the sum as its generator. Raises `UsageError` if the sum can't be used."""
        generator = copy.deepcopy(self.base.generator)
        generator.load_state_dict(self.state())
        check_variances(generator, ", ".join(f"{weight:g}" for _, weight in self.added))
        names = "+".join([self.base.name, *(adapter.name for adapter, _ in self.added)])
        return replace(
            self.base,
            generator=generator,
            discriminator=copy.deepcopy(self.base.discriminator),
            parts=copy.deepcopy(self.base.parts),
            about=self.about(),
            name=names[:200],
            folder=None,
            blend=replace(self, result=digest(generator.state_dict())),
        )

    def state(self) -> dict[str, Tensor]:
        """The tensors of the sum, on the CPU."""
        state = state_of(self.base)
        sums: dict[str, Tensor] = {}
        for adapter, weight in self.added:
            for name, difference in adapter.differences(state).items():
                sums[name] = sums.get(name, torch.zeros_like(difference)) + weight * difference
        for name, total in sums.items():
            tensor = state[name]
            exact = tensor.double() + total
            state[name] = (exact if tensor.is_floating_point() else exact.round()).to(tensor.dtype)
            if not torch.isfinite(state[name]).all():
                raise WeightsError(
                    f"the adapters make {name[:80]} infinite: a file is damaged, or a weight too large"
                )
        return state

    def about(self) -> dict[str, Any]:
        """The metadata of the sum: base and adapters as its lineage, classes, licence."""
        base = self.base
        words = ", ".join(f"{adapter.name} ×{weight:g}" for adapter, weight in self.added)
        lineage = {
            **ancestor(base, base.name),
            "base_digest": self.added[0][0].base["digest"],
            "base_lineage": base.lineage,
            "strategy": f"{'adapters' if len(self.added) > 1 else 'adapter'} {words}",
            "adapters": [entry(adapter, weight) for adapter, weight in self.added],
        }
        classes = base.about.get("training", {}).get("classes")
        about: dict[str, Any] = {"lineage": lineage, "training": {"classes": classes} if classes else {}}
        adapters = [str(adapter.about.get("license", "")) for adapter, _ in self.added]
        licence = common_licence(str(base.about.get("license", "")), adapters)
        return about | ({"license": licence} if licence else {})


def blend_for(gan: GAN, adapter: Adapter) -> Blend:
    """The blend to which an adapter is to be added: that of `gan` if it still describes the generator and the
    adapter is not for this sum itself, else an empty one with `gan` as its base.
    """
    blend = gan.blend
    if blend is None or (own := digest(state_of(gan))) != blend.result or adapter.base["digest"] == own:
        return Blend(gan)
    return blend


def common_licence(base: str, adapters: Iterable[str]) -> str:
    """The licence of a blend of works with these licences, "" for a work that states none.

    It is the base's if no adapter states another one, or else the only one that is for non-commercial use,
    because its terms must not be dropped; else "".
    """
    known = set(filter(None, [base, *adapters]))
    limits = {licence for licence in known if non_commercial(licence)}
    if limits:
        return limits.pop() if len(limits) == 1 else ""
    return base if known == {base} else ""


def entry(adapter: Adapter, weight: float) -> dict[str, Any]:
    """An adapter's entry in a lineage: name, weight, repository and commit, and how it was trained."""
    hub: Mapping[str, str] = adapter.about.get("hub", {})
    kept = ("strategy", "strategy_config", "data", "seed")
    own = {key: value for key, value in adapter.lineage.items() if key in kept}
    return {"name": adapter.name, "weight": weight, **hub, **own}


def check_variances(network: nn.Module, weights: str) -> None:
    """Raise `UsageError` if a norm has a negative variance, whose root is not a number."""
    for name, module in network.named_modules():
        variance = getattr(module, "running_var", None)
        if isinstance(variance, Tensor) and bool((variance < 0).any()):
            raise UsageError(
                f"the weight {weights} makes a variance in {name} negative; choose weights nearer to 0 to 1"
            )
