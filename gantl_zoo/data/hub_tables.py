"""Addresses of data sets on the Hugging Face Hub, and their tables, read with its library `datasets`."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from gantl_zoo.data.archive import TESTS, TRAIN
from gantl_zoo.data.sums import Stamp
from gantl_zoo.errors import DataError, unknown

# The path of a folder may contain "@", and on Windows the ":" of a drive.
PLACE = r"(?P<place>([A-Za-z]:[\\/]|[./~\\])[^:]*|[^:@]+)"
PATTERN = re.compile(rf"hf:{PLACE}(@(?P<revision>[^:@]+))?(:(?P<split>[^:,]*(\[[^\]]*\])?))?")
COMMIT = re.compile(r"[0-9a-f]{40}")
IMAGES = ("image", "img")  # usual names of the column
LABELS = ("label", "labels", "fine_label")
LOG_IN = "log in with `hf auth login` or set HF_TOKEN"


class Address(NamedTuple):
    """The parts of an address; `place` is a repository, or a folder on this machine."""

    place: str
    config: str | None
    revision: str | None
    split: str | None

    @classmethod
    def of(cls, text: str) -> Address:
        """Parse an address. Raises `DataError`."""
        match = PATTERN.fullmatch(text.replace(os.sep, "/"))  # a `Path` on Windows has backslashes
        if match is None:
            raise DataError(f"{text!r} is not a valid address; write hf:USER/NAME, or hf:USER/NAME:SPLIT")
        place, config = os.path.expanduser(match["place"]), None
        if re.fullmatch("[^./~:][^/:]*/[^/]+/[^/]+", place) and not os.path.isdir(place):
            place, _, config = place.rpartition("/")
        return cls(place, config, match["revision"], match["split"] or None)

    @property
    def local(self) -> bool:
        """Whether it is a folder on this machine."""
        return os.path.isdir(self.place)

    def __str__(self) -> str:
        inner = f"{self.place}/{self.config}" if self.config else self.place
        revision = f"@{self.revision}" if self.revision else ""
        return f"hf:{inner}{revision}:{self.split or ''}"


@cache
def commit_of(place: str, revision: str | None) -> str:
    """The commit that a revision means now; offline, the one that was read last. Raises `DataError`."""
    from huggingface_hub import HfApi, constants

    if COMMIT.fullmatch(revision or ""):
        return str(revision)
    address = Address(place, None, revision, None)
    if constants.HF_HUB_OFFLINE and revision is None and (folders := prepared(address)):
        return folders[-1].name
    with explained(address):
        client = HfApi(endpoint=os.environ.get("HF_ENDPOINT"))
        return str(client.dataset_info(place, revision=revision, timeout=60).sha)


def prepared(address: Address) -> list[Path]:
    """The folders of the library's cache with a data set of the Hub, one for each commit, the newest last."""
    datasets = library()
    place = Path(datasets.config.HF_DATASETS_CACHE, address.place.replace("/", "___"))
    infos = place.glob(f"{address.config or '*'}/*/{address.revision or '*'}/dataset_info.json")
    folders = [path.parent for path in infos if COMMIT.fullmatch(path.parent.name)]
    return sorted(folders, key=lambda folder: folder.stat().st_mtime)


@cache
def tables_of(address: Address, files: tuple[tuple[str, Stamp], ...]) -> dict[str, Any]:
    """The tables of the splits: the one of the address, else those for training and testing.

    `files` are those of a folder on this machine, so that a changed one is noticed. Raises `DataError`.
    """
    if not address.local and (address.place.startswith(".") or os.path.isabs(address.place)):
        raise DataError(f"the folder {address.place!r} does not exist")
    datasets = library()
    with explained(address), quietly(datasets):
        if address.local:
            names = datasets.get_dataset_split_names(address.place, address.config)
            splits = splits_of(address, names)
            tables = datasets.load_dataset(address.place, address.config, split=splits)
        else:
            splits, tables = tables_of_commit(datasets, address)
        return dict(zip(map(plain_split, splits), map(encoded, tables), strict=True))


def tables_of_commit(datasets: Any, address: Address) -> tuple[list[str], list[Any]]:
    """The splits and their tables of one commit, downloaded at first use.

    Without a connection the library would read the newest commit in its cache instead of the one it is asked
    for. So the tables are opened from the folder of the commit.
    """
    from datasets.arrow_reader import ArrowReader

    address = address._replace(revision=commit_of(address.place, address.revision))
    address = address._replace(config=address.config or default_config(datasets, address))
    if len(folders := prepared(address)) != 1:
        names = datasets.get_dataset_split_names(address.place, address.config, revision=address.revision)
        splits = splits_of(address, names)
        tables = datasets.load_dataset(address.place, address.config, revision=address.revision, split=splits)
        if len(folders := prepared(address)) != 1:
            if any(str(address.revision) in file["filename"] for t in tables for file in t.cache_files):
                return splits, tables
            raise DataError(
                f"{address}: the commit {address.revision} is not in the cache; read it once online"
            )
    info = datasets.DatasetInfo.from_directory(str(folders[0]))
    splits = splits_of(address, list(info.splits))
    opened = ArrowReader(str(folders[0]), info)
    name = info.dataset_name or address.place.rpartition("/")[2]
    return splits, [datasets.Dataset(**opened.read(name, split, info.splits.values())) for split in splits]


def default_config(datasets: Any, address: Address) -> str | None:
    """The configuration that an address without one means; None if it can't be determined offline.

    Raises `DataError` if the address has to choose one of several.
    """
    if [folder.parent.parent.name for folder in prepared(address)] == ["default"]:
        return "default"  # a configuration of this name is always the default
    try:
        place, revision = address.place, address.revision
        if name := datasets.get_dataset_default_config_name(place, revision=revision):
            return str(name)
        names = datasets.get_dataset_config_names(place, revision=revision)
    except Exception:  # no connection: the only configuration in the cache is the one that was read
        return None
    hint = f"write hf:{place}/{names[0]}"
    raise DataError(f"hf:{place} has the configurations {', '.join(names)}: choose one, {hint}")


def encoded(table: Any) -> Any:
    """The images, as files, and their labels; other columns are left out. Raises `DataError`."""
    name, label = image_column(table), label_column(table)
    table = table.select_columns([name] if label is None else [name, label])
    return table.cast_column(name, library().Image(decode=False))


def image_column(table: Any) -> str:
    """The column with images. Raises `DataError` if there is none."""
    columns = [name for name, kind in table.features.items() if type(kind).__name__ == "Image"]
    if not columns:
        raise DataError(f"the data set has no column of images, only {', '.join(table.features)}")
    return next((name for name in IMAGES if name in columns), columns[0])


def file_of(path: str, address: Address) -> Path:
    """The file that a row names instead of having its bytes.

    The author of a data set of the Hub could name any file of this machine; only downloaded ones are read.
    Raises `OSError`.
    """
    from huggingface_hub import constants

    config = library().config
    downloads = (config.HF_DATASETS_CACHE, config.DOWNLOADED_DATASETS_PATH, constants.HF_HUB_CACHE)
    folders = [Path(os.path.abspath(os.path.expanduser(folder))) for folder in downloads]
    file = Path(os.path.abspath(path))
    if not address.local and not any(file.is_relative_to(folder) for folder in folders):
        raise PermissionError(f"{path} is not a file of the data set")
    if not file.is_file():  # a device or a pipe might have no end
        raise FileNotFoundError(f"{path} is not a file")
    return file


def label_column(table: Any) -> str | None:
    """The column with class labels; None if there is none."""
    columns = [name for name, kind in table.features.items() if type(kind).__name__ == "ClassLabel"]
    plain = [name for name in LABELS if getattr(table.features.get(name), "dtype", "") in ("int64", "string")]
    return next((name for name in LABELS if name in columns), (columns + plain + [None])[0])


def splits_of(address: Address, names: Sequence[str]) -> list[str]:
    """The split of the address, or those that `chosen_splits` chooses. Raises `DataError`."""
    if address.split is None:
        return chosen_splits(address, names)
    if plain_split(address.split) not in names:
        hint = f"a class is chosen with hf:{address.place}::{address.split}"
        raise DataError(unknown(f"split of hf:{address.place}", address.split, names, hint=hint))
    return [address.split]


def plain_split(split: str) -> str:
    """A split as a name of a folder: "train[:10%]" becomes "train"."""
    return split.partition("[")[0]


def chosen_splits(address: Address, names: Sequence[str]) -> list[str]:
    """The splits for training and testing, or the only one. Raises `DataError` for all others."""
    train = next((name for name in names if name.lower() in TRAIN), None)
    test = next((name for kind in TESTS for name in names if name.lower() == kind), None)
    if train and test:
        return [train, test]
    if train or len(names) == 1:
        return [train or names[0]]
    raise DataError(
        f"hf:{address.place} has the splits {', '.join(names)}: choose one, such as "
        f"hf:{address.place}:{names[0]}"
    )


def library() -> Any:
    """The package `datasets`. Raises `DataError` if it is not installed."""
    try:
        import datasets
    except ImportError:
        raise DataError("hf: needs the package datasets: pip install 'gantl_zoo[datasets]'") from None
    return datasets


@contextmanager
def quietly(datasets: Any) -> Iterator[None]:
    """Show the library's progress bars in a terminal only."""
    hide = not sys.stderr.isatty() and not datasets.utils.are_progress_bars_disabled()
    if hide:
        datasets.utils.disable_progress_bars()
    try:
        yield
    finally:
        if hide:
            datasets.utils.enable_progress_bars()


@contextmanager
def explained(address: Address) -> Iterator[None]:
    """Convert errors of the library, of huggingface_hub and of the system to a `DataError` of one line."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # these libraries raise many kinds
        raise DataError(f"{str(address).rstrip(':')} can't be read: {reason(error, address)}") from error


def reason(error: BaseException, address: Address) -> str:
    """Why a data set can't be read, and what to do."""
    kinds, causes = set[str](), list[BaseException]()
    cause: BaseException | None = error
    while cause is not None and cause not in causes:
        causes.append(cause)
        kinds |= {kind.__name__ for kind in type(cause).__mro__}
        cause = cause.__cause__ or cause.__context__
    if "OfflineModeIsEnabled" in kinds:
        return "HF_HUB_OFFLINE is set and it is not in the cache; unset it, or read it once while online"
    if "GatedRepoError" in kinds:
        return f"its authors ask for your agreement: give it on the page of the data set, then {LOG_IN}"
    if "RevisionNotFoundError" in kinds:
        return f"it has no revision {address.revision!r}"
    if kinds & {"RepositoryNotFoundError", "DatasetNotFoundError"}:
        return f"it does not exist, or is private: check the name; for a private one {LOG_IN}"
    if kinds & {"ConnectError", "ConnectionError", "TimeoutException", "OfflineModeIsEnabled"}:
        return "the Hub does not answer: check the connection, then try again"
    if any(isinstance(one, OSError) and one.errno == 28 for one in causes):
        return "the disk is full: free some space, or move the cache with HF_HOME"
    text = (str(causes[0]).splitlines() or [""])[0][:300]
    return f"{type(causes[0]).__name__}: {text}"
