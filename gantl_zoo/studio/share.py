"""The page of Share: the card, the push to the Hub, and the commands that do the same."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gantl_zoo.errors import UsageError, ZooError
from gantl_zoo.registry.releases import release_folder
from gantl_zoo.storage.untrusted import printable
from gantl_zoo.studio.cards import head_of, html_of
from gantl_zoo.studio.models import Models, choices, resolved
from gantl_zoo.studio.web import form_of, page, part, query, studio_of

REPO = "me/my-gan"  # in the preview, before a name is typed
LICENCES = ("mit", "apache-2.0", "cc-by-4.0", "cc-by-nc-4.0", "cc0-1.0", "openrail", "other")


async def share(request: Request) -> Response:
    """The page with the choice of a model."""
    studio, values = studio_of(request), query(request)
    known = await run_in_threadpool(choices, studio.settings)
    model = values.get("model") or studio.settings.model or next(iter(known.runs + known.releases), "")
    logged_in = await run_in_threadpool(is_logged_in)
    return page(
        request,
        "share",
        current="share",
        choices=known,
        model=model,
        licences=LICENCES,
        logged_in=logged_in,
        repo=REPO,
    )


def is_logged_in() -> bool:
    """Whether the Hub's client has a token; the token itself stays where it is."""
    from huggingface_hub import get_token

    return bool(get_token())


@part
async def card(request: Request) -> Response:
    """The card that a push would write, and the commands."""
    studio, values = studio_of(request), query(request)
    result = await studio.newest.run("", 0, lambda: preview(studio.models, values))
    return page(request, "card", **result)


def preview(models: Models, values: Mapping[str, str]) -> dict[str, Any]:
    """The files and the card of a first push, and the commands. Raises `UsageError`."""
    from gantl_zoo.hub.push import licence_of, prepared

    source, repo, licence = source_of(models, values), repo_of(values) or REPO, values.get("license", "")
    folder = release_folder(models.place(source))
    text = readme_of(folder)
    unstated = not licence and not licence_of(folder)
    files = prepared(folder, repo, text=text, license="other" if unstated else licence or None)
    content = {
        name: one.read_bytes() if isinstance(one, Path) else one for name, one in files.items() if small(name)
    }
    pictures = {name: png_address(data) for name, data in content.items() if name.endswith(".png")}
    readme = content["README.md"].decode()
    sizes = {name: one.stat().st_size if isinstance(one, Path) else len(one) for name, one in files.items()}
    commands = commands_for(source, repo, licence, private=bool(values.get("private")))
    return {
        "head": head_of(readme),
        "body": Markup(html_of(readme, pictures)),
        "files": sizes,
        "commands": commands,
        "unstated": unstated,
    }


def small(name: str) -> bool:
    """Whether a file of a push is shown."""
    return name == "README.md" or name.endswith(".png")


def png_address(data: bytes) -> str:
    """A picture as an address that holds it."""
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


def readme_of(folder: Path) -> str:
    """The card in a model's folder; "" without one."""
    path = folder / "README.md"
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def source_of(models: Models, values: Mapping[str, str]) -> str:
    """The model to share. Raises `UsageError` for one that is on the Hub already."""
    source = resolved(models.settings, values.get("model", ""))
    if source.startswith("hf-hub:"):
        raise UsageError("this model is on the Hub already; choose a run, a folder or a released model")
    return source


def repo_of(values: Mapping[str, str]) -> str:
    """The repository that a visitor typed. Raises `HubError` for names that are not valid."""
    from gantl_zoo.hub.fetch import checked

    repo = values.get("repo", "").strip()
    return checked(repo)[0] if repo else ""


def commands_for(source: str, repo: str, licence: str, *, private: bool) -> dict[str, str]:
    """The commands that do the same as the page, by what they do."""
    words = ["gantl-zoo", "push", source, repo, *(["--license", licence] if licence else [])]
    words += ["--private"] if private else []
    return {
        "Log in once": "hf auth login",
        "Push": shlex.join(words),
        "Push with a page for everybody (a Space)": shlex.join([*words, "--space", repo]),
        "Load it anywhere": f'gz.load_model("{repo}")',
    }


@part
async def push(request: Request) -> Response:
    """Push a model to the Hub, with the login that the Hub's client has."""
    studio, form = studio_of(request), await form_of(request)
    settings: dict[str, Any] = {key: bool(form.get(key)) for key in ("private", "create_pr", "own_weights")}

    def work() -> Any:
        from gantl_zoo.hub.push import push

        source, repo = source_of(studio.models, form), repo_of(form)
        if not repo:
            raise UsageError("write the name of the repository, user/name")
        settings["license"] = form.get("license") or None
        settings["space"] = repo if form.get("space") else None
        return push(release_folder(studio.models.place(source)), repo, **settings)

    try:
        done = await run_in_threadpool(work)
    except ZooError as error:
        return page(request, "alert", message=printable(error, 1000))
    return page(request, "pushed", done=done, lines=str(done).splitlines())


ROUTES = [Route("/share", share), Route("/share/card", card), Route("/share/push", push, methods=["POST"])]
