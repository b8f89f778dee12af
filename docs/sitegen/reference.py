"""The reference of Python: which public name is on which page.

A name that is on no page stops the build, so a new public name needs a place here. The texts are docstrings.
"""

from __future__ import annotations

import inspect
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import gantl_zoo as gz
import gantl_zoo.data
from gantl_zoo.registry.registry import Registry

MODULES = (gz.latent, gz.testing)  # all that their `__all__` lists is public, too
ALSO = {"data.DataReport", "data.Stream", "data.to_float", "data.to_uint8", "registry.Registry"}
# methods that come from other projects' classes are in their documentation
FOREIGN = "Module, Exception, ValueError, Sequence, dict, tuple, object"


@dataclass(frozen=True)
class Subject:
    """A page: its file, title and first sentence, the names on it, and the guide's page about them."""

    file: str
    title: str
    text: str
    listed: str
    guide: str = ""

    @property
    def names(self) -> list[str]:
        """The names without `gantl_zoo.`; `latent.*` in the list means the `__all__` of that module."""
        every = []
        for name in self.listed.split():
            module = name.removesuffix(".*")
            inside = getattr(gz, module).__all__ if name.endswith(".*") else []
            every += [f"{module}.{inner}" for inner in inside] or [name]
        return every


SUBJECTS = [
    Subject(
        "models",
        "Models",
        "Load, build, sample, inspect and save a GAN or a classifier.",
        "load_model list_models GAN Classifier Images ModelInfo build_gan build_classifier",
        "models",
    ),
    Subject(
        "adapters",
        "Adapters",
        "A fine-tuned generator as its difference from the base.",
        "Adapter load_adapter",
        "sharing",
    ),
    Subject(
        "training",
        "Train and transfer",
        "The verbs that train, and the settings that they take.",
        "train transfer classify_train classify_transfer resume Recipe ClassifierRecipe DataSpec "
        "Preset Formula Callback RunView",
        "training",
    ),
    Subject(
        "metrics",
        "Evaluate",
        "Scores of a model, and metrics of your own.",
        "evaluate Report Result classify_evaluate ClassifierReport Metric metrics",
        "metrics",
    ),
    Subject(
        "data",
        "Data",
        "Images from a name, a folder, a zip or memory.",
        "load_data check_data ImageData data.DataReport data.Stream data.to_float data.to_uint8",
        "data",
    ),
    Subject(
        "reports",
        "Report and diagnosis",
        "What a run's records say.",
        "write_report doctor Diagnosis Finding",
        "doctor",
    ),
    Subject(
        "latent",
        "Look inside",
        "Latents, directions, projection, truncation and blocks: `gantl_zoo.latent`.",
        "latent latent.*",
        "latent",
    ),
    Subject(
        "strategies",
        "Strategies",
        "What a transfer trains. Derive from `TransferStrategy` for one of your own.",
        "TransferStrategy Plan Group Batch build_strategy",
        "strategies",
    ),
    Subject(
        "networks",
        "Networks and parts of training",
        "Base classes of networks, augmentations and regularizers.",
        "Generator Discriminator Augment Regularizer starting_weights",
        "plugins",
    ),
    Subject(
        "registries",
        "Registries",
        "Names, and the objects that they refer to: one registry for each kind.",
        "registry.Registry models generators discriminators backbones strategies presets losses "
        "augmentations regularizers weights datasets formats LazyModel",
        "plugins",
    ),
    Subject(
        "sharing",
        "Share and import",
        "The Hugging Face Hub, and weights of other projects.",
        "push pull search_hub hub_models HubModel import_weights",
        "sharing",
    ),
    Subject(
        "export",
        "Export",
        "ONNX and torch.export. `gantl-zoo serve` has the HTTP service.",
        "Exported runtime OnnxGAN OnnxClassifier",
        "export",
    ),
    Subject(
        "testing",
        "Conformance checks",
        "Checks that a plug-in keeps the conventions: `gantl_zoo.testing`.",
        "testing testing.*",
        "plugins",
    ),
    Subject(
        "errors",
        "Errors",
        "Every error that a user can cause is a `ZooError`.",
        "ZooError UsageError UnknownNameError NameTakenError DataError WeightsError PluginError "
        "TrainingError HubError ExportError",
    ),
]


def public() -> set[str]:
    """Every name that the reference must have, without `gantl_zoo.`."""
    inner = {f"{short(module)}.{name}" for module in MODULES for name in module.__all__}
    return {*gz.__all__, *inner, *ALSO}


def short(module: ModuleType) -> str:
    return module.__name__.removeprefix("gantl_zoo.")


def check() -> None:
    """Raise `ValueError` unless each public name is on exactly one page."""
    listed = Counter(name for one in SUBJECTS for name in one.names)
    missing, unknown = sorted(public() - set(listed)), sorted(set(listed) - public())
    twice = [name for name, times in listed.items() if times > 1]
    if missing or unknown or twice:
        raise ValueError(f"docs/sitegen/reference.py: missing {missing}, not public {unknown}, twice {twice}")


def write(generated: Path) -> None:
    """Write `api/index.md` and a page for each subject. Raises `ValueError`; see `check`."""
    check()
    folder = generated / "api"
    folder.mkdir(parents=True, exist_ok=True)
    for one in SUBJECTS:
        (folder / f"{one.file}.md").write_text(page(one), encoding="utf-8")
    (folder / "index.md").write_text(index(), encoding="utf-8")


def index() -> str:
    """The page with all subjects and their names."""
    lines = ["# Python reference", "", "`import gantl_zoo as gz` gives all of these names.", ""]
    for one in SUBJECTS:
        names = ", ".join(f"{{py:obj}}`{name} <gantl_zoo.{name}>`" for name in one.names)
        lines += [f"## [{one.title}]({one.file}.md)", "", f"{one.text} {names}.", ""]
    tree = "\n".join(one.file for one in SUBJECTS)
    return "\n".join([*lines, "```{toctree}", ":hidden:", "", tree, "```", ""])


def page(one: Subject) -> str:
    """The Markdown of a page: a directive of autodoc for each name."""
    guide = f" The guide has more: [{one.guide}](../../{one.guide}.md)." if one.guide else ""
    parts = [f"# {one.title}", f"{one.text}{guide}"]
    parts += [f"```{{eval-rst}}\n{directive(name)}\n```" for name in one.names]
    return "\n\n".join([*parts, ""])


def directive(name: str) -> str:
    """The directive of autodoc for a name."""
    subject = resolved(name)
    options = ""
    if inspect.ismodule(subject):
        kind, options = "module", "\n   :no-members:"
    elif isinstance(subject, type):
        kind, options = "class", f"\n   :members:\n   :inherited-members: {FOREIGN}"
        kind = "exception" if issubclass(subject, Exception) else kind
    elif isinstance(subject, Registry):
        return registry(name, subject)
    else:
        kind = "function" if callable(subject) else "data"
    return f".. auto{kind}:: gantl_zoo.{name}{options}"


def resolved(name: str) -> Any:
    subject: Any = gz
    for part in name.split("."):
        subject = getattr(subject, part)
    return subject


def registry(name: str, entries: Registry) -> str:
    """The description of a registry, and its built-in names."""
    own = [f"``{one}``" for one in entries.names() if entries.entry(one).owner == "gantl_zoo"]
    return (
        f".. py:data:: gantl_zoo.{name}\n   :type: gantl_zoo.registry.Registry\n\n"
        f"   The registry of {entries.kind}. Built-in names: {', '.join(own)}."
    )
