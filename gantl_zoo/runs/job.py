"""`Job`: everything that a run's `config.json` keeps, and what a model says of the run that made it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from gantl_zoo.data import ImageData
from gantl_zoo.metrics.catalogue import AUTO
from gantl_zoo.model.gan import GAN
from gantl_zoo.model.lineage import ancestor
from gantl_zoo.runs.command import command_line
from gantl_zoo.storage.folder import sha256


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is trained from what, so that `--resume` needs nothing else."""

    verb: str  # "train" or "transfer"
    name: str  # the generator's name, or the source model's
    data: dict[str, Any]
    recipe: dict[str, Any]
    networks: dict[str, Any] = field(default_factory=dict)
    strategy: str = "full"
    strategy_config: dict[str, Any] = field(default_factory=dict)
    conditional: bool | None = None  # None: as the source is
    latent_dim: int | None = None  # of a transfer; None: the source's
    metrics: tuple[str, ...] = (AUTO,)
    samples: int = 5_000
    extractor: str = "auto"
    title: str = ""
    compare_scratch: bool = False

    def lineage(self, gan: GAN, images: ImageData) -> dict[str, Any]:
        """The ancestors of the model that this job makes of `gan`."""
        lineage: dict[str, Any] = {"data": images.about(), "seed": self.recipe["seed"]}
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

    def training(self) -> dict[str, Any]:
        """The recipe, and the command that repeats it."""
        return {**self.recipe, "command": command_line(self.verb, self.name, asdict(self))}
