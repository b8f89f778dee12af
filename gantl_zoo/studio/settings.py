"""`Settings`: what a studio may read and write, and where it listens."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

HOST, PORT = "127.0.0.1", 7861


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of a studio. `root` and `out` are absolute, without symbolic links.

    `root`: the folder whose files the studio may read and write. `out`: the parent of run folders, which it
    may use as well. `token` is needed from each visitor, unless it is "".
    """

    root: Path
    out: Path
    model: str = ""  # shown first
    host: str = HOST
    port: int = PORT
    token: str = ""
    device: str = "cpu"
    most_images: int = 2_000  # in a set of dropped images
    most_bytes: int = 1 << 30  # of such a set
    most_sent: int = 64 << 20  # of one request with images

    @property
    def roots(self) -> tuple[Path, Path]:
        """The folders that the studio may use."""
        return self.root, self.out

    @property
    def dropped(self) -> Path:
        """The parent of the sets of dropped images."""
        return self.root / "studio-images"

    @property
    def jobs(self) -> Path:
        """The folder of the queue."""
        return self.out / ".studio"


def settings_for(root: str | Path = ".", out: str | Path | None = None, **more: object) -> Settings:
    """The settings for a root folder; `out` is by default its folder `runs`."""
    place = Path(root).expanduser().resolve()
    runs = place / "runs" if out is None else Path(out).expanduser()
    return Settings(root=place, out=runs.resolve(), **more)  # type: ignore[arg-type]
