"""A card's metadata: the YAML between the `---` lines at its head, which the Hub reads."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from gantl_zoo.errors import UsageError

LIBRARY = "gantl-zoo"
# Built-in data names, and the same data sets on the Hub. Other names appear in the card's text only.
ON_THE_HUB = {
    "cifar10": "uoft-cs/cifar10",
    "fashion-mnist": "zalando-datasets/fashion_mnist",
    "mnist": "ylecun/mnist",
}
RENEWED = (
    "model-index",
    "base_model",
    "base_model_relation",
)  # always replaced or removed: old values would be wrong for new weights
JOINED = ("tags", "datasets")  # lists to which a person may add


def read(text: str) -> tuple[dict[str, Any], str]:
    """Split a card into its metadata and its body. Raises `UsageError` if the metadata isn't valid YAML."""
    from huggingface_hub import ModelCard

    text = text.replace("\r\n", "\n")
    if not re.match(r"\s*---\n.*?\n---", text, re.S):
        return {}, text
    try:
        card = ModelCard(text, ignore_metadata_errors=True)
    except Exception as error:  # PyYAML's errors and ValueError have no common base class
        cause = " ".join(str(error).split())
        raise UsageError(
            f"the head of README.md, between the --- lines, is not valid YAML: {cause}"
        ) from error
    head: dict[str, Any] = card.data.to_dict()  # type: ignore[no-untyped-call]
    return head, card.text.removeprefix("\n")


def head_of(config: Mapping[str, Any], *people: Mapping[str, Any]) -> str:
    """The YAML head for `config`. Keeps keys of the heads `people` that we don't set; later heads win."""
    from huggingface_hub import ModelCardData

    theirs: dict[str, Any] = {}
    for head in people:
        theirs |= {key: value for key, value in head.items() if key not in RENEWED}
    ours = metadata(config)
    for key in JOINED:
        values = [*ours.get(key, []), *(value for head in people for value in _listed(head.get(key)))]
        if values:
            ours[key] = list(dict.fromkeys(values))
    others = {key: value for key, value in theirs.items() if key not in ours}
    return f"---\n{ModelCardData(**ours, **others).to_yaml()}\n---"


def metadata(config: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords of `ModelCardData` that follow from `config.json`."""
    lineage = config.get("lineage", {})
    head: dict[str, Any] = {"library_name": LIBRARY, "license": config.get("license") or None}
    task, tag = _task(config)
    head["pipeline_tag"] = task if tag is None else None
    head["tags"] = [word for word in (tag, *_tags(config)) if word]
    data = str(lineage.get("data", {}).get("name"))
    command = f"{config.get('training', {}).get('command', '')} "
    if data in ON_THE_HUB and f" --data {data} " in command:  # not a folder of the same name
        head["datasets"] = [ON_THE_HUB[data]]
    base, revision = lineage.get("base_model"), lineage.get("base_revision")
    if adapter := config.get("base"):
        base, revision = adapter["model"], adapter.get("revision")
    if base and revision:  # only a model from the Hub has a revision
        head |= {"base_model": base, "base_model_relation": "adapter" if adapter else "finetune"}
    if results := _results(config, task):
        head |= {"model_name": str(config.get("name", "model")), "eval_results": results}
    return {key: value for key, value in head.items() if value is not None}


def _task(config: Mapping[str, Any]) -> tuple[str, str | None]:
    """The Hub's task, and a tag that replaces it if the Hub has no such task."""
    if config["kind"] == "backbone":
        return "image-classification", None
    if config.get("num_classes"):
        return "image-generation", "image-generation"
    return "unconditional-image-generation", None


def _tags(config: Mapping[str, Any]) -> list[str]:
    if config["kind"] == "backbone":
        return ["pytorch", config["backbone"]["name"], "transfer-learning"]
    kind = ["adapter"] if config["kind"] == "adapter" else []
    return ["gan", *kind, "pytorch", config["generator"]["name"], "transfer-learning"]


def _results(config: Mapping[str, Any], task: str) -> list[Any]:
    """The finite metrics as the Hub shows them: names include the extractor and the number of images."""
    from huggingface_hub import EvalResult

    results = []
    for metric in config.get("metrics", []):
        value, on = metric.get("value"), str(metric.get("on", ""))
        if not isinstance(value, (int, float)) or not math.isfinite(value):
            continue
        data = data_of(on) or str(config.get("lineage", {}).get("data", {}).get("name", "data"))
        result = EvalResult(
            task_type=task,
            dataset_type=ON_THE_HUB.get(data, data),
            dataset_name=data,
            dataset_split=metric.get("split"),
            metric_type=str(metric.get("metric", metric["name"])),
            metric_value=float(f"{value:.6g}"),
            metric_name=f"{metric['name']}, {on}" if on else metric["name"],
        )
        results.append(result)
    return results


def data_of(on: str) -> str:
    """The name of the data that a metric was measured on, from the sentence that says so."""
    named = re.sub(r", [\d,]+ of which are training images$", "", on)
    return named.partition(" images of ")[2] or named.rpartition(" of ")[2]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
