"""The origin of a model: the Hub repository and commit in `pulled.json`, or the file that was imported."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gantl_zoo.errors import UsageError, WeightsError
from gantl_zoo.storage.untrusted import printable, read_json

MAX_BYTES = 1 << 20  # of that file, which lists up to a thousand shards
VALID = {"repo": r"\w[\w.-]*/\w[\w.-]*", "revision": "[0-9a-f]{40}"}
LICENCE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,63}", re.A)  # an id, such as cc-by-4.0
UNKNOWN = "unknown"  # licence of an imported file
ORIGIN = "pulled.json"  # in a folder that `pull --to` wrote


def pulled_from(folder: Path) -> dict[str, str] | None:
    """The repository and commit of a pulled folder; None if not pulled, or if its config has changed."""
    origin = pulled(folder)
    try:
        config = (folder / "config.json").read_bytes()
    except OSError:
        return None
    unchanged = origin.get("config_sha256") == hashlib.sha256(config).hexdigest()
    return {"repo": origin["repo"], "revision": origin["revision"]} if unchanged else None


def imported(config: Mapping[str, Any]) -> dict[str, Any]:
    """The file that a model, or the first model of its lineage, was imported from; {} if none was.

    Its format, name and SHA-256, the licence of its weights, and terms of use if its format has some.
    """
    files = (one.get("imported") for one in lineages(config))
    return next((one for one in files if isinstance(one, dict)), {})


def lineages(config: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the lineage of a model, and those of the models that it comes from."""
    lineage: Any = config.get("lineage")
    while isinstance(lineage, dict):
        yield lineage
        lineage = lineage.get("base_lineage")


def non_commercial(licence: str) -> bool:
    """Whether a licence's id says that it is for non-commercial use."""
    return re.search(r"(^|[-_ ])nc([-_ ]|$)|non-?commercial", licence, re.I) is not None


def check_licence(licence: str) -> None:
    """Raise `UsageError` unless this is a licence id, as the Hub writes them."""
    if LICENCE.fullmatch(licence):
        return
    lower = "-".join(licence.lower().split())
    hint = f"; did you mean {lower}?" if LICENCE.fullmatch(lower) else ""
    raise UsageError(
        f"{printable(licence, 80)!r} is not a valid licence id: use one such as mit, cc-by-4.0 or other, "
        f"in lower case{hint}"
    )


def check_origin(config: Mapping[str, Any], licence: str, own_weights: bool = False) -> None:
    """Raise `UsageError` if `licence` would drop the terms of the weights that the model comes from.

    A licence for non-commercial use is kept. So are such terms of a format, unless the import stated a
    licence, or `own_weights` says that the terms don't apply.
    """
    source = imported(config)
    if non_commercial(licence):
        return
    bases = (one.get("base_license") for one in lineages(config))
    for kept in (config.get("license"), source.get("license"), *bases):
        if non_commercial(str(kept or "")):
            raise UsageError(
                f"the model comes from weights under {printable(kept, 80)}, for non-commercial use, which "
                f"{licence!r} would drop: use {printable(kept, 80)}"
            )
    terms = str(source.get("terms") or "")
    if source.get("license") == UNKNOWN and non_commercial(terms) and not own_weights:
        raise UsageError(
            f"the model comes from {printable(source.get('file'))} of unknown licence, and {terms}: choose a "
            "licence such as cc-by-nc-4.0, or confirm with --own-weights that nobody else trained the weights"
        )


def pulled(folder: Path) -> dict[str, Any]:
    """The content of `pulled.json`; {} if it is missing or invalid."""
    try:
        origin = read_json(folder / ORIGIN, MAX_BYTES, "a record of where a model was pulled from")
    except WeightsError:
        return {}
    source = isinstance(origin, dict) and {key: origin.get(key) for key in VALID}
    valid = source and all(isinstance(v, str) and re.fullmatch(VALID[k], v) for k, v in source.items())
    return origin if valid and isinstance(origin.get("files", {}), dict) else {}
