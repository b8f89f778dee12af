"""The generated part of a model card, as Markdown made from `config.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from gantl_zoo.storage.origin import imported
from gantl_zoo.storage.requirements import install_line

COLOURS = {1: "grey", 3: "RGB"}
ARROWS = {"lower": "↓", "higher": "↑"}


def facts(config: Mapping[str, Any], *, picture: str = "", address: str = "") -> str:
    """The sections of a card: samples, usage, networks, training, evaluation.

    `picture` is the file of a sample grid, `address` what `load_model` takes.
    """
    sections = [summary(config)]
    if picture:
        sections.append(f"![16 samples, generated with the seeds 0 to 15]({picture})")
    sections.append(f"## Usage\n\n{usage(address or str(config.get('name', 'model')), config)}")
    sections.append(f"## Model\n\n{table(model_rows(config))}")
    if origin := imported(config):
        sections.append(f"## Origin\n\n{table(origin_rows(origin))}")
    if training := training_section(config):
        sections.append(f"## Training\n\n{training}")
    if metrics := config.get("metrics"):
        sections.append(f"## Evaluation\n\n{evaluation(metrics)}")
    return "\n\n".join(sections) + "\n"


def summary(config: Mapping[str, Any]) -> str:
    """One sentence: the kind of model, its images or classes, its data."""
    image, count = config.get("image"), config.get("num_classes")
    if config["kind"] == "adapter":
        what = f"An adapter for `{cell(config['base']['model'])}`"
        name = config.get("lineage", {}).get("data", {}).get("name")
        return f"{what}, trained on {cell(name)}." if name else f"{what}."
    if config["kind"] == "gan":
        what = f"A class-conditional GAN with {count} classes" if count else "An unconditional GAN"
        if image:
            colour = COLOURS.get(image["channels"], f"{image['channels']}-channel")
            what += f" that generates {image['height']}×{image['width']} {colour} images"
    else:
        what = f"An image classifier with {count} classes" if count else "An image classifier"
    lineage = config.get("lineage", {})
    if name := lineage.get("data", {}).get("name"):
        base = lineage.get("base_model")
        verb = f"fine-tuned from `{cell(base)}` on" if base else "trained on"
        what += f", {verb} {cell(name)}"
    return f"{what}."


def table(rows: Sequence[tuple[str, str]]) -> str:
    """A Markdown table of keys and values."""
    return "\n".join(["| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in rows)])


def model_rows(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The networks with their arguments, the shape of the images, the classes."""
    parts = [part for part in ("generator", "discriminator", "backbone") if config.get(part)]
    rows = [(p, f"`{config[p]['name']}` `{cell(json.dumps(config[p].get('config', {})))}`") for p in parts]
    if base := config.get("base"):
        commit = f" at commit `{base['revision']}`" if base.get("revision") else ""
        rows.append(("adapter for", f"`{cell(base['model'])}`{commit}, generator `{base['digest']}`"))
        rows.append(("largest error", f"{config.get('error', 0):.1g} of a tensor's norm"))
    if image := config.get("image"):
        rows.append(("images (C×H×W)", f"{image['channels']}×{image['height']}×{image['width']}"))
    if count := config.get("num_classes"):
        names = [cell(name) for name in (config.get("training", {}).get("classes") or [])[:20]]
        rows.append(("classes", ": ".join([str(count), *([", ".join(names)] if names else [])])))
    return rows


def origin_rows(origin: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The file that the weights come from, and their licence."""
    file = f"`{cell(origin.get('file'))}`, SHA-256 `{cell(origin.get('sha256'))}`"
    rows = [("imported from", file), ("format", f"`{cell(origin.get('format'))}`")]
    if second := origin.get("discriminator_file"):
        digest = cell(origin.get("discriminator_sha256"))
        rows.append(("discriminator from", f"`{cell(second)}`, SHA-256 `{digest}`"))
    rows.append(("licence of these weights", cell(origin.get("license") or "unknown")))
    return rows + ([("terms", cell(origin["terms"]))] if origin.get("terms") else [])


def training_section(config: Mapping[str, Any]) -> str:
    """Base model, data and recipe; the command; the curve of a metric. "" if nothing is known."""
    training, rows = config.get("training", {}), training_rows(config)
    parts = [table(rows)] if rows else []
    if command := training.get("command"):
        line = " ".join(command.splitlines())  # a line break could end the code block
        parts.append(f"Trained with:\n\n```sh\n{line}\n```")
    if curves := training.get("curves"):
        parts.append(curve_table(curves))
    return "\n\n".join(parts)


def training_rows(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The base model, the data, and the recipe's main settings."""
    lineage, training = config.get("lineage", {}), config.get("training", {})
    rows = []
    if base := lineage.get("base_model"):
        commit = f" at commit `{cell(lineage['base_revision'])}`" if lineage.get("base_revision") else ""
        rows.append(("base model", f"`{cell(base)}`{commit}, strategy `{cell(lineage.get('strategy'))}`"))
    if data := lineage.get("data"):
        images = f"{cell(data.get('name'))} ({cell(grouped(data.get('images')))} images)"
        fingerprint = f", fingerprint `{cell(data['fingerprint'])}`" if data.get("fingerprint") else ""
        rows.append(("data", images + fingerprint))
    settings = ("steps", "batch", "seed", "loss", "epochs", "best_step")
    return rows + [
        (key.replace("_", " "), cell(grouped(training[key]))) for key in settings if key in training
    ]


def grouped(value: Any) -> Any:
    """An integer with commas between its thousands; any other value as it is."""
    return f"{value:,}" if type(value) is int else value


def cell(value: Any) -> str:
    """Untrusted text, escaped so that it stays inside its cell of a table."""
    return str(value).replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def curve_table(curves: Mapping[str, Any]) -> str:
    """A metric at up to 16 training steps, from `{"metric": name, "curves": {title: {step: value}}}`."""
    titles = list(curves["curves"])
    steps = sorted({int(step) for curve in curves["curves"].values() for step in curve})
    kept = [step for i, step in enumerate(steps) if i % -(-len(steps) // 16) == 0 or step == steps[-1]]
    heads = " | ".join(cell(title) for title in titles)
    lines = [f"`{cell(curves.get('metric'))}` during training:", "", f"| step | {heads} |"]
    lines.append("|---" * (len(titles) + 1) + "|")
    for step in kept:
        values = [curves["curves"][title].get(str(step)) for title in titles]
        shown = " | ".join("" if value is None else f"{value:.4g}" for value in values)
        lines.append(f"| {step:,} | {shown} |")
    return "\n".join(lines)


def evaluation(metrics: Sequence[Mapping[str, Any]]) -> str:
    """The table of metrics, and what its names and columns mean."""
    counts = {str(metric.get("on") or "") for metric in metrics}
    columns = ["metric", "value"]
    floors = any(metric.get("floor") is not None for metric in metrics)
    columns += ["floor"] if floors else []
    columns += ["measured on"] if len(counts) > 1 else []
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    lines += [f"| {' | '.join(metric_cells(metric, columns))} |" for metric in metrics]
    notes = [f"Measured on {cell(on)}." for on in counts if on and len(counts) == 1]
    if any(metric.get("extractor") for metric in metrics):
        notes.append(
            "The suffix of a name is the feature extractor; only values of the same one are comparable."
        )
    if floors:
        notes.append("*Floor*: the same metric with real images in place of samples.")
    return "\n\n".join([*([" ".join(notes)] if notes else []), "\n".join(lines)])


def metric_cells(metric: Mapping[str, Any], columns: Sequence[str]) -> list[str]:
    """One row of the metrics' table. The arrow says whether lower or higher values are better."""
    arrow = ARROWS.get(str(metric.get("better")), "")
    floor = metric.get("floor")
    cells = {
        "metric": f"{cell(metric['name'])} {arrow}".rstrip(),
        "value": f"{metric['value']:.4g}",
        "floor": "" if floor is None else f"{floor:.4g}",
        "measured on": cell(metric.get("on") or ""),
    }
    return [cells[column] for column in columns]


def expression(address: str, config: Mapping[str, Any]) -> str:
    """The Python expression that loads an adapter's base and adds the adapter at `address`."""
    base = config.get("base", {})
    pinned = base["model"] + (f"@{base['revision']}" if base.get("revision") else "")
    words = (json.dumps(word, ensure_ascii=False) for word in (pinned, address))  # quotes no name can leave
    return "gz.load_model({}).with_adapter({})".format(*words)


def usage(address: str, config: Mapping[str, Any]) -> str:
    """The Python lines that load and call the model, and the plug-ins that it needs."""
    name = json.dumps(address, ensure_ascii=False)  # in quotes that no name can leave
    call = (
        'model.sample(16).save("grid.png")\n'
        "images = model.generate(16, seed=0)  # (16, C, H, W), float32 in [-1, 1]"
    )
    if config["kind"] == "backbone":
        call = "logits = model(images)  # images (N, C, H, W), float32 in [-1, 1]"
    load = expression(address, config) if config["kind"] == "adapter" else f"gz.load_model({name})"
    lines = f"```python\nimport gantl_zoo as gz\n\nmodel = {load}\n{call}\n```"
    if not (needed := config.get("requires")):
        return lines
    return f"The model needs a plug-in: `{install_line(needed)}`\n\n{lines}"
