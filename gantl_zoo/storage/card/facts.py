"""A card's marked part: what `config.json` knows, for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def facts(config: Mapping[str, Any], *, picture: str = "", address: str = "") -> str:
    """What it is, how to use it, where it comes from, how good it is."""
    training = config.get("training", {})
    table = "\n".join(["| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in rows(config))])
    sections = [table, usage(address or str(config.get("name", "model")), config["kind"])]
    if picture:
        sections.append(f"![sixteen samples, of the seeds 0 to 15]({picture})")
    if needed := config.get("requires"):
        packages = " ".join(f"{name}=={version}" for name, version in needed.items())
        sections.append(f"It needs a plug-in: `pip install {packages}`")
    if command := training.get("command"):
        line = " ".join(command.splitlines())  # more lines could end the fence
        sections.append(f"Reproduce it with one command:\n\n```sh\n{line}\n```")
    if curves := training.get("curves"):
        sections.append(curve_table(curves))
    if metrics := config.get("metrics"):
        lines = "\n".join(metric_row(metric) for metric in metrics)
        sections.append(f"| metric | value | floor | measured on |\n|---|---|---|---|\n{lines}")
    return "\n\n".join(sections) + "\n"


def rows(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The table's lines: networks, images, ancestors, data, recipe."""
    lineage, training = config.get("lineage", {}), config.get("training", {})
    parts = [part for part in ("generator", "discriminator", "backbone") if config.get(part)]
    found = [(p, f"`{config[p]['name']}` `{cell(json.dumps(config[p].get('config', {})))}`") for p in parts]
    if image := config.get("image"):
        found.append(("images", f"{image['channels']}×{image['height']}×{image['width']}"))
    if image and (count := config.get("num_classes")):
        names = [cell(name) for name in (training.get("classes") or [])[:20]]
        found.append(("classes", ": ".join([str(count), *([", ".join(names)] if names else [])])))
    if base := lineage.get("base_model"):
        commit = f" at commit `{cell(lineage['base_revision'])}`" if lineage.get("base_revision") else ""
        found.append(("base model", f"`{cell(base)}`{commit}, strategy `{cell(lineage.get('strategy'))}`"))
    if data := lineage.get("data"):
        images = f"{cell(data.get('name'))} ({cell(data.get('images'))} images)"
        found.append(("data", f"{images}, fingerprint `{cell(data.get('fingerprint'))}`"))
    kept = ("steps", "batch", "seed", "loss", "epochs", "best_step")
    return found + [(key.replace("_", " "), cell(training[key])) for key in kept if key in training]


def cell(value: Any) -> str:
    """Text that stays in its cell of a table, whatever a stranger's `config.json` holds."""
    return str(value).replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def curve_table(curves: Mapping[str, Any]) -> str:
    """Distance against steps: `{"metric": name, "curves": {title: {step: value}}}`, thinned to 16 rows."""
    titles = list(curves["curves"])
    steps = sorted({int(step) for curve in curves["curves"].values() for step in curve})
    kept = [step for i, step in enumerate(steps) if i % -(-len(steps) // 16) == 0 or step == steps[-1]]
    heads = " | ".join(cell(title) for title in titles)
    lines = [f"`{cell(curves.get('metric'))}` against steps:", "", f"| step | {heads} |"]
    lines.append("|---" * (len(titles) + 1) + "|")
    for step in kept:
        values = [curves["curves"][title].get(str(step)) for title in titles]
        shown = " | ".join("" if value is None else f"{value:.4g}" for value in values)
        lines.append(f"| {step} | {shown} |")
    return "\n".join(lines)


def metric_row(metric: Mapping[str, Any]) -> str:
    """One line of the metrics' table; the name carries the extractor."""
    floor = f"{metric['floor']:.4g}" if metric.get("floor") is not None else ""
    return f"| {cell(metric['name'])} | {metric['value']:.4g} | {floor} | {cell(metric.get('on', ''))} |"


def usage(address: str, kind: str) -> str:
    """The lines that load the model."""
    call = "images = model.generate(16, seed=0)" if kind == "gan" else "logits = model(images)"
    name = json.dumps(address, ensure_ascii=False)  # in quotes that no name can leave
    return f"```python\nimport gantl_zoo as gz\n\nmodel = gz.load_model({name})\n{call}\n```"
