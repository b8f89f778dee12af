"""Model cards: README.md with a part that is generated from `config.json`."""

from gantl_zoo.storage.card.card import (
    BEGIN,
    END,
    choose,
    picture_name,
    pictures,
    prose,
    render,
    same,
    text_in,
)
from gantl_zoo.storage.card.facts import facts

__all__ = [
    "BEGIN",
    "END",
    "choose",
    "facts",
    "picture_name",
    "pictures",
    "prose",
    "render",
    "same",
    "text_in",
]
