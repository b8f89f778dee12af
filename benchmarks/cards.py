"""Renew the cards and pictures in `model_cards/`, as a push sends them. Keeps text that a person wrote."""

from __future__ import annotations

from pathlib import Path

import gantl_zoo as gz
from gantl_zoo import registry
from gantl_zoo.hub.push import prepared

CARDS = Path(__file__).parent.parent / "model_cards"


def files(name: str, text: str) -> dict[str, bytes]:
    """The card and picture of a release, as `push NAME user/NAME --card model_cards/NAME.md` sends them."""
    contents = prepared(name, f"user/{name}", text=text)
    return {file: data for file, data in contents.items() if isinstance(data, bytes)}


def main() -> None:
    for name in gz.list_models():
        if registry.models.entry(name).owner != "gantl_zoo":
            continue
        path = CARDS / f"{name}.md"
        for file, data in files(name, path.read_text() if path.is_file() else "").items():
            place = path if file == "README.md" else CARDS / file
            place.write_bytes(data)
            print(place.name)


if __name__ == "__main__":
    main()
