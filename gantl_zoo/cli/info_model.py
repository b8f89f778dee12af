"""The page of a model: sizes, origin, recipe, metrics and examples."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from gantl_zoo.cli.printing import (
    bold,
    facts as columns,
    megabytes,
    paragraph,
    section,
    shape,
    table,
    width,
    wrapped,
)
from gantl_zoo.registry.builtins import models
from gantl_zoo.storage.card.facts import expression
from gantl_zoo.storage.card.words import lineage, recipe_words


def facts(name: str) -> dict[str, Any]:
    """The data of a model's page. Raises `UnknownNameError`, `WeightsError`, `HubError`."""
    from gantl_zoo.model.info import parameters, size, stored_networks
    from gantl_zoo.registry.model_info import from_config
    from gantl_zoo.storage.schema import read_config
    from gantl_zoo.zoo import locate

    folder, origin = locate(name, weights=False)
    config = read_config(folder)
    model, stored = from_config(config), stored_networks(folder, config)
    entries = models.lookup(name)
    owner = {"owner": entries[0].owner, "version": entries[0].version} if entries else {}
    return {
        "name": name,
        "folder": str(folder),
        "hub": origin,
        **owner,
        "image": model.image_shape and list(model.image_shape),
        "bytes": sum(map(size, stored.values())),
        "summary": model.description,
        "parameters": {part: parameters(network) for part, network in stored.items()},
        "config": {key: value for key, value in config.items() if key != "files"},
    }


def page(about: Mapping[str, Any]) -> str:
    """The page for people."""
    config, training = about["config"], about["config"].get("training", {})
    lines = [*map(bold, wrapped(f"{about['name']}: {about['summary']}")), ""]
    lines += columns(rows(about, config))
    lines += section("Lineage", paragraph(" → ".join(lineage(config.get("lineage", {}), about["name"]))))
    recipe = ", ".join(recipe_words(training))
    lines += section("Recipe", paragraph(recipe))
    lines += section("Metrics", metrics(config.get("metrics", [])))
    if command := training.get("command"):
        lines += section("Train it again", continued(" ".join(command.split())))
    lines += section("Examples", examples(about["name"], config))
    return "\n".join(lines)


def rows(about: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The table of a model: names and values."""
    gan, count = config["kind"] != "backbone", config.get("num_classes", 0)
    if base := config.get("base"):
        yield "base", "@".join(filter(None, [base["model"], base.get("revision")]))
        count, error = about["parameters"].get("adapter"), f"largest error {config.get('error', 0):.1g}"
        yield "changed", error if count is None else f"{count:,} numbers, {error}"
    named = ", ".join(map(str, config.get("training", {}).get("classes") or ()))
    yield "image", shape(about["image"])
    yield "latent", f"{config.get('latent_dim', '')}"
    yield (
        "classes",
        f"{count}: {named}" if count and named else str(count or ("unconditional" if gan else "")),
    )
    for part in ("generator", "discriminator", "backbone"):
        if config.get(part):
            size = about["parameters"].get("model" if part == "backbone" else part)
            yield part, network(config[part], size)
    yield "size", f"{megabytes(about['bytes'])} in {config.get('dtype', 'float32')}" if about["bytes"] else ""
    yield "licence", config.get("license") or "not stated"
    yield "from", origin(about)
    yield "plug-ins", ", ".join(f"{name} {version}" for name, version in config.get("requires", {}).items())
    yield "folder", about["folder"]


def network(part: Mapping[str, Any], size: int | None) -> str:
    """A network's name, arguments and number of parameters."""
    given = ", ".join(f"{key}={json.dumps(value)}" for key, value in part.get("config", {}).items())
    return f"{part['name']}({given})" + (f", {size:,} parameters" if size else "")


def origin(about: Mapping[str, Any]) -> str:
    """Where a model comes from: the Hub, a folder, or the package that brings it."""
    if hub := about["hub"]:
        return f"{hub['repo']}@{hub['revision']} on the Hub"
    if "owner" not in about:
        return "a folder"
    built_in = about["owner"] == "gantl_zoo"
    return "gantl_zoo, built in" if built_in else f"the plug-in {about['owner']} {about['version']}".rstrip()


def metrics(results: list[Mapping[str, Any]]) -> list[str]:
    """A table of values beside those of real images, and what they were measured on."""
    if not results:
        return []
    lines = [["", "value", "real images"]]
    for one in results:
        floor = one.get("floor")
        lines.append([str(one["name"]), f"{one['value']:.4g}", "" if floor is None else f"{floor:.4g}"])
    if all(one.get("floor") is None for one in results):
        lines = [line[:2] for line in lines[1:]]
    on = dict.fromkeys(str(one["on"]) for one in results if one.get("on"))
    return [*table(lines, right=(1, 2)), *(line for text in on for line in paragraph(f"on {text}"))]


def continued(command: str) -> list[str]:
    """A command in lines that fit the page and can be pasted; one line if a value is quoted."""
    if "'" in command or '"' in command:
        return [command]
    options = command.replace(" --", "\n--").split("\n")
    lines = wrapped(" ".join(option.replace(" ", "\0") for option in options), width() - 8)
    return " \\\n  ".join(line.replace("\0", " ") for line in lines).split("\n")


def examples(name: str, config: Mapping[str, Any]) -> list[str]:
    """Commands and a line of Python that use the model."""
    word = shlex.quote(name)
    if config["kind"] == "adapter":
        base = config["base"]
        model = shlex.quote("@".join(filter(None, [base["model"], base.get("revision")])))
        return [
            f"gantl-zoo sample {model} --adapter {word} --seeds 0-15 --out grid.png",
            f"import gantl_zoo as gz; model = {expression(name, config)}",
        ]
    if config["kind"] == "gan":
        lines = [
            f"gantl-zoo sample {word} --seeds 0-15 --out grid.png",
            f"gantl-zoo transfer {word} --data ./photos --shots 100",
        ]
    else:
        lines = [f"gantl-zoo classify transfer {word} --data ./photos"]
    return [*lines, f"import gantl_zoo as gz; model = gz.load_model({json.dumps(name, ensure_ascii=False)})"]
