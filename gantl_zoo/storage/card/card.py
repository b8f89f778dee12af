"""Model cards: a part generated from `config.json`, and around it text that a person wrote.

Used for all cards: of saved folders, of pushes to the Hub, and of the released models in `model_cards/`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gantl_zoo.errors import UsageError
from gantl_zoo.storage.card.facts import cell, facts
from gantl_zoo.storage.card.metadata import JOINED, head_of, read

# These comments are part of the file format: cards that older versions wrote must still be recognised.
BEGIN, END = "<!-- made from config.json: begin -->", "<!-- made from config.json: end -->"
AROUND = "<!-- the text around this part, when it was made: {} -->"
MARK = re.compile(AROUND.format("([0-9a-f]{16})"))


def render(config: Mapping[str, Any], text: str = "", *, also: str = "", own: str = "", **shown: str) -> str:
    """The text of README.md: the card `text` with a new generated part and new metadata.

    Keeps what a person wrote: the text and other metadata keys in `text`, and the keys in the card `also`.
    `shown` are the keywords of `facts`. `own` is the folder's card if `text` is the Hub's: its hash is
    stored, and lets `choose` find out later which of the two was edited. Raises `UsageError` if
    metadata isn't valid YAML.
    """
    before, after = _around(text) or (f"# {cell(config.get('name', 'model'))}\n\n", "")
    mark = AROUND.format(_hash(_around(own) or (before, after)))
    part = facts(config, **shown).replace("<!--", "&lt;!--")  # a comment in it could end the part
    head = head_of(config, read(also)[0], read(text)[0])
    return f"{head}\n{before}{BEGIN}\n{part}\n{mark}\n{END}\n{after}"


def same(one: str, other: str) -> bool:
    """Whether two cards have the same content, ignoring the metadata's layout and the order of its lists."""

    def content(text: str) -> tuple[dict[str, Any], str]:
        head, body = read(text)
        lists = {key: sorted(map(str, head[key])) for key in JOINED if isinstance(head.get(key), list)}
        return head | lists, MARK.sub("", body)

    return content(one) == content(other)


def prose(text: str) -> str:
    """The text that a person wrote: a card without metadata, generated part and title."""
    before, after = _around(text) or ("", "")
    return (re.sub(r"\A\s*# [^\n]*\n", "", before) + after).strip()


def choose(ours: str, theirs: str) -> str:
    """Return the card whose text is to be kept: `ours`, the folder's, or `theirs`, the Hub's.

    That is the card that was edited since the last push, or the one that contains all lines of the other.
    Raises `UsageError` if both were edited, since one text would be lost.
    """
    mine, other = _around(ours), _around(theirs)
    if not mine or not other:
        return ours if mine else theirs
    mark = MARK.search(theirs)
    last = mark[1] if mark else ""
    if last == _hash(other):
        return ours
    if last == _hash(mine) or not prose(ours):
        return theirs
    if set("".join(other).splitlines()) <= set("".join(mine).splitlines()):
        return ours
    raise UsageError(
        "README.md was edited here and on the Hub, and one text would be lost: copy what you want to keep "
        "from the Hub's card into the folder's and push with --card FOLDER/README.md, or delete the folder's "
        "card to keep the Hub's"
    )


def pictures(text: str) -> list[str]:
    """The image files in the generated part of a card. A push deletes those that a new card doesn't show."""
    part = text.partition(BEGIN)[2].partition(END)[0]
    return re.findall(r"!\[[^]]*\]\(([^)]*)\)", part)


def text_in(folder: str | Path) -> str:
    """The text of a folder's card, "" if it has none. Raises `UsageError` if it can't be read.

    Saving a model writes the card again, and must not lose what a person wrote.
    """
    path = Path(folder) / "README.md"
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"the card {path} can't be read as UTF-8 text, and would be lost: {error}; save it as UTF-8, or "
            "move it elsewhere"
        ) from error


def picture_name(config: Mapping[str, Any]) -> str:
    """The file name of the sample grid, with the model's name in it; "" for classifiers."""
    if config["kind"] != "gan":
        return ""
    word = re.sub(r"[^\w.-]+", "-", str(config.get("name", "")), flags=re.ASCII).strip("-.")
    return f"samples-{word}.png" if word else "samples.png"


def _around(text: str) -> tuple[str, str] | None:
    """The text before and after the generated part; None for an empty card.

    The text of a card without a generated part comes after it.
    """
    body = read(text)[1]
    if not body.strip():
        return None
    if BEGIN in body and END in body.partition(BEGIN)[2]:
        before, _, remainder = body.partition(BEGIN)
        return before, remainder.partition(END)[2].removeprefix("\n")
    return "", "\n" + body.lstrip("\n")


def _hash(around: tuple[str, str]) -> str:
    return hashlib.sha256("\n".join(text.strip() for text in around).encode()).hexdigest()[:16]
