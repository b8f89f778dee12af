"""A model card as HTML, without anything that the browser would run or fetch from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from gantl_zoo.storage.card.metadata import read


def head_of(text: str) -> dict[str, str]:
    """The metadata at the top of a card that are single values or lists of them."""
    values: dict[str, str] = {}
    for key, value in read(text)[0].items():
        if isinstance(value, (str, int, float)):
            values[str(key)] = str(value)
        elif isinstance(value, list) and all(isinstance(one, (str, int, float)) for one in value):
            values[str(key)] = ", ".join(map(str, value))
    return values


def html_of(text: str, pictures: dict[str, str]) -> str:
    """The body of a card as HTML. `pictures` maps the names of its own pictures to addresses.

    HTML in the text is shown as text, links open a new page, and other pictures are shown by their names.
    """
    from markdown_it import MarkdownIt

    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    reader.add_render_rule("image", image_rule(pictures))
    reader.add_render_rule("link_open", link_open)
    body = re.sub(r"<!--.*?-->", "", read(text)[1], flags=re.S)
    return str(reader.render(body))


def image_rule(pictures: dict[str, str]) -> Any:
    """The rule that draws the card's own pictures only."""
    from markdown_it.common.utils import escapeHtml

    def image(self: Any, tokens: Sequence[Any], index: int, options: Any, env: Any) -> str:
        token = tokens[index]
        alt, source = escapeHtml(token.content), str(token.attrs.get("src", ""))
        if source in pictures:
            return f'<img src="{escapeHtml(pictures[source])}" alt="{alt}">'
        return f"<em>[picture: {alt or 'without a description'}]</em>"

    return image


def link_open(self: Any, tokens: Sequence[Any], index: int, options: Any, env: Any) -> str:
    """The rule for links: another page gets no reference to this one."""
    token = tokens[index]
    token.attrSet("rel", "noreferrer noopener")
    token.attrSet("target", "_blank")
    return str(self.renderToken(tokens, index, options, env))
