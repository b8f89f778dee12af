"""What a client asks for: the query and the Accept header of a request, checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gantl_zoo.errors import UsageError, unknown
from gantl_zoo.model.seeds import class_numbers, known_labels, scale, seeds_in
from gantl_zoo.serve.batching import Source

PARAMETERS = ("seeds", "class", "truncation", "format")
FORMATS = {"png": "image/png", "zip": "application/zip", "json": "application/json"}
LONGEST = 4096  # characters of a parameter


class NotAcceptable(Exception):
    """The client accepts none of the formats."""


@dataclass(frozen=True)
class Query:
    """The images that a client asks for."""

    seeds: Sequence[int]
    labels: Sequence[int] | None
    truncation: float
    format: str


def parse(pairs: Sequence[tuple[str, str]], accept: str, source: Source, most: int) -> Query:
    """Check the pairs of a query. Raises `UsageError` and `NotAcceptable`."""
    given = dict(pairs)
    for name, value in pairs:
        if name not in PARAMETERS:
            raise UsageError(unknown("parameter", name, PARAMETERS))
        if sum(name == other for other, _ in pairs) > 1:
            raise UsageError(f"{name} is given twice")
        if len(value) > LONGEST:
            raise UsageError(f"{name} has more than {LONGEST:,} characters")
    seeds = seeds_in(given.get("seeds", "0"), "seeds", most)
    label = given.get("class") or None  # a form sends an empty one
    if label is not None and not (label.isascii() and label.isdecimal() and len(label) < 10):
        raise UsageError(f"class must be a whole number, not {label[:80]!r}")
    labels = known_labels(
        source.name, source.classes[: source.num_classes], chosen(label, seeds, source), len(seeds)
    )
    return Query(seeds, labels, truncation_of(given.get("truncation", "1"), source), format_of(given, accept))


def chosen(label: str | None, seeds: Sequence[int], source: Source) -> int | list[int] | None:
    """The class that a client asked for, else the classes of the seeds; None without classes."""
    if label is not None:
        return int(label)
    return class_numbers(seeds, source.num_classes) if source.num_classes else None


def truncation_of(text: str, source: Source) -> float:
    """The truncation as a number. Raises `UsageError`."""
    try:
        value = float(text)
    except ValueError:
        raise UsageError(f"truncation must be a number, not {text[:80]!r}") from None
    return scale(value, inner=source.has_mapping)


def format_of(given: dict[str, str], accept: str) -> str:
    """The format by the parameter, else by the Accept header, else PNG. Raises."""
    if "format" in given:
        if given["format"] not in FORMATS:
            raise UsageError(unknown("format", given["format"], FORMATS))
        return given["format"]
    accepted = sorted(map(weighed, accept.split(",")), key=lambda pair: -pair[1]) if accept.strip() else []
    for kind, weight in accepted:
        for name, own in FORMATS.items():
            if weight > 0 and kind in (own, f"{own.partition('/')[0]}/*", "*/*"):
                return name
    if accepted:
        raise NotAcceptable(f"the formats are {', '.join(FORMATS.values())}")
    return "png"


def weighed(part: str) -> tuple[str, float]:
    """A media type of an Accept header, and its weight."""
    kind, *parameters = (word.strip() for word in part.split(";"))
    for word in parameters:
        if word.startswith("q="):
            try:
                return kind.lower(), float(word[2:])
            except ValueError:
                return kind.lower(), 0.0
    return kind.lower(), 1.0
