"""A Space for a model: a small Gradio application on the Hub, as three text files.

The files hold no weights: the application loads the model from its own repository.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gantl_zoo.errors import UsageError
from gantl_zoo.hub.client import api, ask
from gantl_zoo.hub.errors import Asked, shown
from gantl_zoo.hub.fetch import checked
from gantl_zoo.storage.schema import read_config
from gantl_zoo.storage.untrusted import printable
from gantl_zoo.version import VERSION

GRADIO = "6.31.0"
APP = '''"""Samples of {repo}: seeds, truncation and, if the model has classes, a class."""

import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # before gradio is imported

import gradio as gr

import gantl_zoo as gz

MODEL = {repo!r}
MOST = 64
LAST = 2**32 - MOST  # first seed
ANY = "by seed"
STYLE = """
#samples .grid-container {{ grid-template-columns: repeat(auto-fill, minmax(min(104px, 28%), 1fr)); }}
#samples img {{ image-rendering: pixelated; }}
#samples .caption-label {{ font-size: 11px; padding: 0 4px; }}
"""
gan = gz.load_model(MODEL, discriminator=False)
CLASSES = [str(name) for name in gan.classes]


def sample(seed, count, truncation, label):
    """The images of `count` seeds, from `seed` on."""
    count = max(1, min(MOST, int(count or 1)))  # an empty field is None
    seed = max(0, min(LAST, int(seed or 0)))
    labels = CLASSES.index(label) if label in CLASSES else None
    images = gan.sample(count, seed=seed, truncation=float(truncation or 1), labels=labels)
    scale = max(1, 128 // gan.image_shape[-1])
    shown = [image.resize((image.width * scale, image.height * scale), 0) for image in images]
    return [(image, f"seed {{number}}") for image, number in zip(shown, images.seeds)]


with gr.Blocks(title=MODEL) as demo:
    gr.Markdown("# {title}")
    gr.Markdown(f"[{{MODEL}}](https://huggingface.co/{{MODEL}}): a seed gives the same image each time.")
    with gr.Row():
        seed = gr.Number(0, label="First seed", precision=0, minimum=0, maximum=LAST)
        count = gr.Slider(1, MOST, 16, step=1, label="Images")
        truncation = gr.Slider(0.3, 1.2, 1.0, step=0.05, label="Truncation")
        label = gr.Dropdown([ANY, *CLASSES], value=ANY, label="Class", visible=bool(CLASSES))
    button = gr.Button("Generate", variant="primary")
    # PNG, since the default is lossy
    gallery = gr.Gallery(show_label=False, columns=8, height="auto", format="png", elem_id="samples")
    gr.on([button.click, demo.load], sample, [seed, count, truncation, label], gallery)

if __name__ == "__main__":
    demo.launch(ssr_mode=False, css=STYLE)
'''
README = """---
title: {title}
sdk: gradio
sdk_version: {gradio}
app_file: app.py
models:
- {repo}
---

Samples of [{repo}](https://huggingface.co/{repo}), a model of `gantl_zoo`.
"""


def space_files(repo: str, config: Mapping[str, Any]) -> dict[str, bytes]:
    """The files of a Space for the model in the repository `repo`, whose config this is, by name."""
    plain = "".join(c for c in printable(config.get("name", repo), 60) if c not in "\\\"'`<>#{}[]:&*!|%@")
    title = plain.strip() or repo.partition("/")[2]
    plugins = [f"{name}>={version}" for name, version in sorted(dict(config.get("requires", {})).items())]
    texts = {
        "app.py": APP.format(repo=repo, title=title),
        "requirements.txt": "\n".join([f"gantl_zoo>={VERSION}", *plugins]) + "\n",
        "README.md": README.format(repo=repo, title=title, gradio=GRADIO),
    }
    return {name: text.encode() for name, text in texts.items()}


def space_for(space: str | None, repo: str, folder: Path, elsewhere: bool) -> dict[str, bytes]:
    """The files of the Space that a push of a model folder asks for, {} for None.

    `elsewhere`: the push does not go to the branch main. Raises `UsageError`, and `HubError` for a name that
    is not valid.
    """
    if space is None:
        return {}
    config = read_config(folder)
    if config.get("kind") != "gan":
        raise UsageError("a Space shows the samples of a GAN; leave out --space for other models")
    if elsewhere:
        raise UsageError("a Space loads the model from main: push to main, or push the Space afterwards")
    if checked(space)[1] is not None:
        raise UsageError(f"{space} is not a valid name of a Space: write user/name, without a revision")
    return space_files(repo, config)


def push_space(space: str, files: Mapping[str, bytes], asked: Asked, *, private: bool = False) -> str:
    """Create the Space if it does not exist, write its files in one commit, and return its address.

    Other files of the Space stay. Raises `HubError`.
    """
    from huggingface_hub import CommitOperationAdd

    hub = api(asked.endpoint, asked.token)
    what = Asked("push to", space, asked.endpoint, token=asked.token)

    def send() -> None:
        hub.create_repo(space, repo_type="space", space_sdk="gradio", private=private or None, exist_ok=True)
        operations = [CommitOperationAdd(name, content) for name, content in files.items()]
        message = "an application for the model, by gantl-zoo"
        hub.create_commit(space, operations, commit_message=message, repo_type="space")

    ask(what, send)
    return f"{shown(asked.endpoint)}/spaces/{space}"
