"""Results as an aligned table and as Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence

from gantl_zoo.metrics.result import Result

DISTANCES = ("fd", "mifid")  # whose ratio to the value of real images means something; that of kd is about 0
NEW = {  # what values without a direction mean
    "nn_distance": "about 1 for new images, 0 for copies",
    "copies": "about 0.01 for new images, 1 for copies",
    "pd": "0 for one repeated image",
    "intra_pd": "0 if training images are repeated",
}
HEADINGS = ("", "value", "95 % interval", "real images", "")


def plain(results: Sequence[Result]) -> list[str]:
    """The lines of an aligned table."""
    rows = [HEADINGS, *map(cells, results)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADINGS))]
    return [aligned(row, widths) for row in rows]


def markdown(results: Sequence[Result]) -> list[str]:
    """The lines of a Markdown table."""
    rows = [" | ".join(map(escaped, cells(result))) for result in results]
    return [
        f"| {' | '.join(HEADINGS)} |",
        "| --- | ---: | ---: | ---: | --- |",
        *(f"| {row} |" for row in rows),
    ]


def cells(result: Result) -> tuple[str, ...]:
    """A row of the table: name, value, interval, value of real images, what to make of it."""
    low, high, floor = result.get("low"), result.get("high"), result.get("floor")
    better = result.get("better", "")
    words = f"{better} is better" if better else NEW.get(result["metric"], "")
    if floor and floor > 0 and result["metric"].split("[")[0] in DISTANCES:
        words += f" ({result['value'] / floor:,.1f} × real images)"
    return (
        result["name"],
        f"{result['value']:.4g}",
        "" if low is None or high is None else f"{low:.4g} to {high:.4g}",
        "" if floor is None else f"{floor:.4g}",
        words.strip(),
    )


def aligned(row: tuple[str, ...], widths: list[int]) -> str:
    """A line: names and words to the left, numbers to the right."""
    name, *numbers, words = row
    middle = [text.rjust(width) for text, width in zip(numbers, widths[1:], strict=False)]
    return "  ".join([name.ljust(widths[0]), *middle, words]).rstrip()


def measured(result: Result) -> list[str]:
    """How one result was measured."""
    lines = [f"measured on {result['on']} (fingerprint {result.get('data_fingerprint', 'unknown')})"]
    if "floor_on" in result:
        lines.append(f"real images: {result['floor_on']}")
    if "extractor" in result:
        lines.append(
            f"extractor {result['extractor']} ({result.get('extractor_sha256')}): {result.get('convention')}"
            f"; samples have the seeds from {result.get('seed', 0):,}"
        )
    return lines


def escaped(text: str) -> str:
    """A text that Markdown shows as it is."""
    text = re.sub(r"([\\`*\[\]<>|#~$])", r"\\\1", " ".join(text.split("\n")))
    return re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\_", text)  # one within a word is a letter
