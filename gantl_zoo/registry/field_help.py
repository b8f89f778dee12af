"""The help of each setting, read from the docstring of its dataclass. No torch.

A dataclass of settings documents a field in its docstring, in a paragraph that starts with the field's name:

    `steps`: number of training steps.
    `beta1`, `beta2`: decay rates of Adam's running averages.

The command line shows this text, so it is written once.
"""

from __future__ import annotations

import inspect
import re

NAMES = re.compile(r"(`\w+`(?:, `\w+`)*): (.+)")


def field_help(kind: type) -> dict[str, str]:
    """The help of each documented field of a dataclass, by the field's name; {} without a docstring."""
    texts: dict[str, str] = {}
    current: list[str] = []
    for line in inspect.cleandoc(kind.__doc__ or "").splitlines():
        if start := NAMES.match(line):
            current = re.findall(r"\w+", start[1])
            texts |= dict.fromkeys(current, start[2])
        elif not line.strip():
            current = []
        else:
            texts |= {name: f"{texts[name]} {line.strip()}" for name in current}
    return {name: text.replace("`", "") for name, text in texts.items()}
