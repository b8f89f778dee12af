"""The model card: text made from a model folder's `config.json`, around prose that a person wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

BEGIN, END = "<!-- made from config.json: begin -->", "<!-- made from config.json: end -->"


def render(config: Mapping[str, Any], prose: str = "") -> str:
    """The whole README.md of a model folder; `prose` follows the part that is made from `config`."""
    name = config.get("name", "model")
    return f"{front_matter(config)}\n# {name}\n\n{BEGIN}\n{facts(config)}\n{END}\n{prose}"


def front_matter(config: Mapping[str, Any]) -> str:
    """The YAML head that the Hub reads."""
    lines = ["---", "library_name: gantl-zoo"]
    if config["kind"] == "gan" and not config.get("num_classes"):
        lines.append("pipeline_tag: unconditional-image-generation")
    elif config["kind"] == "backbone":
        lines.append("pipeline_tag: image-classification")
    tags = ["gan", "transfer-learning"] if config["kind"] == "gan" else ["transfer-learning"]
    if licence := config.get("license"):
        lines.append(f"license: {licence}")
    return "\n".join([*lines, f"tags: [{', '.join(tags)}]", "---"])


def facts(config: Mapping[str, Any]) -> str:
    """What it is, how to use it, where it comes from, how good it is."""
    name, lineage, training = (
        config.get("name", "model"),
        config.get("lineage", {}),
        config.get("training", {}),
    )
    parts = [part for part in ("generator", "discriminator", "backbone") if config.get(part)]
    lines = [
        f"| {part} | `{config[part]['name']}` `{json.dumps(config[part]['config'])}` |" for part in parts
    ]
    if image := config.get("image"):
        lines.append(f"| images | {image['channels']}×{image['height']}×{image['width']} |")
    if base := lineage.get("base_model"):
        lines.append(f"| base model | `{base}`, strategy `{lineage.get('strategy')}` |")
    if data := lineage.get("data"):
        lines.append(
            f"| data | {data.get('name')} ({data.get('images')} images), fingerprint "
            f"`{data.get('fingerprint')}` |"
        )
    for key in ("steps", "batch", "seed", "loss", "epochs", "best_step"):
        if key in training:
            lines.append(f"| {key.replace('_', ' ')} | {training[key]} |")
    table = "\n".join(["| | |", "|---|---|", *lines])
    sections = [table, usage(name, config["kind"])]
    if command := training.get("command"):
        sections.append(f"Reproduce it with one command:\n\n```sh\n{command}\n```")
    if curves := training.get("curves"):
        sections.append(curve_table(curves))
    if metrics := config.get("metrics"):
        rows = "\n".join(metric_row(metric) for metric in metrics)
        sections.append(f"| metric | value | floor | measured on |\n|---|---|---|---|\n{rows}")
    return "\n\n".join(sections) + "\n"


def curve_table(curves: Mapping[str, Any]) -> str:
    """Distance against steps: `{"metric": name, "curves": {title: {step: value}}}`, thinned to 16 rows."""
    titles = list(curves["curves"])
    steps = sorted({int(step) for curve in curves["curves"].values() for step in curve})
    kept = [step for i, step in enumerate(steps) if i % -(-len(steps) // 16) == 0 or step == steps[-1]]
    lines = [f"`{curves['metric']}` against steps:", "", f"| step | {' | '.join(titles)} |"]
    lines.append("|---" * (len(titles) + 1) + "|")
    for step in kept:
        values = [curves["curves"][title].get(str(step)) for title in titles]
        shown = " | ".join("" if value is None else f"{value:.4g}" for value in values)
        lines.append(f"| {step} | {shown} |")
    return "\n".join(lines)


def metric_row(metric: Mapping[str, Any]) -> str:
    """One line of the metrics' table; the name carries the extractor."""
    floor = f"{metric['floor']:.4g}" if metric.get("floor") is not None else ""
    return f"| {metric['name']} | {metric['value']:.4g} | {floor} | {metric.get('on', '')} |"


def usage(name: str, kind: str) -> str:
    """The lines that load the model."""
    call = "images = model.generate(16, seed=0)" if kind == "gan" else "logits = model(images)"
    return f'```python\nimport gantl_zoo as gz\n\nmodel = gz.load_model("{name}")\n{call}\n```'
