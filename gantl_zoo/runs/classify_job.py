"""`ClassifierJob`: everything that a classifier run's `config.json` keeps."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from gantl_zoo.errors import TrainingError
from gantl_zoo.registry.arguments import to_word
from gantl_zoo.runs.kept_config import readable, settings_in
from gantl_zoo.runs.settings import DataSettings
from gantl_zoo.runs.spec import DataSpec
from gantl_zoo.training.classifier_recipe import CHOSEN, ClassifierRecipe

FORMAT = 1
KIND = "classifier-run"  # differs from a model's kind, so that no run folder is read as a model folder


class ClassifierSettings(DataSettings, total=False):
    """Settings of both `classify_train` and `classify_transfer`: `ClassifierRecipe`, data and device.

    `device`: where to train: auto, cpu, cuda, cuda:1 or mps.
    `precision`: number format of the computation: auto, fp32, bf16 or fp16.
    `title`: name of the model. By default the name of the run's folder.
    """

    epochs: int | None
    batch: int | None
    seed: int | None
    lr: float | None
    weight_decay: float | None
    shift: int | None
    flip: bool | None
    smoothing: float | None
    class_weights: str | None
    patience: int | None
    device: str | None
    precision: str | None
    title: str | None


@dataclass(frozen=True, kw_only=True)
class ClassifierJob:
    """All settings of a run, so that it can be resumed from its folder alone."""

    verb: str  # "train" or "transfer"
    name: str  # of the backbone or the source
    data: DataSpec
    recipe: ClassifierRecipe
    fingerprint: str | None = None  # of the training images
    backbone_config: dict[str, Any] = field(default_factory=dict)  # if trained from scratch
    strategy: str = "full"
    strategy_config: dict[str, Any] = field(default_factory=dict)
    gan: str | None = None  # augments the training set with its samples
    gan_samples: int = 5_000
    gan_confidence: float = 0.95
    device: str = "auto"
    precision: str = "auto"
    title: str = ""

    @property
    def in_memory(self) -> bool:
        """Whether the images were given in memory. Then none are held out, and resuming needs them again."""
        return self.data.in_memory

    def to_config(self) -> dict[str, Any]:
        """The contents of config.json."""
        plain = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "fingerprint"}
        data = self.data.to_config() | {"fingerprint": self.fingerprint}
        return {"format": FORMAT, "kind": KIND, **plain, "data": data, "recipe": asdict(self.recipe)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], where: object) -> ClassifierJob:
        """The opposite of `to_config`. Raises `TrainingError` for the config of another kind of run."""
        if config.get("kind") != KIND:
            raise TrainingError(f"{where} is not the run of a classifier")
        kept = settings_in(config, FORMAT, where)
        with readable(where):
            kept["fingerprint"] = kept["data"]["fingerprint"]
            kept["data"] = DataSpec.from_config(kept["data"])
            kept["recipe"] = ClassifierRecipe(**kept["recipe"])
            return cls(**kept)

    def command(self) -> str:
        """The command line that repeats the run: epochs, seed, and all settings that are not defaults."""
        words = ["gantl-zoo", "classify", self.verb, self.name, "--data", self.data.name]
        usual, recipe = asdict(ClassifierRecipe()), asdict(self.recipe)
        spec = {key: getattr(self.data, key) for key in ("shots", "image_size", "channels")}
        options = {key: value for key, value in spec.items() if value is not None}
        options |= {"data_seed": self.data.data_seed} if self.data.data_seed else {}
        options |= {"fit": self.data.fit} if self.data.fit != "crop" else {}
        own = {"device": "auto", "precision": "auto", "title": ""}
        options |= {k: getattr(self, k) for k, default in own.items() if getattr(self, k) != default}
        options |= {"strategy": self.strategy} if self.verb == "transfer" else {}
        always = {"epochs", "seed"} | (set(CHOSEN) if self.verb == "transfer" else set())
        options |= {k: v for k, v in recipe.items() if v != usual[k] or k in always}
        if self.gan is not None:
            options |= {key: getattr(self, key) for key in ("gan", "gan_samples", "gan_confidence")}
        for key, value in options.items():
            option = key.replace("_", "-")
            words += [f"--no-{option}"] if value is False else [f"--{option}"]
            words += [] if isinstance(value, bool) else [str(value)]
        for flag, settings in (
            ("backbone-arg", self.backbone_config),
            ("strategy-arg", self.strategy_config),
        ):
            words += [word for k, v in settings.items() for word in (f"--{flag}", to_word(k, v))]
        return shlex.join(words)
