"""A card's head: the YAML that the Hub reads. Written and read with huggingface_hub's `ModelCard`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from gantl_zoo.errors import UsageError

LIBRARY = "gantl-zoo"
# Data sets that we load by name and the Hub has; other names stay in the text.
ON_THE_HUB = {
    "cifar10": "uoft-cs/cifar10",
    "fashion-mnist": "zalando-datasets/fashion_mnist",
    "mnist": "ylecun/mnist",
}
RENEWED = ("model-index", "base_model", "base_model_relation")  # true of these weights or not there
JOINED = ("tags", "datasets")


def read(text: str) -> tuple[dict[str, Any], str]:
    """A card's head and its body. Raises `UsageError` if the head is no YAML."""
    from huggingface_hub import ModelCard

    text = text.replace("\r\n", "\n")
    if not re.match(r"\s*---\n.*?\n---", text, re.S):
        return {}, text
    try:
        card = ModelCard(text, ignore_metadata_errors=True)
    except Exception as error:  # PyYAML's errors have no common public base with ValueError
        cause = " ".join(str(error).split())
        raise UsageError(f"the head of README.md, between the lines ---, is no YAML: {cause}") from error
    head: dict[str, Any] = card.data.to_dict()  # type: ignore[no-untyped-call]
    return head, card.text.removeprefix("\n")


def written(config: Mapping[str, Any], *people: Mapping[str, Any]) -> str:
    """The head for `config`. Keys in the heads `people`, the last one first, stay unless they are ours."""
    from huggingface_hub import ModelCardData

    found: dict[str, Any] = {}
    for head in people:
        found |= {key: value for key, value in head.items() if key not in RENEWED}
    ours = made(config)
    for key in JOINED:
        values = [*ours.get(key, []), *(value for head in people for value in _listed(head.get(key)))]
        if values:
            ours[key] = list(dict.fromkeys(values))
    rest = {key: value for key, value in found.items() if key not in ours}
    return f"---\n{ModelCardData(**ours, **rest).to_yaml()}\n---"


def made(config: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata that the Hub gets of a model, all of it from `config.json`."""
    lineage = config.get("lineage", {})
    head: dict[str, Any] = {"library_name": LIBRARY, "license": config.get("license") or None}
    task, tag = _task(config)
    head["pipeline_tag"] = task if tag is None else None
    head["tags"] = [word for word in (tag, *_tags(config)) if word]
    data = str(lineage.get("data", {}).get("name"))
    command = f"{config.get('training', {}).get('command', '')} "
    if data in ON_THE_HUB and f" --data {data} " in command:  # a folder of that name is something else
        head["datasets"] = [ON_THE_HUB[data]]
    if lineage.get("base_revision") and lineage.get("base_model"):  # from the Hub, so its name is one there
        head |= {"base_model": lineage["base_model"], "base_model_relation": "finetune"}
    if results := _results(config, task):
        head |= {"model_name": str(config.get("name", "model")), "eval_results": results}
    return {key: value for key, value in head.items() if value is not None}


def _task(config: Mapping[str, Any]) -> tuple[str, str | None]:
    """The Hub's task; and a free tag in its place where no task of the Hub is true."""
    if config["kind"] != "gan":
        return "image-classification", None
    if config.get("num_classes"):
        return "image-generation", "image-generation"
    return "unconditional-image-generation", None


def _tags(config: Mapping[str, Any]) -> list[str]:
    if config["kind"] != "gan":
        return ["pytorch", config["backbone"]["name"], "transfer-learning"]
    return ["gan", "pytorch", config["generator"]["name"], "transfer-learning"]


def _results(config: Mapping[str, Any], task: str) -> list[Any]:
    """Metrics as the Hub shows them: each name says extractor and counts."""
    from huggingface_hub import EvalResult

    found = []
    for metric in config.get("metrics", []):
        value, on = metric.get("value"), str(metric.get("on", ""))
        if not isinstance(value, (int, float)) or not math.isfinite(value):
            continue
        data = on.rpartition(" of ")[2] or str(config.get("lineage", {}).get("data", {}).get("name", "data"))
        result = EvalResult(
            task_type=task,
            dataset_type=ON_THE_HUB.get(data, data),
            dataset_name=data,
            dataset_split=metric.get("split"),
            metric_type=str(metric.get("metric", metric["name"])),
            metric_value=float(f"{value:.6g}"),
            metric_name=f"{metric['name']}, {on}" if on else metric["name"],
        )
        found.append(result)
    return found


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
