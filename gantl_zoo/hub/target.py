"""The target of a push: create the repository if needed, compare its files, and commit once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gantl_zoo.errors import HubError
from gantl_zoo.hub import fetch
from gantl_zoo.hub.client import api
from gantl_zoo.hub.errors import Asked, shown, status
from gantl_zoo.storage.schema import is_ours

Content = Path | bytes


@dataclass(frozen=True)
class Done:
    """The commit that holds the model now, and the files that it changed."""

    commit: str
    url: str
    changed: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()


@dataclass(frozen=True)
class Target:
    """The repository and branch of a push, and how to create them."""

    asked: Asked
    private: bool = False
    create_pr: bool = False

    def state(self) -> Any:
        """The current state of the repository. Creates the repository and the branch if they don't exist."""
        hub = api(self.asked.endpoint, self.asked.token)
        repo, branch = self.asked.repo, self.asked.revision
        try:
            there = hub.model_info(repo, files_metadata=True)
        except Exception as error:
            if status(error) not in (401, 404) or self.create_pr:
                raise
            hub.create_repo(repo, private=self.private or None, exist_ok=True)  # None: the owner's default
            there = hub.model_info(repo, files_metadata=True)
        if self.private and there.private is False:
            raise HubError(f"{self.asked}: it is public already; make it private on its settings page first")
        if branch in (None, "main"):
            return there
        try:
            return hub.model_info(repo, revision=branch, files_metadata=True)
        except Exception as error:
            if type(error).__name__ != "RevisionNotFoundError":
                raise
            hub.create_branch(repo, branch=str(branch), exist_ok=True)
            return hub.model_info(repo, revision=branch, files_metadata=True)

    def text(self, there: Any, name: str) -> str:
        """The content of a text file on the Hub, such as the card; "" if it does not exist."""
        if name not in {sibling.rfilename for sibling in there.siblings}:
            return ""
        path = api(self.asked.endpoint, self.asked.token).hf_hub_download(
            self.asked.repo, name, revision=there.sha
        )
        return Path(path).read_text(encoding="utf-8", errors="replace")

    def check(self, there: Any, kind: str) -> None:
        """Raise `HubError` if a push would overwrite another library's model, or one that is not a `kind`."""
        text = self.text(there, "config.json")
        weights = [s.rfilename for s in there.siblings if fetch.part_of(s.rfilename)]
        if weights and not text:
            raise HubError(
                f"{self.asked}: it holds weights without a config.json ({', '.join(weights[:3])}), which "
                "would be lost; choose another name, or delete them there first"
            )
        if text and not is_ours(text):
            raise HubError(
                f"{self.asked}: it holds a model of another library, whose files would be lost; choose "
                "another name, or delete its config.json there first"
            )
        if text and not is_ours(text, kind):
            raise HubError(
                f"{self.asked}: it holds a model of another kind (not {kind}), whose weights would be lost; "
                "choose another name, or delete its config.json there first"
            )

    def commit(self, there: Any, files: Mapping[str, Content], message: str, old: Iterable[str] = ()) -> Done:
        """Commit the files that differ, if any. Deletes weights that `files` lacks, and `old` files."""
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        url = f"{shown(self.asked.endpoint)}/{self.asked.repo}"
        changed, deleted = differences(there, files, old)
        if not changed and not deleted:
            return Done(there.sha, url)
        result = api(self.asked.endpoint, self.asked.token).create_commit(
            self.asked.repo,
            [
                *(CommitOperationAdd(name, files[name]) for name in changed),
                *(CommitOperationDelete(name) for name in deleted),
            ],
            commit_message=message,
            revision=self.asked.revision,
            create_pr=self.create_pr,
            parent_commit=there.sha,
        )
        return Done(result.oid, result.pr_url or url, tuple(changed), tuple(deleted))


def differences(there: Any, files: Mapping[str, Content], old: Iterable[str]) -> tuple[list[str], list[str]]:
    """The names of new and changed files, and of outdated files on the Hub."""
    hashes = {s.rfilename: fetch.promised(s) for s in there.siblings if fetch.KNOWN.fullmatch(s.rfilename)}
    changed = [n for n, c in files.items() if not hashes.get(n) or fetch.digest(c, hashes[n]) != hashes[n]]
    if not any(name == "config.json" or fetch.part_of(name) for name in changed):
        # the model is unchanged, and its picture differs only by another processor's rounding
        changed = [name for name in changed if not (name.endswith(".png") and name in hashes)]
    gone = {name for name in hashes if fetch.part_of(name) or name in old} - set(files)
    return changed, sorted(gone)
