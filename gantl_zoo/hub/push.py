"""`push`: send a model to the Hub as one commit."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gantl_zoo.console import say
from gantl_zoo.errors import UsageError
from gantl_zoo.hub import fetch
from gantl_zoo.hub.client import ask, endpoint_of
from gantl_zoo.hub.errors import Asked
from gantl_zoo.hub.space import push_space, space_for
from gantl_zoo.hub.target import Content, Done, Target
from gantl_zoo.model.gan import GAN
from gantl_zoo.model.load import load_any
from gantl_zoo.model.remote import Pushed, Shared
from gantl_zoo.registry.builtins import models
from gantl_zoo.registry.releases import check_name, folder_at, release_folder
from gantl_zoo.storage import card
from gantl_zoo.storage.headers import INDEX, look
from gantl_zoo.storage.origin import UNKNOWN, check_licence, check_origin, imported
from gantl_zoo.storage.schema import parts_of, read_config
from gantl_zoo.storage.untrusted import printable

SAMPLES = 16


def push(
    source: str | Path | Shared,
    repo: str,
    *,
    private: bool = False,
    revision: str | None = None,
    create_pr: bool = False,
    dry_run: bool = False,
    license: str | None = None,
    own_weights: bool = False,
    card_file: str | Path | None = None,
    space: str | None = None,
    token: str | bool | None = None,
    endpoint: str | None = None,
) -> Pushed:
    """Send a folder with a model or an adapter, a released model, or one in memory to the Hub in one commit.

    Creates the repository (`private` hides it) and the branch `revision` if they don't exist; `create_pr`
    opens a pull request. If nothing has changed, sends nothing. Files of an older layout are deleted. The
    card is completed from the folder, and text that a person wrote is kept. `license` is an id such as "mit",
    needed unless `config.json` has one; `card_file` holds the card's text if it is not the folder's
    README.md. `own_weights` confirms that nobody else trained the weights that the model comes from, so that
    terms for files of that format don't restrict the licence. `space` is the name of a Space that gets a
    small Gradio application for the model (`gantl_zoo.hub.space`). `token` is used instead of the stored one.
    `dry_run` sends no request.

    Raises `UsageError`, `WeightsError`, `HubError`.
    """
    name = _checked(repo, revision, create_pr)
    with _on_disk(source) as place:
        folder = _folder(place)
        text = _text(card_file or folder / "README.md", must=card_file is not None)
        app = space_for(space, name, folder, create_pr or revision not in (None, "main"))
        if dry_run:
            files = prepared(place, name, text=text, license=license, own_weights=own_weights)
            files |= {f"spaces/{space}/{file}": page for file, page in app.items()}
            return Pushed(name, files=files if place is source else as_bytes(files))
        target = Target(Asked("push to", name, endpoint_of(endpoint), revision, token), private, create_pr)
        done = _send(target, contents(folder, license, own_weights), text, place, own_card=bool(card_file))
    page = push_space(str(space), app, target.asked, private=private) if app else ""
    return Pushed(name, done.commit, done.changed, done.deleted, done.url, space=page)


def _send(
    target: Target,
    content: tuple[dict[str, Any], dict[str, Content]],
    text: str,
    source: str | Path,
    own_card: bool,
) -> Done:
    """Send a config and its files. Unless `own_card`, the Hub's card may replace `text`."""
    config, files = content

    def complete(theirs: str) -> str:
        kept = text if own_card else card.choose(text, theirs)
        completed = readme(config, kept, also=theirs, own=text, address=address(source, target.asked.repo))
        return theirs if card.same(completed, theirs) else completed

    again = not target.create_pr
    return ask(target.asked, lambda: _commit(target, config, files, complete), again=again)


def _commit(
    target: Target, config: Mapping[str, Any], files: dict[str, Content], complete: Callable[[str], str]
) -> Done:
    """Send the files, and the card that `complete` makes of the Hub's, in one commit."""
    there = target.state()
    target.check(there, str(config["kind"]))
    theirs = target.text(there, "README.md")
    files["README.md"] = complete(theirs).encode()
    message = f"{config.get('name', 'model')}, pushed by gantl-zoo"
    return target.commit(there, files, message, old=card.pictures(theirs))


@contextmanager
def _on_disk(source: str | Path | Shared) -> Iterator[str | Path]:
    """The source itself, or for a model in memory a temporary folder to which it is saved."""
    if not isinstance(source, Shared):
        yield source
        return
    with tempfile.TemporaryDirectory() as place:
        yield _saved(source, Path(place) / "model")


def _saved(model: Shared, folder: Path) -> Path:
    """Save a model in memory, with the card's text that it was loaded with. Returns the folder."""
    card_of = None if model.folder is None else model.folder / "README.md"
    if card_of is not None and card_of.is_file():
        folder.mkdir()
        shutil.copyfile(card_of, folder / "README.md")
    return model.save(folder)


def as_bytes(files: Mapping[str, Content]) -> dict[str, Content]:
    """The content of files that will not last."""
    return {name: file.read_bytes() if isinstance(file, Path) else file for name, file in files.items()}


def _checked(repo: str, revision: str | None, create_pr: bool) -> str:
    """The repository's name. Raises `UsageError` for arguments that contradict each other."""
    name, branch = fetch.checked(repo)
    if branch is not None:
        raise UsageError(f"{repo}: write the branch as revision={branch!r} (--revision {branch})")
    if revision is not None and (not re.fullmatch(r"\w[\w./-]*", revision) or ".." in revision):
        raise UsageError(
            f"{revision!r} is not a valid branch name: use letters, digits, '-', '_', '.' and '/'"
        )
    if create_pr and revision not in (None, "main"):
        raise UsageError("a pull request goes to main: leave out --revision, or --create-pr")
    return name


def prepared(
    source: str | Path, repo: str, *, text: str = "", license: str | None = None, own_weights: bool = False
) -> dict[str, Content]:
    """All files that a first push sends, by name; `text` is the card so far."""
    config, files = contents(_folder(source), license, own_weights)
    return files | {"README.md": readme(config, text, address=address(source, repo)).encode()}


def readme(config: Mapping[str, Any], text: str, **more: str) -> str:
    """The card for the Hub: `text` with its generated part and our metadata keys updated."""
    return card.render(config, text, picture=card.picture_name(config), **more)


def address(source: str | Path, repo: str) -> str:
    """The name for `load_model`: a release's own name, which needs no network, else the repository's."""
    return str(source) if folder_at(source) is None and str(source) in models else repo


def contents(
    folder: Path, license: str | None = None, own_weights: bool = False
) -> tuple[dict[str, Any], dict[str, Content]]:
    """A folder's config, and the files to send except the card. Loads the model as a check."""
    config = read_config(folder)
    chosen = license or licence_in(config)
    if not chosen:
        raise UsageError(
            f"{folder} does not state a licence: give one with --license ID, such as mit, apache-2.0 or "
            "cc-by-4.0 (the data's licence may restrict your choice)"
        )
    check_licence(str(chosen))
    check_origin(config, str(chosen), own_weights)
    if terms := imported(config).get("terms"):
        say(f"the model comes from {printable(imported(config).get('file'))}: {printable(terms)}")
    model = load_any(folder)
    files: dict[str, Content] = {"config.json": folder / "config.json"}
    if chosen != config.get("license"):
        config["license"] = chosen
        files["config.json"] = (json.dumps(config, indent=2, allow_nan=False) + "\n").encode()
    for part in parts_of(config):
        files |= {path.name: path for path in _weights(folder, part)}
    if isinstance(model, GAN):
        files[card.picture_name(config)] = picture(model)
    return config, files


def picture(gan: GAN) -> bytes:
    """The card's picture: a PNG of the images of seeds 0 to 15, with all classes in turn."""
    classes = gan.num_classes
    labels = [i % classes for i in range(SAMPLES)] if classes else None
    buffer = io.BytesIO()
    gan.sample(SAMPLES, seed=0, labels=labels).grid().save(buffer, "PNG")
    return buffer.getvalue()


def licence_of(source: str | Path) -> str:
    """The licence that a model's folder states, or ""."""
    return licence_in(read_config(_folder(source)))


def licence_in(config: Mapping[str, Any]) -> str:
    """The licence in a config, else that of the file that its lineage begins with."""
    theirs = imported(config).get("license")
    return str(config.get("license") or (theirs if theirs != UNKNOWN else "") or "")


def _folder(source: str | Path) -> Path:
    text = check_name(source)
    if folder_at(source) is None and text not in models and not os.path.isdir(text) and fetch.parse(text):
        raise UsageError(
            f"there is no folder {source}; to push a model from the Hub, pull it with --to FOLDER first"
        )
    return release_folder(source)


def _weights(folder: Path, part: str) -> list[Path]:
    """The safetensors files of one network: one, or an index and its shards."""
    index = folder / f"{part}.safetensors{INDEX}"
    files = list(look(folder / f"{part}.safetensors").files)
    return [index, *files] if index.is_file() else files


def _text(path: str | Path, must: bool = True) -> str:
    try:
        return Path(os.path.expanduser(path)).read_text(encoding="utf-8")
    except FileNotFoundError:
        if not must:
            return ""
        raise UsageError(f"the card {path} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the card {path} can't be read as text: {error}") from error
