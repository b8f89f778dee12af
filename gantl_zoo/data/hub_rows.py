"""`HubRows`: a data set of the Hugging Face Hub, read with its library `datasets`.

An address is `hf:USER/NAME`, then optionally `/CONFIG`, `@REVISION` and `:SPLIT`. In place of `USER/NAME` it
may have the path of a folder with such a data set, for example parquet files.

The library downloads a data set once into its own cache, which it maps into memory, so that any row can be
read at any time. That makes the held-out images, and the order of a resumed run, those of any other archive.
"""

from __future__ import annotations

import os
import re
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from gantl_zoo.console import warn
from gantl_zoo.data.archive import TESTS, TRAIN, Archive
from gantl_zoo.errors import DataError, unknown

T = TypeVar("T")
PATTERN = re.compile(r"hf:(?P<place>[^:@]+)(@(?P<revision>[^:@]+))?(:(?P<split>[^:,]*(\[[^\]]*\])?))?")
SUFFIXES = {b"\xff\xd8\xff": ".jpg", b"GIF": ".gif", b"RIF": ".webp"}  # by the first bytes; others are PNG
IMAGES, LABELS = ("image", "img"), ("label", "labels", "fine_label")  # usual names of columns
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
        found = PATTERN.fullmatch(text)
        if found is None:
            raise DataError(f"{text!r} is not a valid address; write hf:USER/NAME, or hf:USER/NAME:SPLIT")
        place, config = os.path.expanduser(found["place"]), None
        if not os.path.isdir(place) and place.count("/") == 2:
            place, _, config = place.rpartition("/")
        return cls(place, config, found["revision"], found["split"] or None)

    @property
    def local(self) -> bool:
        """Whether it is a folder on this machine."""
        return os.path.isdir(self.place)

    def __str__(self) -> str:
        inner = f"{self.place}/{self.config}" if self.config else self.place
        revision = f"@{self.revision}" if self.revision else ""
        return f"hf:{inner}{revision}:{self.split or ''}"


class HubRows(Archive):
    """The rows of one or two splits of a data set. Names are `SPLIT/NUMBER.SUFFIX`."""

    pinned = True

    @classmethod
    def accepts(cls, place: str) -> bool:
        return PATTERN.fullmatch(place) is not None

    @classmethod
    def address(cls, place: str) -> str:
        found = Address.of(place)
        if found.local:
            return str(found._replace(place=os.path.abspath(found.place)))
        return str(found._replace(revision=commit_of(found)))

    @property
    def name(self) -> str:
        return Path(Address.of(str(self.source)).place).name

    @cached_property
    def tables(self) -> dict[str, Any]:
        return tables_of(Address.of(str(self.source)))

    def paths(self, junk: bool = False) -> dict[str, str]:
        import pyarrow.compute as compute

        names = []
        for split, table in self.tables.items():
            content = column(table, image_column(table)).combine_chunks().field("bytes")
            starts = compute.binary_slice(content, 0, 3).to_pylist()
            names += [f"{split}/{i:09}{SUFFIXES.get(start, '.png')}" for i, start in enumerate(starts)]
        whole = len(self.tables) > 1  # then the splits are folders
        return {name: name if whole else name.partition("/")[2] for name in names}

    def read(self, name: str) -> bytes:
        split, _, row = name.partition("/")
        table = self.tables[split]
        cell = table[int(row.partition(".")[0])][image_column(table)]
        return cell["bytes"] if cell["bytes"] is not None else Path(cell["path"]).read_bytes()

    def sums(self, names: Sequence[str]) -> dict[str, tuple[int, int]]:
        return {name: sum_of(self.read, name) for name in names}

    def labels(self) -> tuple[dict[str, str], tuple[str, ...]] | None:
        found: dict[str, str] = {}
        classes: tuple[str, ...] = ()
        rows: dict[str, list[str]] = {split: [] for split in self.tables}
        for name in self.paths():
            rows[name.partition("/")[0]].append(name)
        for split, table in self.tables.items():
            key = label_column(table)
            if key is None:
                return None
            values = table[key]
            feature = table.features[key]
            known = tuple(map(str, getattr(feature, "names", None) or sorted(set(values))))
            classes = tuple(dict.fromkeys([*classes, *known]))
            if any(value is None or value in (-1, "") for value in values):
                warn(f"{self.source}: some images of {split} have no label, so labels are not used")
                return None
            texts = [known[value] if hasattr(feature, "names") else str(value) for value in values]
            found |= dict(zip(rows[split], texts, strict=True))
        return found, classes

    def origin(self) -> str:
        return self.address(str(self.source))


def sum_of(read: Callable[[str], bytes], name: str) -> tuple[int, int]:
    """CRC-32 and size of a file; (0, 0) if it can't be read."""
    try:
        content = read(name)
    except Exception:  # of pyarrow or the system: decoding reports it
        return 0, 0
    return zlib.crc32(content), len(content)


def column(table: Any, name: str) -> Any:
    """A column of a table as an Arrow array in chunks."""
    return table.with_format("arrow")[:][name] if table._indices is not None else table.data.column(name)


def image_column(table: Any) -> str:
    """The column with images. Raises `DataError` if there is none."""
    found = [name for name, kind in table.features.items() if type(kind).__name__ == "Image"]
    if not found:
        raise DataError(f"the data set has no column of images, only {', '.join(table.features)}")
    return next((name for name in IMAGES if name in found), found[0])


def label_column(table: Any) -> str | None:
    """The column with class labels; None if there is none."""
    found = [name for name, kind in table.features.items() if type(kind).__name__ == "ClassLabel"]
    plain = [name for name in LABELS if getattr(table.features.get(name), "dtype", "") in ("int64", "string")]
    return next((name for name in LABELS if name in found), (found + plain + [None])[0])


@cache
def commit_of(address: Address) -> str:
    """The commit that a revision means now. Raises `DataError`."""
    from huggingface_hub import HfApi

    with explained(address):
        info = HfApi(endpoint=os.environ.get("HF_ENDPOINT")).dataset_info(
            address.place, revision=address.revision, timeout=60
        )
    return str(info.sha)


@cache
def tables_of(address: Address) -> dict[str, Any]:
    """The tables of the splits: the one of the address, else those for training and testing."""
    datasets = library()
    revision = None if address.local else commit_of(address)
    where = {"name": address.config, "revision": revision}
    with explained(address), quietly(datasets):
        names = datasets.get_dataset_split_names(address.place, address.config, revision=revision)
        wanted = [address.split] if address.split else chosen_splits(address, names)
        if address.split and address.split.partition("[")[0] not in names:
            hint = f"a class is chosen with {address._replace(split=None)}:{address.split}"
            raise DataError(unknown(f"split of hf:{address.place}", address.split, names, hint=hint))
        tables = datasets.load_dataset(address.place, split=wanted, **where)
        result = {}
        for split, table in zip(wanted, tables, strict=True):
            key = image_column(table)
            result[plain_split(split)] = table.cast_column(key, datasets.Image(decode=False))
    return result


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
        return "HF_HUB_OFFLINE is set; unset it, or give the commit that was downloaded: hf:USER/NAME@COMMIT"
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
