"""Fetch a model such as `me/my-gan@v1.2` into the Hub's cache, pinned to a commit and checked."""

from __future__ import annotations

import hashlib
import io
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typing_extensions import Unpack

from gantl_zoo.errors import HubError, WeightsError
from gantl_zoo.hub.client import HubOptions, api, ask, endpoint_of, is_offline
from gantl_zoo.hub.errors import Asked
from gantl_zoo.storage.card.metadata import LIBRARY
from gantl_zoo.storage.headers import MAX_FILE_BYTES, MAX_INDEX_BYTES, WEIGHTS, read_index
from gantl_zoo.storage.untrusted import read_json

NAME = re.compile(r"(?:hf-hub:)?(\w[\w.-]*/\w[\w.-]*)(?:@(\S+))?")
COMMIT = re.compile(r"[0-9a-f]{40}")
# The files of a model folder: no others are sent, fetched or deleted.
KNOWN = re.compile(rf"config\.json|README\.md|samples(-[\w.-]+)?\.png|{WEIGHTS}")
LONGEST_CONFIG = 1 << 20
LONGEST = {  # limits in bytes, by the ends of the names in KNOWN
    "config.json": LONGEST_CONFIG,
    ".index.json": MAX_INDEX_BYTES,
    ".safetensors": MAX_FILE_BYTES,
    ".md": 1 << 25,
    ".png": 1 << 25,
}
Parts = Callable[[Mapping[str, Any]], Iterable[str]]
log = logging.getLogger("gantl_zoo")


@dataclass(frozen=True)
class Snapshot:
    """One commit of a model, in the Hub's cache."""

    repo: str
    commit: str
    folder: Path

    @property
    def origin(self) -> dict[str, str]:
        """Repository and commit, as the lineage records them."""
        return {"repo": self.repo, "revision": self.commit}


def parse(name: str) -> tuple[str, str | None] | None:
    """Split `[hf-hub:]me/my-gan@v1.2` into `("me/my-gan", "v1.2")`; None for other names."""
    match = NAME.fullmatch(name)
    return (match[1], match[2]) if match else None


def checked(name: str) -> tuple[str, str | None]:
    """`parse` a name. Raises `HubError` if it is not a valid name of a repository."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    parts = parse(name)
    try:
        validate_repo_id(parts[0] if parts else name)
    except HFValidationError:
        parts = None
    if parts is None:
        raise HubError(
            f"{name!r} is not a valid name on the Hub: write user/name or user/name@revision, with letters, "
            "digits, '-', '_', '.'"
        )
    return parts


def fetch(
    name: str,
    parts: Parts,
    endpoint: str | None = None,
    *,
    all_files: bool = False,
    **options: Unpack[HubOptions],
) -> Snapshot:
    """Fetch the model `name` with the weights that `parts(config)` lists, such as `["generator"]`.

    Files in the cache are not fetched again. A branch or tag is looked up each time, unless the Hub can't be
    reached. `all_files` fetches card and picture, too, and checks all hashes again. Raises `HubError`.
    """
    repo, revision = checked(name)
    cache = options.get("cache_dir")
    asked = Asked("pull", repo, endpoint_of(endpoint), revision, options.get("token"), cache)
    kept = _cached(asked, parts)
    if options.get("local_files_only") and kept is None:
        where = f"the cache {cache}" if cache else "the cache"
        raise HubError(
            f"{asked}: local_files_only is set and it is not in {where}; load it once without that"
        )
    offline = is_offline() or bool(options.get("local_files_only"))
    if kept and (offline or (COMMIT.fullmatch(revision or "") and not all_files)):
        return kept
    try:
        return _fetched(asked, parts, all_files)
    except HubError as error:
        if kept and error.passing:
            log.warning("%s; using commit %s from the cache", error, kept.commit)
            return kept
        raise


def _fetched(asked: Asked, parts: Parts, all_files: bool) -> Snapshot:
    """Fetch the revision's current commit. The cached branch or tag points to it only when it is complete."""
    info = remote(asked)
    folder = _download(asked, info, ["config.json"], info.sha)
    needed_parts = set(parts(_config(folder)))
    names = [s.rfilename for s in info.siblings or [] if KNOWN.fullmatch(s.rfilename)]
    needed = [n for n in names if (part := part_of(n)) in needed_parts or (all_files and part is None)]
    _download(asked, info, needed, info.sha, check_all=all_files)
    if asked.revision != info.sha:
        _download(asked, info, ["config.json"], asked.revision or "main")
    return Snapshot(asked.repo, info.sha, folder)


def remote(asked: Asked) -> Any:
    """The Hub's data about a repository: commit, files, their sizes and hashes."""
    from huggingface_hub import constants

    limit = constants.HF_HUB_ETAG_TIMEOUT
    return ask(
        asked,
        lambda: api(asked.endpoint, asked.token).model_info(
            asked.repo, revision=asked.revision, files_metadata=True, timeout=limit
        ),
    )


def part_of(filename: str) -> str | None:
    """`"generator"` of `generator-00001-of-00003.safetensors`; None if the file does not hold weights."""
    match = re.fullmatch(WEIGHTS, filename)
    return match[1] if match else None


def digest(content: Path | bytes, like: str = "") -> str:
    """The hash of a file as the Hub computes it: SHA-256, or git's SHA-1 if `like` has 40 digits."""
    hasher: Any = hashlib.sha256()
    if len(like) == 40:
        size = content.stat().st_size if isinstance(content, Path) else len(content)
        hasher = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as file:
        while chunk := file.read(1 << 20):
            hasher.update(chunk)
    return str(hasher.hexdigest())


def promised(sibling: Any) -> str:
    """The hash that the Hub states for a file, or ""."""
    lfs = sibling.lfs
    return str((lfs.sha256 if lfs else sibling.blob_id) or "")


def _download(
    asked: Asked, info: Any, names: Iterable[str], revision: str, *, check_all: bool = False
) -> Path:
    """Fetch `names` into the cache, and check the hashes of new files. Returns the snapshot's folder."""
    from huggingface_hub import hf_hub_download

    siblings = {sibling.rfilename: sibling for sibling in info.siblings or []}
    folder = Path()
    names = list(names)
    for name in names:
        _check_size(asked, name, getattr(siblings.get(name), "size", None))
    for name in names:
        had = _cached_file(asked, name, info.sha)
        path = ask(
            asked,
            lambda name=name: hf_hub_download(  # type: ignore[misc]
                asked.repo,
                name,
                revision=revision,
                endpoint=asked.endpoint,
                library_name=LIBRARY,
                token=asked.token,
                cache_dir=asked.cache_dir,
            ),
        )
        folder = Path(path).parent
        if name in siblings and folder.name == info.sha and (had is None or check_all):
            _check(asked, Path(path), promised(siblings[name]))
    return folder


def _check_size(asked: Asked, name: str, size: int | None) -> None:
    """Raise `HubError` for a file that is too large to belong to a model, before it is fetched."""
    most = next(limit for end, limit in LONGEST.items() if name.endswith(end))
    if size is not None and size > most:
        raise HubError(
            f"{asked}: its {name} has {size:,} bytes, and the limit is {most:,}: it is not a model of "
            "gantl_zoo, or is damaged"
        )


def _check(asked: Asked, path: Path, expected: str) -> None:
    """Remove a file from the cache and raise `HubError` if its hash is not the `expected` one."""
    if expected and (actual := digest(path, expected)) != expected:
        for place in {path.resolve(), path}:
            place.unlink(missing_ok=True)
        raise HubError(
            f"{asked}: {path.name} arrived with hash {actual[:12]}, not {expected[:12]} as the Hub states; "
            "it was deleted. Pull again; if the error remains, the repository or a mirror is damaged"
        )


def _cached_file(asked: Asked, name: str, revision: str | None) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(asked.repo, name, cache_dir=asked.cache_dir, revision=revision)
    return Path(path) if isinstance(path, str) else None


def _cached(asked: Asked, parts: Parts) -> Snapshot | None:
    """The cached snapshot of a revision, if it has all files of `parts`; else None."""
    path = _cached_file(asked, "config.json", asked.revision)
    if path is None:
        return None
    folder = path.parent
    whole = all(_whole(folder, part) for part in parts(_config(folder)))
    return Snapshot(asked.repo, folder.name, folder) if whole else None


def _whole(folder: Path, part: str) -> bool:
    index = folder / f"{part}.safetensors.index.json"
    if not index.is_file():
        return (folder / f"{part}.safetensors").is_file()
    try:
        return all(shard.is_file() for shard in read_index(index)[0])
    except WeightsError:
        return True  # damaged: loading it reports how


def _config(folder: Path) -> dict[str, Any]:
    """`config.json`, or {} if it can't be read: loading the folder reports why."""
    try:
        config = read_json(folder / "config.json", LONGEST_CONFIG, "a model's config")
    except WeightsError:
        return {}
    return config if isinstance(config, dict) else {}
