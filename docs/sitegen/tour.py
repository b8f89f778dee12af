"""The notebook `docs/tour.ipynb` as a page: its cells and the outputs that it has, without running it."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from sitegen.links import DOCS, rewritten

NOTEBOOK = DOCS / "tour.ipynb"


def write(generated: Path) -> None:
    """Write `tour.md` and its pictures."""
    generated.mkdir(parents=True, exist_ok=True)
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    parts, pictures = converted(notebook)
    text = rewritten("\n\n".join(parts), NOTEBOOK, "generated/tour")
    for name, content in pictures.items():
        (generated / name).write_bytes(content)
    (generated / "tour.md").write_text(text + "\n", encoding="utf-8")


def converted(notebook: Any) -> tuple[list[str], dict[str, bytes]]:
    """Parts of Markdown, and the pictures that these show, by file name."""
    parts: list[str] = []
    pictures: dict[str, bytes] = {}
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else fenced(source, "python"))
        for output in joined(cell.get("outputs", [])):
            data = output.get("data", {})
            if "image/png" in data:
                name = f"tour-{len(pictures) + 1}.png"
                pictures[name] = base64.b64decode("".join(data["image/png"]))
                parts.append(f"![{''.join(data['text/plain'])}](generated/{name})")
            elif shown := text_of(output):
                parts.append(shown)
    return parts, pictures


def text_of(output: Any) -> str:
    """An output without a picture as Markdown; "" for an empty one."""
    data = output.get("data", {})
    if "text/markdown" in data:
        return "".join(data["text/markdown"])
    text = "".join(output["text"] if output["output_type"] == "stream" else data.get("text/plain", ""))
    return fenced(text.rstrip("\n"), "text") if text.strip() else ""


def joined(outputs: list[Any]) -> list[Any]:
    """The outputs, with the pieces of a stream in one."""
    merged: list[Any] = []
    for output in outputs:
        if output["output_type"] == "display_data" and "image/png" not in output["data"]:
            continue  # a progress bar
        if merged and output["output_type"] == "stream" and merged[-1].get("name") == output["name"]:
            merged[-1]["text"] = "".join(merged[-1]["text"]) + "".join(output["text"])
        else:
            merged.append(dict(output))
    return merged


def fenced(code: str, language: str) -> str:
    return f"```{language}\n{code}\n```"
