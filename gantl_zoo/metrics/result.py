"""`Result`: one metric's value, and how it was measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict, cast

from typing_extensions import NotRequired

from gantl_zoo.metrics.distance import COMPONENTS, Interval
from gantl_zoo.registry.arguments import finite

PCA = f"-pca{COMPONENTS}"  # end of the name of an extractor whose principal components are compared


class Result(TypedDict):
    """One metric's value, and how it was measured. `name` is the metric's with its extractor's.

    `low` and `high` are the 95 % interval, `floor` is the value of real images in the samples' place; each is
    None where it is not defined. `better` is "lower" or "higher".
    """

    name: str
    metric: str
    value: float
    on: str
    data_fingerprint: str
    low: NotRequired[float | None]
    high: NotRequired[float | None]
    floor: NotRequired[float | None]
    floor_on: NotRequired[str]
    better: NotRequired[str]
    samples: NotRequired[int]
    real: NotRequired[int]
    split: NotRequired[str]
    extractor: NotRequired[str]
    extractor_sha256: NotRequired[str]
    convention: NotRequired[str]
    seed: NotRequired[int]


def entry(name: str, value: float | Interval, floor: float | Interval | None, how: dict[str, Any]) -> Result:
    """One result; `how` is the same for all of a report.

    `-pca64` in the name of a value moves to the name of the extractor.
    """
    metric, bracket, of_class = name.partition("[")
    if metric.endswith(PCA):
        name = metric.removesuffix(PCA) + bracket + of_class
        projected = f"{how['convention']}; first {COMPONENTS} principal components of the real images"
        how = how | {"extractor": f"{how['extractor']}{PCA}", "convention": projected}
    low, high = (value.low, value.high) if isinstance(value, Interval) else (None, None)
    fields = {
        "name": f"{name}_{how['extractor']}",
        "metric": name,
        "value": value.value if isinstance(value, Interval) else value,
        "low": low,
        "high": high,
        "floor": floor.value if isinstance(floor, Interval) else floor,
        **how,
    }
    return cast(Result, fields)


def flaw(kept: Any) -> str:
    """Why this is not what `to_dict` returns; empty if it is."""
    if not isinstance(kept, Mapping) or not isinstance(kept.get("results"), list):
        return "it has no list of results"
    for result in kept["results"]:
        if not isinstance(result, Mapping):
            return f"{result!r:.40} is not a result"
        if missing := [key for key in ("name", "metric", "on") if not isinstance(result.get(key), str)]:
            return f"a result without {missing[0]}"
        numbers = [result.get("value"), *(result.get(k) or 0.0 for k in ("low", "high", "floor"))]
        if not all(isinstance(number, int | float) and finite(number) for number in numbers):
            return f"{result['name']} has a value that is not a number"
    notes, model = kept.get("notes", []), kept.get("model", "")
    if not (isinstance(notes, list) and all(isinstance(note, str) for note in [*notes, model])):
        return "notes and model must be texts"
    return ""
