"""`from_pretrained`, `save_pretrained`, `push_to_hub`, named as in the Hub's libraries, and `export`.

`load_model`, `push` and `export` import models, so this file refers to them by `module:name`, as
registries do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from gantl_zoo.registry.imports import resolve
from gantl_zoo.storage.folder import SHARD, sha256

if TYPE_CHECKING:
    import torch
    from typing_extensions import Self

    from gantl_zoo.model.exported import Exported

LOAD = "gantl_zoo.zoo:load_kind"
LOAD_ADAPTER = "gantl_zoo.zoo:load_adapter"
PUSH = "gantl_zoo.hub.push:push"
EXPORT = "gantl_zoo.export.export:export"


@dataclass(frozen=True)
class Pushed:
    """The result of a push: the commit that holds the model now, and the files that it changed."""

    repo: str
    commit: str = ""  # "" for a dry run
    changed: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    url: str = ""
    files: Mapping[str, Path | bytes] = field(default_factory=dict, repr=False)
    space: str = ""  # the address of the Space that was pushed, too

    def __str__(self) -> str:
        if not self.commit:
            return self.plan()
        if not self.changed and not self.deleted:
            space = f"{self.space}\n" if self.space else ""
            return f"{space}nothing was sent: nothing has changed since commit {self.commit} of {self.repo}"
        lines = [f"sent {', '.join(self.changed)}"] if self.changed else []
        lines += [f"deleted {', '.join(self.deleted)}"] if self.deleted else []
        places = [self.url, self.space] if self.space else [self.url]
        return "\n".join(["; ".join(lines), *places, f"{self.repo}@{self.commit}"])

    def plan(self) -> str:
        """The files that a dry run would send, with SHA-256 and size, and the card."""
        lines = [f"would send to {self.repo}, in one commit:"]
        for name, content in self.files.items():
            size = content.stat().st_size if isinstance(content, Path) else len(content)
            digest = sha256(content) if isinstance(content, Path) else hashlib.sha256(content).hexdigest()
            lines.append(f"{digest}  {size:>12,}  {name}")
        card = self.files["README.md"]
        return "\n".join([*lines, "", card.decode() if isinstance(card, bytes) else ""])


class Shared:
    """Base class of models and adapters: what can be saved to a folder can be pushed."""

    kind: ClassVar[str]  # as in config.json
    folder: Path | None  # where it was loaded from
    save: Callable[..., Path]

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool = False,
        revision: str | None = None,
        create_pr: bool = False,
        dry_run: bool = False,
        license: str | None = None,
        card_file: str | Path | None = None,
        token: str | bool | None = None,
        endpoint: str | None = None,
    ) -> Pushed:
        """Send it to the Hub in one commit; the same as `gantl_zoo.push` with this object as source."""
        options: dict[str, Any] = {"private": private, "revision": revision, "create_pr": create_pr}
        options |= {"dry_run": dry_run, "license": license, "card_file": card_file}
        result: Pushed = resolve(PUSH)(self, repo_id, token=token, endpoint=endpoint, **options)
        return result


class Pretrained(Shared):
    """Base class of models with the three methods that the Hub's libraries have."""

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        discriminator: bool = True,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
    ) -> Self:
        """Load the model `name`; the same as `gantl_zoo.load_model`, for models of this class.

        Raises `UsageError` for a model of the other class, and what `load_model` raises.
        """
        model: Self = resolve(LOAD)(
            cls.kind,
            name,
            discriminator=discriminator,
            device=device,
            dtype=dtype,
            revision=revision,
            token=token,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
        )
        return model

    def save_pretrained(
        self, folder: str | Path, *, dtype: str = "float32", max_shard_size: int | str = SHARD
    ) -> Path:
        """Write the model folder; the same as `save`."""
        return self.save(folder, dtype=dtype, max_shard_size=max_shard_size)

    def export(
        self,
        to: str | Path,
        *,
        format: str = "onnx",
        quantize: str | None = None,
        split: bool = False,
        image_size: int | None = None,
    ) -> Exported:
        """Write files that run without this library into the folder `to`; all or nothing.

        `format` is "onnx", or "torch-export" for a `.pt2` file. A generator takes `latents` (N, Z), `labels`
        (N,) if it is class-conditional, and a `truncation` if it has an intermediate latent space; it gives
        `images` (N, C, H, W) in [-1, 1]. A classifier takes `images` and gives `logits`. Weights are float32,
        and the batch size N is free. `gz.runtime` runs an ONNX file without torch.

        Before anything is written, the results are compared with torch's: 64 seeds, in batches of 1, 3 and
        16. They may differ by 1e-5 (by 1e-4 with an intermediate latent space).

        `quantize` stores the weights of ONNX as "fp16" or "int8"; the result has the measured distance.
        `split` writes the mapping network and the rest of the generator as files of their own, too.
        `image_size` is the size of a classifier's images, if the model does not state it.

        Raises `UsageError`, and `ExportError` if the network can't be exported.
        """
        exported: Exported = resolve(EXPORT)(self, to, format, quantize, split, image_size)
        return exported
