"""`search_hub`: the models of this library on the Hub."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from gantl_zoo.hub.client import PATIENCE, api, ask, endpoint_of
from gantl_zoo.hub.errors import Asked
from gantl_zoo.storage.card.metadata import LIBRARY
from gantl_zoo.storage.untrusted import printable


@dataclass(frozen=True)
class HubModel:
    """A model on the Hub, as the Hub and the model's card describe it."""

    name: str  # "user/repo", which `load_model` takes
    task: str | None
    license: str | None
    metrics: dict[str, float | str]

    def to_dict(self) -> dict[str, Any]:
        """All fields as values that JSON can hold."""
        return asdict(self)


def search_hub(
    query: str = "", *, endpoint: str | None = None, limit: int = 100, token: str | bool | None = None
) -> list[HubModel]:
    """List the models of gantl_zoo on the Hub with `query` in their names, also private ones that the token
    may read. Raises `HubError`.
    """
    from huggingface_hub import get_session

    asked = Asked("list", "the models", endpoint_of(endpoint), token=token)
    hub, search = api(asked.endpoint, token), query or None
    # the client would request a list six times from a server that does not answer, so check that first
    ask(asked, lambda: get_session().head(asked.endpoint, timeout=PATIENCE))
    infos = ask(
        asked, lambda: list(hub.list_models(filter=LIBRARY, search=search, limit=limit, cardData=True))
    )
    return [_row(info) for info in infos]


hub_models = search_hub  # its earlier name


def _row(info: Any) -> HubModel:
    """Convert the Hub's data about a model, and its card, which is untrusted and may hold anything."""
    from huggingface_hub import EvalResult

    results = getattr(info.card_data, "eval_results", None)
    metrics = {}
    for result in results if isinstance(results, list) else []:
        if isinstance(result, EvalResult):
            value = result.metric_value
            name = printable(result.metric_name or result.metric_type)
            metrics[name] = value if isinstance(value, (int, float)) else printable(value)
    licence = getattr(info.card_data, "license", None)
    task, licence = (printable(value) if value else None for value in (info.pipeline_tag, licence))
    return HubModel(printable(info.id), task, licence, metrics)
