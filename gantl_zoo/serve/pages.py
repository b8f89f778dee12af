"""The descriptions of the service: OpenAPI for programs, and a page that loads nothing from elsewhere."""

from __future__ import annotations

import html
from typing import Any

from gantl_zoo.serve.batching import Source
from gantl_zoo.serve.query import FORMATS
from gantl_zoo.version import VERSION

STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; padding: .3rem .6rem .3rem 0; }
td, th { border-bottom: 1px solid color-mix(in srgb, currentColor 20%, transparent); vertical-align: top; }
form { display: flex; flex-wrap: wrap; gap: .8rem; align-items: end; }
label { display: flex; flex-direction: column; font-size: .85rem; }
input, select, button { font: inherit; padding: .35rem .5rem; height: 2.4rem; box-sizing: border-box; }
img { max-width: 100%; image-rendering: pixelated; min-width: 12rem; border-radius: .3rem; }
code { font-size: .9em; }
"""


def facts(source: Source) -> dict[str, Any]:
    """What is served, as values that JSON can hold."""
    channels, height, width = source.image_shape
    return {
        "model": source.name,
        "image": {"channels": channels, "height": height, "width": width},
        "classes": source.classes[: source.num_classes],
        "license": source.license,
        "version": VERSION,
    }


def parameters(source: Source, most: int) -> list[tuple[str, dict[str, Any], str]]:
    """The name, the schema and the meaning of each parameter of `/generate`."""
    rows: list[tuple[str, dict[str, Any], str]] = [
        ("seeds", {"type": "string", "default": "0"}, f"One image per seed: 0-15,40. At most {most}."),
    ]
    if source.num_classes:
        schema = {"type": "integer", "minimum": 0, "maximum": source.num_classes - 1}
        rows.append(("class", schema, "Class number of all images. By default each seed has a class."))
    rows.append(("truncation", {"type": "number", "default": 1}, "Below 1: less variety."))
    formats = {"type": "string", "enum": list(FORMATS)}
    rows.append(
        ("format", formats, "A picture of all images, an archive of PNGs, or JSON with PNGs in Base64.")
    )
    return rows


def openapi(source: Source, most: int) -> dict[str, Any]:
    """The description of the service in OpenAPI 3.1."""
    query = [
        {"name": name, "in": "query", "schema": schema, "description": text}
        for name, schema, text in parameters(source, most)
    ]
    errors = {
        "400": "A parameter is not valid.",
        "406": "The client accepts none of the formats.",
        "429": "Too many images are waiting; Retry-After says for how many seconds to wait.",
    }
    described = {code: {"description": text, "content": ERROR} for code, text in errors.items()}
    described["200"] = {"description": "The images.", "content": {kind: {} for kind in FORMATS.values()}}
    return {
        "openapi": "3.1.0",
        "info": {"title": source.name, "version": VERSION, "description": "Images of a GAN by seed."},
        "paths": {
            "/generate": {
                "get": {"summary": "Generate images.", "parameters": query, "responses": described}
            },
            "/health": plain("What is served."),
            "/metrics": plain("Counters in the text format of Prometheus.", "text/plain"),
        },
    }


def plain(summary: str, kind: str = "application/json") -> dict[str, Any]:
    """A path without parameters."""
    return {
        "get": {"summary": summary, "responses": {"200": {"description": summary, "content": {kind: {}}}}}
    }


ERROR = {
    "application/json": {"schema": {"type": "object", "properties": {"error": {"type": "string"}}}},
}


def page(source: Source, most: int) -> str:
    """The description of the service as HTML."""
    name, shape = html.escape(source.name), "×".join(map(str, source.image_shape))
    rows = "".join(
        f"<tr><td><code>{key}</code></td><td>{html.escape(text)}</td></tr>"
        for key, _, text in parameters(source, most)
    )
    seeds = f"0-{min(most, 16) - 1}"
    licence = f", licence {html.escape(source.license)}" if source.license else ""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{name}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>
<body><h1>{name}</h1><p>{shape} images{licence}. Each seed always gives the same image.</p>
<form action="/generate" method="get">
<label>Seeds <input name="seeds" value="{seeds}"></label>{chooser(source)}
<label>Truncation <input name="truncation" value="1" size="5" inputmode="decimal"></label>
<label>Format <select name="format"><option>png<option>zip<option>json</select></label>
<button>Generate</button></form>
<p><img src="/generate?seeds={seeds}" alt="Images of the seeds {seeds}"></p>
<h2>GET <code>/generate</code></h2><table>{rows}</table>
<p>Without <code>format</code> the <code>Accept</code> header decides. Errors are JSON:
<code>{{"error": "…"}}</code>; 429 means: wait for <code>Retry-After</code> seconds.</p>
<h2>Others</h2><table>
<tr><td><a href="/health"><code>/health</code></a></td><td>What is served</td></tr>
<tr><td><a href="/metrics"><code>/metrics</code></a></td><td>Counters for Prometheus</td></tr>
<tr><td><a href="/openapi.json"><code>/openapi.json</code></a></td><td>This page, for programs</td></tr>
</table></body></html>
"""


def chooser(source: Source) -> str:
    """The field of the class in the form; "" without classes."""
    if not source.num_classes:
        return ""
    options = "".join(
        f'<option value="{i}">{html.escape(name)}</option>' for i, name in enumerate(source.classes)
    )
    own = '<option value="">each seed\'s own</option>'
    return f'<label>Class <select name="class">{own}{options}</select></label>'
