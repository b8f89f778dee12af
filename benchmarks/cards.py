"""Renew the cards and pictures in `model_cards/`: the bytes that a push sends. A person's text stays."""

from __future__ import annotations

from pathlib import Path

import gantl_zoo as gz
from gantl_zoo import registry, share

CARDS = Path(__file__).parent.parent / "model_cards"


def files(name: str, text: str) -> dict[str, bytes]:
    """Card and picture of a release, as `push NAME user/NAME --card model_cards/NAME.md` sends them."""
    made = share.prepared(name, f"user/{name}", text=text)
    return {file: data for file, data in made.items() if isinstance(data, bytes)}


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
