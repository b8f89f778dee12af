"""`Job`: everything that a run's `config.json` keeps, and what a model's lineage says of the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from gantl_zoo.data import ImageData
from gantl_zoo.metrics.catalogue import AUTO, named
from gantl_zoo.model.gan import GAN
from gantl_zoo.model.lineage import ancestor
from gantl_zoo.runs.kept_config import readable, settings_in
from gantl_zoo.runs.spec import DataSpec
from gantl_zoo.storage.folder import sha256
from gantl_zoo.training.recipe import Recipe

FORMAT = 1
KIND = "gan-run"  # never a model's kind: a run's folder must not be taken for a model's


@dataclass(frozen=True, kw_only=True)
class Networks:
    """What a training from scratch builds: names are registered ones, configs are builder arguments."""

    discriminator: str | None = None
    generator_config: dict[str, Any] = field(default_factory=dict)
    discriminator_config: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Measuring:
    """How a run's model is measured: names of metrics, number of samples, name of the extractor."""

    metrics: tuple[str, ...] = (AUTO,)
    samples: int = 5_000
    extractor: str = AUTO


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is trained from what, so that resuming needs nothing else."""

    verb: str  # "train" or "transfer"
    name: str  # the generator's name, or the source model's
    place: str | None = None  # the absolute path of a source that is a folder
    source_given: bool = False  # the source was an object that lies in no folder, so it is needed again
    data: DataSpec
    recipe: Recipe
    fingerprint: str | None = None  # of the training images; None for images in memory
    networks: Networks = field(default_factory=Networks)  # of a training from scratch
    strategy: str = "full"
    strategy_config: dict[str, Any] = field(default_factory=dict)
    conditional: bool | None = None  # None: as the source is
    latent_dim: int | None = None  # of a transfer; None: the source's
    measuring: Measuring = field(default_factory=Measuring)
    title: str = ""
    compare_scratch: bool = False
    preset: str | None = None  # where settings that nobody gave come from
    minutes: float | None = None  # the budget that the steps were counted for

    def to_config(self) -> dict[str, Any]:
        """As config.json keeps it."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        del plain["measuring"], plain["fingerprint"]
        return {
            "format": FORMAT,
            "kind": KIND,
            **plain,
            "data": self.data.to_config() | {"fingerprint": self.fingerprint},
            "recipe": asdict(self.recipe),
            "networks": asdict(self.networks) if self.verb == "train" else {},
            **asdict(self.measuring),
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any], where: object) -> Job:
        """The opposite of `to_config`. Raises `TrainingError` for what is not a run of this version or of an
        earlier one.
        """
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
        """The ancestors of the model that this job makes of `gan`."""
        lineage: dict[str, Any] = {"data": images.about(), "seed": self.recipe.seed}
        if self.verb == "train":
            return lineage
        lineage |= {
            **ancestor(gan, self.name),
            "strategy": self.strategy,
            "strategy_config": self.strategy_config,
        }
        if "fitted" in gan.about:  # to images of another shape
            lineage["fitted"] = gan.about["fitted"]
        if gan.folder is not None:  # else the source exists in memory only
            lineage["base_sha256"] = sha256(gan.folder / "generator.safetensors")
        return lineage | {"base_lineage": gan.lineage}
