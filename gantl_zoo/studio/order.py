"""`Order`: a run that a visitor asks for, as the words of a command line."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gantl_zoo.errors import UsageError, unknown
from gantl_zoo.registry.builtins import datasets, presets, strategies
from gantl_zoo.storage.untrusted import printable
from gantl_zoo.studio.models import resolved
from gantl_zoo.studio.paths import complete, inside, shown
from gantl_zoo.studio.pictures import number, whole
from gantl_zoo.studio.settings import Settings

MOST_STEPS = 10_000_000
TITLE = 80


@dataclass(frozen=True)
class Order:
    """The words after `gantl-zoo`, and what the queue calls the run."""

    words: tuple[str, ...]
    label: str

    @property
    def command(self) -> str:
        """The command to type in a terminal, in the studio's root."""
        return shlex.join(["gantl-zoo", *self.words])


def data_for(settings: Settings, text: str) -> str:
    """A data set by name, or a folder or a zip below the root. Raises `UsageError`."""
    text = text.strip()
    if not text:
        raise UsageError("choose a folder of images, or drop some into the page")
    if text in datasets and not (settings.root / text).exists():
        return text
    path = inside(settings, text)
    if not path.exists():
        raise UsageError(f"there is no folder {printable(text)} below {settings.root}")
    if path == settings.root:
        raise UsageError("choose a folder below the studio's own one")
    return shown(settings, complete(settings, path))


def order_for(settings: Settings, form: Mapping[str, str]) -> Order:
    """The transfer that a form asks for. Raises `UsageError` for values that are not valid.

    Each option is one word, `--name=value`, so that no value is taken for an option.
    """
    source, data = resolved(settings, form.get("source", "")), data_for(settings, form.get("data", ""))
    options = {"data": data, **chosen(form), **amounts(form), "title": title_of(form)}
    words = ["transfer", source, *(f"--{key}={value}" for key, value in options.items() if value)]
    words += ["--compare-scratch"] if form.get("compare_scratch") else []
    if form.get("classes") in ("conditional", "unconditional"):
        words.append(f"--{form['classes']}")
    words.append(f"--out={shown(settings, settings.out)}")
    return Order(tuple(words), f"{Path(source).name} → {Path(data).name}")


def chosen(form: Mapping[str, str]) -> dict[str, str]:
    """The strategy and the preset of a form, if they are not the defaults."""
    strategy, preset = form.get("strategy", ""), form.get("preset", "")
    for name in strategy.split("+") if strategy not in ("", "auto") else ():
        if name not in strategies:
            raise UsageError(unknown("strategy", name, strategies.names()))
    if preset and preset not in presets:
        raise UsageError(unknown("preset", preset, presets.names()))
    return {"strategy": "" if strategy == "auto" else strategy, "preset": preset}


def amounts(form: Mapping[str, str]) -> dict[str, str]:
    """The numbers of a form: steps or minutes, shots, image size, seed."""
    steps, minutes = form.get("steps", "").strip(), form.get("minutes", "").strip()
    if steps and minutes:
        raise UsageError("give a number of steps or of minutes, not both")
    options = {"steps": steps and str(whole("steps", steps, MOST_STEPS))}
    options["minutes"] = minutes and f"{number('minutes', minutes, 0.1, 1e5):g}"
    for key in ("shots", "image_size", "batch", "seed"):
        text = form.get(key, "").strip()
        options[key.replace("_", "-")] = text and str(whole(key.replace("_", " "), text))
    return options


def title_of(form: Mapping[str, str]) -> str:
    """The name that the new model gets; "" for that of its run."""
    return printable(form.get("title", "").strip(), TITLE)


def resume_of(settings: Settings, run: Path) -> Order:
    """The order that continues a run."""
    return Order(("resume", shown(settings, run)), f"continue {run.name}")
