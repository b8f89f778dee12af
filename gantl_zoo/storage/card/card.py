"""The model card: what is made from a model's `config.json`, around text that a person wrote and keeps.

One code for all cards: of a saved folder, of a push, and of the released models in `model_cards/`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gantl_zoo.errors import UsageError
from gantl_zoo.storage.card.facts import cell, facts
from gantl_zoo.storage.card.metadata import JOINED, read, written

BEGIN, END = "<!-- made from config.json: begin -->", "<!-- made from config.json: end -->"
AROUND = "<!-- the text around this part, when it was made: {} -->"
MARK = re.compile(AROUND.format("([0-9a-f]{16})"))


def render(config: Mapping[str, Any], text: str = "", *, also: str = "", own: str = "", **shown: str) -> str:
    """The whole README.md. Of the card `text` only the marked part and our keys of the head are renewed.

    Keys that a person set in the heads of `text` or of the card `also` stay. `shown` may hold `picture`, a
    file, and `address`, what `load_model` takes. `own` is the folder's card, if `text` is the Hub's: what it
    said is noted, so that `choose` knows next time who has edited. Raises `UsageError` if a head is no YAML.
    """
    before, after = _around(text) or (f"# {cell(config.get('name', 'model'))}\n\n", "")
    mark = AROUND.format(_hash(_around(own) or (before, after)))
    made = facts(config, **shown).replace("<!--", "&lt;!--")  # a mark in it would end the part
    return f"{written(config, read(also)[0], read(text)[0])}\n{before}{BEGIN}\n{made}\n{mark}\n{END}\n{after}"


def same(one: str, other: str) -> bool:
    """Whether two cards say the same, whatever the layout of their heads and the order of their authors."""

    def said(text: str) -> tuple[dict[str, Any], str]:
        head, body = read(text)
        lists = {key: sorted(map(str, head[key])) for key in JOINED if isinstance(head.get(key), list)}
        return head | lists, MARK.sub("", body)

    return said(one) == said(other)


def prose(text: str) -> str:
    """What a person wrote in a card: all but the head, the marked part and a title before it."""
    before, after = _around(text) or ("", "")
    return (re.sub(r"\A\s*# [^\n]*\n", "", before) + after).strip()


def choose(ours: str, theirs: str) -> str:
    """Which card's text goes on: the folder's or the one that is on the Hub already.

    The one that a person has edited since the last push, or the one that holds all of the other. Raises
    `UsageError` if text would be lost.
    """
    mine, other = _around(ours), _around(theirs)
    if not mine or not other:
        return ours if mine else theirs
    made_with = MARK.search(theirs)
    last = made_with[1] if made_with else ""
    if last == _hash(other):
        return ours
    if last == _hash(mine) or not prose(ours):
        return theirs
    if set("".join(other).splitlines()) <= set("".join(mine).splitlines()):
        return ours
    raise UsageError(
        "README.md was edited here and on the Hub, and one text would be lost: copy what you want to keep "
        "from the Hub's into the folder's and push with --card FOLDER/README.md, or delete the folder's to "
        "take the Hub's as it is"
    )


def pictures(text: str) -> list[str]:
    """The files that the marked part of a card shows: ours, so they go when it shows others."""
    part = text.partition(BEGIN)[2].partition(END)[0]
    return re.findall(r"!\[[^]]*\]\(([^)]*)\)", part)


def text_in(folder: str | Path) -> str:
    """The card of a folder that is about to be written again: its text must not be lost. Raises `UsageError`
    for one that can't be read.
    """
    path = Path(folder) / "README.md"
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"the card {path} can't be read as UTF-8 text, and would be lost: {error}; save it as UTF-8, or "
            "move it away"
        ) from error


def picture_name(config: Mapping[str, Any]) -> str:
    """The file of the sample grid, named after the model so that cards can lie side by side."""
    if config["kind"] != "gan":
        return ""
    word = re.sub(r"[^\w.-]+", "-", str(config.get("name", "")), flags=re.ASCII).strip("-.")
    return f"samples-{word}.png" if word else "samples.png"


def _around(text: str) -> tuple[str, str] | None:
    """What stands before and after the marked part; a text without one comes after it."""
    body = read(text)[1]
    if not body.strip():
        return None
    if BEGIN in body and END in body.partition(BEGIN)[2]:
        before, _, rest = body.partition(BEGIN)
        return before, rest.partition(END)[2].removeprefix("\n")
    return "", "\n" + body.lstrip("\n")


def _hash(around: tuple[str, str]) -> str:
    return hashlib.sha256("\n".join(text.strip() for text in around).encode()).hexdigest()[:16]
