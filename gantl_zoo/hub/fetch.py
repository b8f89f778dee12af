"""From a name such as `me/my-gan@v1.2` to a folder in the Hub's cache, pinned to a commit and checked."""

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
# What a model folder knows: nothing else is sent, fetched or deleted.
KNOWN = re.compile(rf"config\.json|README\.md|samples(-[\w.-]+)?\.png|{WEIGHTS}")
LONGEST_CONFIG = 1 << 20
LONGEST = {  # bytes, by the ends of the names in KNOWN
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
    """A model in the Hub's cache: exactly one commit."""

    repo: str
    commit: str
    folder: Path

    @property
    def origin(self) -> dict[str, str]:
        """What lineage keeps."""
        return {"repo": self.repo, "revision": self.commit}


def parse(name: str) -> tuple[str, str | None] | None:
    """`("me/my-gan", "v1.2")` of `me/my-gan@v1.2` or `hf-hub:me/my-gan@v1.2`; None for other names."""
    found = NAME.fullmatch(name)
    return (found[1], found[2]) if found else None


def checked(name: str) -> tuple[str, str | None]:
    """As `parse`. Raises `HubError` for what is no name of a repository."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    found = parse(name)
    try:
        validate_repo_id(found[0] if found else name)
    except HFValidationError:
        found = None
    if found is None:
        raise HubError(
            f"{name!r} is no name on the Hub: write user/name or user/name@revision, of letters, digits, "
            "'-', '_', '.'"
        )
    return found


def fetch(
    name: str,
    parts: Parts,
    endpoint: str | None = None,
    *,
    all_files: bool = False,
    **options: Unpack[HubOptions],
) -> Snapshot:
    """The model `name` with the weights that `parts(config)` names, such as `["generator"]`.

    What the cache has is not asked for again; a branch or tag is asked for what it means now, unless the
    Hub can't be reached. `all_files` brings card and picture too, and checks all bytes once more.
    """
    repo, revision = checked(name)
    cache = options.get("cache_dir")
    asked = Asked("pull", repo, endpoint_of(endpoint), revision, options.get("token"), cache)
    kept = _cached(asked, parts)
    if options.get("local_files_only") and kept is None:
        where = f"the cache {cache}" if cache else "the cache"
        raise HubError(f"{asked}: local_files_only is set and it is not in {where}; load it once without")
    offline = is_offline() or bool(options.get("local_files_only"))
    if kept and (offline or (COMMIT.fullmatch(revision or "") and not all_files)):
        return kept
    try:
        return _fetched(asked, parts, all_files)
    except HubError as error:
        if kept and error.passing:
            log.warning("%s; commit %s from the cache is used", error, kept.commit)
            return kept
        raise


def _fetched(asked: Asked, parts: Parts, all_files: bool) -> Snapshot:
    """What the revision means now, whole. Only then does the cache's branch or tag mean it, too."""
    info = remote(asked)
    folder = _download(asked, info, ["config.json"], info.sha)
    wanted = set(parts(_config(folder)))
    names = [s.rfilename for s in info.siblings or [] if KNOWN.fullmatch(s.rfilename)]
    needed = [n for n in names if (part := part_of(n)) in wanted or (all_files and part is None)]
    _download(asked, info, needed, info.sha, check_all=all_files)
    if asked.revision != info.sha:
        _download(asked, info, ["config.json"], asked.revision or "main")
    return Snapshot(asked.repo, info.sha, folder)


def remote(asked: Asked) -> Any:
    """The Hub's word on a repository: commit, files, their sizes and hashes."""
    from huggingface_hub import constants

    limit = constants.HF_HUB_ETAG_TIMEOUT
    return ask(
        asked,
        lambda: api(asked.endpoint, asked.token).model_info(
            asked.repo, revision=asked.revision, files_metadata=True, timeout=limit
        ),
    )


def part_of(filename: str) -> str | None:
    """`"generator"` of `generator-00001-of-00003.safetensors`; None for what holds no weights."""
    found = re.fullmatch(WEIGHTS, filename)
    return found[1] if found else None


def digest(content: Path | bytes, like: str = "") -> str:
    """The hash that the Hub has of a file: SHA-256, or git's if `like` has 40 digits."""
    hasher: Any = hashlib.sha256()
    if len(like) == 40:
        size = content.stat().st_size if isinstance(content, Path) else len(content)
        hasher = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as file:
        while chunk := file.read(1 << 20):
            hasher.update(chunk)
    return str(hasher.hexdigest())


def promised(sibling: Any) -> str:
    """The hash that the Hub gives a file, or ""."""
    lfs = sibling.lfs
    return str((lfs.sha256 if lfs else sibling.blob_id) or "")


def _download(
    asked: Asked, info: Any, names: Iterable[str], revision: str, *, check_all: bool = False
) -> Path:
    """Bring `names` into the cache; returns the snapshot's folder. New files must be what was promised."""
    from huggingface_hub import hf_hub_download

    said = {sibling.rfilename: sibling for sibling in info.siblings or []}
    folder = Path()
    names = list(names)
    for name in names:
        _check_size(asked, name, getattr(said.get(name), "size", None))
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
        if name in said and folder.name == info.sha and (had is None or check_all):
            _check(asked, Path(path), promised(said[name]))
    return folder


def _check_size(asked: Asked, name: str, size: int | None) -> None:
    """What is too large to be a model's is not fetched. Raises `HubError`."""
    most = next(limit for end, limit in LONGEST.items() if name.endswith(end))
    if size is not None and size > most:
        raise HubError(
            f"{asked}: its {name} has {size:,} bytes, and more than {most:,} are not fetched: that is no "
            "model of gantl_zoo, or a damaged one"
        )


def _check(asked: Asked, path: Path, wanted: str) -> None:
    """The file's bytes have the promised hash, or they leave the cache."""
    if wanted and (found := digest(path, wanted)) != wanted:
        for place in {path.resolve(), path}:
            place.unlink(missing_ok=True)
        raise HubError(
            f"{asked}: {path.name} arrived with hash {found[:12]}, the Hub promised {wanted[:12]}; it is "
            "thrown away. Pull again; if that stays so, the repository or a mirror on the way is damaged"
        )


def _cached_file(asked: Asked, name: str, revision: str | None) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(asked.repo, name, cache_dir=asked.cache_dir, revision=revision)
    return Path(found) if isinstance(found, str) else None


def _cached(asked: Asked, parts: Parts) -> Snapshot | None:
    """The cache's snapshot of a revision, if it has all files of `parts`."""
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
        return True  # damaged: whoever loads it says how


def _config(folder: Path) -> dict[str, Any]:
    """`config.json` as far as it can be read; whoever loads the folder says what is wrong with it."""
    try:
        config = read_json(folder / "config.json", LONGEST_CONFIG, "a model's config")
    except WeightsError:
        return {}
    return config if isinstance(config, dict) else {}
