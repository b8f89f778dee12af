"""The metadata of an exported file: JSON under one key, and some plain text for people. No torch.

A file may come from a stranger, so everything that is read is checked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from gantl_zoo.errors import ExportError
from gantl_zoo.storage import untrusted

KEY = "gantl_zoo"  # of the JSON
LAYOUT = 1  # of the JSON
LONGEST = 1 << 20  # characters
LATENTS, LABELS, TRUNCATION, IMAGES = "latents", "labels", "truncation", "images"
INNER, LOGITS = "intermediate_latents", "logits"  # further names of inputs and outputs
PARTS = ("generator", "mapping", "synthesis", "classifier")


def text_of(facts: Mapping[str, Any]) -> dict[str, str]:
    """The metadata as pairs of strings: the JSON, and what viewers of ONNX files show."""
    plain = {key: str(facts.get(key) or "") for key in ("name", "license", "hash")}
    plain["lineage"] = json.dumps(facts.get("lineage", {}))
    return plain | {KEY: json.dumps({"layout": LAYOUT, **facts})}


def read(pairs: Mapping[str, str], file: str) -> dict[str, Any]:
    """The metadata of a file, checked. Raises `ExportError`."""
    text = pairs.get(KEY)
    if text is None:
        raise ExportError(
            f"{file} is not a file of gantl-zoo export: its metadata has no entry {KEY!r}; run it with "
            "onnxruntime itself, or export the model again"
        )
    try:
        if len(text) > LONGEST:
            raise ValueError("it is too long")
        facts = untrusted.parse(text.encode())
        untrusted.walk(facts)
    except (ValueError, RecursionError) as error:
        raise ExportError(
            f"{file}: its metadata is not valid JSON: {error}; export the model again"
        ) from None
    if wrong := problem(facts):
        raise ExportError(f"{file}: its metadata {wrong}; export the model again")
    return dict(facts)


def problem(facts: Any) -> str:
    """What is wrong with metadata, or ""."""
    if not isinstance(facts, dict):
        return "is not an object"
    if facts.get("layout") != LAYOUT:
        return f"has the layout {str(facts.get('layout'))[:40]!r}, but this version reads {LAYOUT}"
    if facts.get("part") not in PARTS:
        return f"has a 'part' that is not one of {', '.join(PARTS)}"
    if not isinstance(facts.get("name"), str) or not facts["name"].isprintable():
        return "has a 'name' that is not one line of text"
    image, classes = facts.get("image"), facts.get("classes")
    if not isinstance(image, list) or len(image) != 3 or not all(whole(side, 1) for side in image):
        return "has an 'image' that is not three positive numbers"
    if not isinstance(classes, list) or not all(isinstance(one, str) for one in classes):
        return "has 'classes' that are not a list of names"
    if facts["part"] != "classifier" and not whole(facts.get("latent_dim"), 1):
        return "has a 'latent_dim' that is not a positive number"
    return ""


def whole(value: Any, least: int) -> bool:
    """Whether a value is an integer of at least `least` and at most 65,536."""
    return type(value) is int and least <= value <= 1 << 16
