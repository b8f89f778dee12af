"""`RunFolder`: the folder `runs/00000-NAME/` with config, log, statistics, metrics, checkpoints and model."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gantl_zoo.console import say
from gantl_zoo.errors import Stopped, TrainingError, UsageError
from gantl_zoo.storage.atomic import replace_file
from gantl_zoo.storage.untrusted import to_json

LONGEST = 180  # bytes of a run folder's name; file systems allow 255, names of models 200 characters


def runs_in(out: Path) -> list[Path]:
    """The run folders under `out`, sorted by number."""
    return sorted((path for path in out.glob("[0-9]*-*") if number_of(path) >= 0), key=number_of)


def begun_in(out: Path) -> Path | None:
    """The newest run under `out` that can be resumed, or None."""
    begun = [path for path in runs_in(out) if any((path / "checkpoints").glob("[0-9]*"))]
    return begun[-1] if begun else None


def number_of(path: Path) -> int:
    """The number at the start of a run folder's name, or -1 for other folders.

    Numbers have five digits, and more after 99999. A folder without config.json whose number has more digits
    is not a run: its name may start with a date.
    """
    number = re.match(r"\d{5,}(?=-)", path.name, re.A)
    if not number or (len(number[0]) > 5 and not (path / "config.json").is_file()):
        return -1
    return int(number[0])


def folder_name(name: str) -> str:
    """Convert a name to one that is valid in every file system and in a model's config."""
    plain = re.sub(r"\.{2,}", ".", re.sub(r"[^\w.+-]+", "-", name))
    return plain.encode()[:LONGEST].decode(errors="ignore")


class RunFolder:
    """Writes the files of a run. `quiet` prints nothing; `mute` also writes nothing."""

    def __init__(self, path: Path, quiet: bool = False, mute: bool = False) -> None:
        self.path, self.quiet, self.mute = path, quiet, mute
        self.board: Any = None

    @classmethod
    def create(cls, out: str | Path, name: str, config: dict[str, Any], quiet: bool = False) -> RunFolder:
        """Create a folder with the next number under `out`.

        Raises `UsageError` for a config that JSON can't represent, `TrainingError` if writing fails.
        """
        out, text = Path(os.path.expanduser(out)), to_json(config, "the run's config")
        name = folder_name(name)
        try:
            out.mkdir(parents=True, exist_ok=True)
            while True:
                path = out / f"{max(map(number_of, out.iterdir()), default=-1) + 1:05d}-{name}"
                try:
                    path.mkdir()
                    break
                except FileExistsError:  # created by another run in the meantime
                    continue
            try:
                with replace_file(path / "config.json") as beside:
                    beside.write_text(text, encoding="utf-8")
            except OSError:
                shutil.rmtree(path, ignore_errors=True)  # no run folder is left without a config
                raise
        except OSError as error:
            raise TrainingError(f"can't write a run folder into {out}: {error.strerror or error}") from error
        return cls(path, quiet)

    @classmethod
    def open(cls, path: str | Path, quiet: bool = False) -> tuple[RunFolder, dict[str, Any]]:
        """Open an existing run. Returns it with its config. Raises `TrainingError` if there is none."""
        path = Path(os.path.expanduser(path))
        try:
            config = dict(json.loads((path / "config.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            reason = "it does not exist" if not path.exists() else str(error)
            raise TrainingError(
                f"{path} is not a run folder: {reason}; --resume continues a run; to start from a model use "
                "gantl-zoo transfer"
            ) from error
        if "epochs" in config:
            raise TrainingError(
                f"{path} is a classifier's run of an earlier version, which can't be resumed: start a new run"
            )
        if "recipe" not in config:
            raise TrainingError(
                f"{path} is a model, not a run: --resume continues a run; to start from a model use "
                f"gantl-zoo transfer {path}"
            )
        return cls(path, quiet), config

    @contextmanager
    def begin(self, resume: bool, refusal: type[BaseException] = BaseException) -> Iterator[None]:
        """Delete the folder of a new run if it fails with `refusal` inside, before its first step."""
        try:
            yield
        except refusal:
            trained = any(path.name.strip("0") for path in (self.path / "checkpoints").glob("[0-9]*"))
            trained |= any(row["step"] for row in self.rows("stats.jsonl"))
            if not (resume or self.mute or trained):
                shutil.rmtree(self.path, ignore_errors=True)
            raise
        except Stopped as stopped:  # logged, because the terminal may be closed
            if not self.mute:
                with contextlib.suppress(TrainingError):
                    self._add("log.txt", str(stopped))
            raise

    def log(self, text: str) -> None:
        """Write a message for people to `log.txt`, and print it unless the folder is `quiet`."""
        if self.mute:
            return
        self._add("log.txt", text)
        say(text, quiet=self.quiet)

    def write(self, name: str, value: dict[str, Any]) -> None:
        """Write a JSON file. Raises `TrainingError` if writing fails."""
        try:
            with replace_file(self.path / name) as beside:
                beside.write_text(to_json(value, name), encoding="utf-8")
        except OSError as error:
            raise TrainingError(f"can't write {self.path / name}: {error.strerror or error}") from error

    def append(self, name: str, row: dict[str, Any]) -> None:
        """Write a row for programs to `stats.jsonl` or `metrics.jsonl`, and to TensorBoard if it is open."""
        self._add(name, json.dumps(row))
        if self.board is not None:
            for key in (key for key, value in row.items() if value is not None and key != "step"):
                self.board.add_scalar(f"{Path(name).stem}/{key}", row[key], row["step"])
            self.board.flush()

    def _add(self, name: str, line: str) -> None:
        try:
            with open(self.path / name, "a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(line + "\n")
        except OSError as error:
            raise TrainingError(
                f"can't write to {self.path / name}: {error.strerror or error}; free some space or make the "
                f"folder writable, then continue with --resume {self.path}"
            ) from error

    def open_board(self, kind: str) -> None:
        """Also write rows to TensorBoard if `kind` is "tensorboard". Raises `UsageError` if it is missing."""
        if kind != "tensorboard":
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise UsageError(
                "--log tensorboard needs another package: pip install 'gantl_zoo[logs]', or leave --log out"
            ) from error
        self.board = SummaryWriter(self.path / "tensorboard")

    def close_board(self) -> None:
        """Close what `open_board` opened."""
        if self.board is not None:
            self.board.close()
            self.board = None

    def rows(self, name: str) -> list[dict[str, Any]]:
        """The rows that `append` wrote, without lines that a full disk or a power cut damaged."""
        path = self.path / name
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        return [row for line in text.split("\n") if (row := _row(line)) is not None]

    def lines(self) -> list[str]:
        """The lines of `log.txt`."""
        path = self.path / "log.txt"
        return path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []

    def forget_after(self, step: int) -> None:
        """Delete the rows after `step`, because a resumed run writes them again."""
        for name in ("stats.jsonl", "metrics.jsonl"):
            rows = [row for row in self.rows(name) if row["step"] <= step]
            if (self.path / name).is_file():
                text = "".join(json.dumps(row) + "\n" for row in rows)
                with replace_file(self.path / name) as beside:
                    beside.write_text(text, encoding="utf-8")


def _row(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line.strip("\0"))  # null bytes stand for blocks that were not written
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) and isinstance(row.get("step"), int) else None
