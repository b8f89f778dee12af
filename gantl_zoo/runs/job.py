"""`Job`: everything that a run's `config.json` keeps, and the lineage of its model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from gantl_zoo.data import ImageData
from gantl_zoo.metrics.catalogue import named
from gantl_zoo.model.gan import GAN
from gantl_zoo.model.lineage import ancestor
from gantl_zoo.runs.kept_config import readable, settings_in
from gantl_zoo.runs.measuring import Measuring
from gantl_zoo.runs.spec import DataSpec
from gantl_zoo.storage.folder import sha256
from gantl_zoo.training.recipe import Recipe

FORMAT = 1
KIND = "gan-run"  # differs from a model's kind, so that no run folder is read as a model folder


@dataclass(frozen=True, kw_only=True)
class Networks:
    """New networks: a registered name, and arguments of the builders. A transfer has no new generator."""

    discriminator: str | None = None
    generator_config: dict[str, Any] = field(default_factory=dict)
    discriminator_config: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Job:
    """All settings of a run, so that it can be resumed from its folder alone."""

    verb: str  # "train" or "transfer"
    name: str  # of the generator or the source
    place: str | None = None  # absolute path, if the source is a folder
    source_given: bool = False  # the source was an object without a folder; resuming needs it again
    data: DataSpec
    recipe: Recipe
    fingerprint: str | None = None  # of the training images; None for images in memory
    networks: Networks = field(default_factory=Networks)  # the new ones
    strategy: str = "full"
    strategy_config: dict[str, Any] = field(default_factory=dict)
    conditional: bool | None = None  # None: as the source
    latent_dim: int | None = None  # of a transfer; None: as the source
    measuring: Measuring = field(default_factory=Measuring)
    title: str = ""
    compare_scratch: bool = False
    preset: str | None = None  # name of the preset for settings that were not given
    minutes: float | None = None  # the budget that determined the steps

    def to_config(self) -> dict[str, Any]:
        """The contents of config.json."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        del plain["measuring"], plain["fingerprint"]
        return {
            "format": FORMAT,
            "kind": KIND,
            **plain,
            "data": self.data.to_config() | {"fingerprint": self.fingerprint},
            "recipe": asdict(self.recipe),
            "networks": asdict(self.networks) if self.verb == "train" or self.networks != Networks() else {},
            **asdict(self.measuring),
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any], where: object) -> Job:
        """The opposite of `to_config`, also for earlier versions. Raises `TrainingError` for others."""
        kept = settings_in(config, FORMAT, where)
        with readable(where):
            measuring = {f.name: kept.pop(f.name) for f in fields(Measuring)}
            typed = {
                "data": DataSpec.from_config(kept["data"]),
                "fingerprint": kept["data"]["fingerprint"],
                "recipe": Recipe(**kept["recipe"]),
                "networks": Networks(**kept["networks"]),
                "measuring": Measuring(**measuring | {"metrics": named(measuring["metrics"])}),
            }
            return cls(**kept | typed)

    def lineage(self, gan: GAN, images: ImageData) -> dict[str, Any]:
        """The lineage of the model that this job trains from `gan`."""
        lineage: dict[str, Any] = {"data": images.about(), "seed": self.recipe.seed}
        if self.verb == "train":
            return lineage
        lineage |= {
            **ancestor(gan, self.name),
            "strategy": self.strategy,
            "strategy_config": self.strategy_config,
        }
        if "fitted" in gan.about:  # the source was fitted to images of another shape
            lineage["fitted"] = gan.about["fitted"]
        if gan.folder is not None:  # else the source exists only in memory
            lineage["base_sha256"] = sha256(gan.folder / "generator.safetensors")
        return lineage | {"base_lineage": gan.lineage}
