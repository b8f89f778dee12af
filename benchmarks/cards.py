"""Renew the generated part of every card in `model_cards/`; the prose below it stays."""

from __future__ import annotations

from pathlib import Path

from gantl_zoo import card, registry, weights

CARDS = Path(__file__).parent.parent / "model_cards"


def main() -> None:
    for name in registry.models.names():
        if registry.models.info(name).owner != "gantl_zoo":
            continue
        path = CARDS / f"{name}.md"
        prose = path.read_text().split(card.END + "\n", 1)[1] if path.is_file() else ""
        path.write_text(card.render(weights.read_config(registry.models.load(name)), prose))
        print(path.name)


if __name__ == "__main__":
    main()
