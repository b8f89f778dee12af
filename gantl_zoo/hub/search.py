"""`search_hub`: the models of this library on the Hub."""

from __future__ import annotations

from typing import Any

from gantl_zoo.hub.client import PATIENCE, api, ask, endpoint_of
from gantl_zoo.hub.errors import Asked
from gantl_zoo.storage.card.metadata import LIBRARY
from gantl_zoo.storage.untrusted import printable


def search_hub(query: str = "", *, endpoint: str | None = None, limit: int = 100) -> list[dict[str, Any]]:
    """Models of gantl_zoo on the Hub, `query` in their names: name, task, licence, metrics of the card.
    Raises `HubError`.
    """
    from huggingface_hub import get_session

    asked = Asked("list", "the models", endpoint_of(endpoint))
    hub, search = api(asked.endpoint), query or None
    # for a list the client asks six times where nobody answers, so we ask first whether somebody does
    ask(asked, lambda: get_session().head(asked.endpoint, timeout=PATIENCE))
    found = ask(
        asked, lambda: list(hub.list_models(filter=LIBRARY, search=search, limit=limit, cardData=True))
    )
    return [_row(info) for info in found]


hub_models = search_hub  # its earlier name


def _row(info: Any) -> dict[str, Any]:
    """What the Hub and a stranger's card, which may hold anything, say of a model."""
    from huggingface_hub import EvalResult

    results = getattr(info.card_data, "eval_results", None)
    metrics = {}
    for result in results if isinstance(results, list) else []:
        if isinstance(result, EvalResult):
            value = result.metric_value
            name = printable(result.metric_name or result.metric_type)
            metrics[name] = value if isinstance(value, (int, float)) else printable(value)
    licence = getattr(info.card_data, "license", None)
    said = {"name": info.id, "task": info.pipeline_tag, "license": licence}
    return {key: printable(value) if value else None for key, value in said.items()} | {"metrics": metrics}
