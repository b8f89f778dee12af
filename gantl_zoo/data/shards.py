"""`Shards`: images in tar files, as WebDataset writes them.

An address is a tar file, or a pattern of several: `shards-{000..015}.tar`, `{train,extra}-{0..3}.tar`. The
members `0001.jpg` and `0001.cls` are one image and its class. Images without `.cls` have the folders of the
tar as classes. If the shards' names say which ones are for training and which for testing, as in
`{train,val}-{0..3}.tar`, these are the splits.

WebDataset's own library reads shards from beginning to end and shuffles within a buffer. Here the headers are
read once, and any image can then be read by its place. So shards are shuffled, shared among processes and
resumed image by image, as a folder is, and need no further package.
"""

from __future__ import annotations

import os
import re
import tarfile
import zlib
from collections.abc import Sequence
from functools import cached_property, lru_cache
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from gantl_zoo.data.archive import TESTS, TRAIN, Archive
from gantl_zoo.data.decoding import CORRUPT_LIMIT
from gantl_zoo.data.sums import Stamp, kept_json, stamp
from gantl_zoo.errors import DataError

BRACES = re.compile(r"\{([^{}]+)\}")
RANGE = re.compile(r"(\d+)\.\.(\d+)")
WORDS = re.compile(r"[a-z]+")
LABEL = "cls"
PICTURES = ("jpg", "jpeg", "png", "webp", "ppm")  # endings of a sample's picture, as WebDataset has them
MOST = 100_000  # shards in a pattern; more are a typing error


class Member(NamedTuple):
    """A file in a shard: its name, where its content begins, its size, and its CRC-32."""

    name: str
    start: int
    size: int
    crc: int


class Shard(NamedTuple):
    """The files of one shard; of a damaged one, those before the damage, and how many bytes are lost."""

    members: tuple[Member, ...]
    lost: int
    reason: str


class Shards(Archive):
    """The files of one or several tar files. A name is `SHARD/MEMBER`."""

    @classmethod
    def accepts(cls, place: str) -> bool:
        if not place.endswith(".tar"):
            return False
        return os.path.isfile(place) or (BRACES.search(place) is not None and not os.path.exists(place))

    @property
    def name(self) -> str:
        return BRACES.sub("", self.source.stem).strip("-_.") or "shards"

    @cached_property
    def places(self) -> dict[str, str]:
        """The path of each shard by its name in this archive. Raises `DataError` if some are missing."""
        whole = os.path.isfile(self.source)  # its name may have braces itself
        paths = [str(self.source)] if whole else expanded(str(self.source))
        if missing := [path for path in paths if not os.path.isfile(path)]:
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            raise DataError(
                f"{self.source}: {len(missing)} of {len(paths)} shards do not exist: "
                f"{', '.join(missing[:3])}{more}"
            )
        paths = [os.path.abspath(path) for path in paths]
        shared = os.path.commonpath([os.path.dirname(path) for path in paths])
        return {Path(os.path.relpath(path, shared)).as_posix(): path for path in paths}

    @cached_property
    def shards(self) -> dict[str, Shard]:
        return {name: shard_at(path, stamp(path)) for name, path in self.places.items()}

    @cached_property
    def members(self) -> dict[str, tuple[str, Member]]:
        """The path of the shard, and the member, of each file."""
        self.check()
        return {
            f"{name}/{member.name}": (self.places[name], member)
            for name, shard in self.shards.items()
            for member in shard.members
        }

    def check(self) -> None:
        """Raise `DataError` if more than the limit is lost in damaged shards."""
        whole = sum(os.path.getsize(path) for path in self.places.values())
        if sum(shard.lost for shard in self.shards.values()) > CORRUPT_LIMIT * whole:
            raise DataError(
                f"{self.damage()}; more than {CORRUPT_LIMIT:.0%} of the bytes is too much: replace them"
            )

    def damage(self) -> str:
        damaged = {name: shard for name, shard in self.shards.items() if shard.reason}
        if not damaged:
            return ""
        shown = ", ".join(f"{name} ({shard.reason})" for name, shard in [*damaged.items()][:3])
        more = f" and {len(damaged) - 3} more" if len(damaged) > 3 else ""
        return f"{self.source}: {len(damaged)} of {len(self.shards)} shards are damaged: {shown}{more}"

    @cached_property
    def splits(self) -> dict[str, str]:
        """The top folder of each shard's files if the names of shards tell their splits, else empty.

        A shard whose name does not belong to a split has a folder of its own, which `layout` refuses.
        """
        known = {*TRAIN, *TESTS}
        words = {name: [w for w in WORDS.findall(name.lower()) if w in known] for name in self.places}
        kinds = {some[-1] for some in words.values() if some}
        if kinds.isdisjoint(TRAIN) or kinds.isdisjoint(TESTS) or known & self.tops:
            return {}
        return {name: some[-1] if some else Path(name).stem for name, some in words.items()}

    @property
    def tops(self) -> set[str]:
        """The top folders within the shards, in lower case."""
        return {member.name.partition("/")[0].lower() for _, member in self.members.values()}

    def paths(self, junk: bool = False) -> dict[str, str]:
        paths = {}
        simple = {key for key, ending in map(sample_of, self.members) if ending in PICTURES}
        for name, (_, member) in self.members.items():
            key, ending = sample_of(name)
            if "." in ending and key in simple:  # a mask, say, beside the picture
                continue
            folder, _, file = member.name.rpartition("/")
            place = name[: -len(member.name) - 1]
            shard = place.removesuffix(".tar").replace("/", "-")
            hidden = "." if file.startswith(".") else ""  # "._1.jpg" of macOS is not an image
            parts = (self.splits.get(place, ""), folder, f"{hidden}{shard}-{file}")
            paths[name] = "/".join(filter(None, parts))
        return paths

    def read(self, name: str) -> bytes:
        if name not in self.members:
            raise OSError(self.damage() or f"{self.source} has no file {name}")
        path, member = self.members[name]
        with open(path, "rb", buffering=0) as file:
            file.seek(member.start)
            content = file.read(member.size)
        if len(content) < member.size:
            raise OSError(f"{path} is truncated")
        if zlib.crc32(content) != member.crc:  # else it might be the pixels of another image
            raise OSError(f"{path} has changed")
        return content

    def sums(self, names: Sequence[str]) -> dict[str, tuple[int, int]]:
        return {name: (self.members[name][1].crc, self.members[name][1].size) for name in names}

    def labels(self) -> tuple[dict[str, str], tuple[str, ...]] | None:
        by_key = {
            sample_of(name)[0]: self.read(name).decode("utf-8", "replace").strip()
            for name in self.members
            if sample_of(name)[1] == LABEL
        }
        if not by_key:
            return None
        images = [name for name in self.members if sample_of(name)[1] != LABEL]
        labels = {name: by_key[key] for name in images if (key := sample_of(name)[0]) in by_key}
        numbers = all(text.isdecimal() for text in by_key.values())
        classes = sorted(set(by_key.values()), key=(lambda text: (int(text), text)) if numbers else None)
        return labels, tuple(classes)


def sample_of(name: str) -> tuple[str, str]:
    """The key of a file's sample and its ending, which begins after the first point: "a/1.seg.png"."""
    folder, slash, file = name.rpartition("/")
    key, _, ending = file.partition(".")
    return f"{folder}{slash}{key}", ending.lower()


def expanded(pattern: str) -> list[str]:
    """The paths that a pattern with braces means, in order. Raises `DataError`."""
    parts = BRACES.split(pattern)  # text, braces, text, …
    choices = [[text] if i % 2 == 0 else _choices(pattern, text) for i, text in enumerate(parts)]
    count = 1
    for some in choices:
        count *= len(some)
    if count > MOST:
        raise DataError(f"{pattern!r} means {count:,} shards; more than {MOST:,} are not possible")
    return ["".join(path) for path in product(*choices)]


def _choices(pattern: str, text: str) -> list[str]:
    if match := RANGE.fullmatch(text):
        first, last = int(match[1]), int(match[2])
        if last < first or last - first > MOST:
            raise DataError(f"{pattern!r}: the range {text} is not valid; write it as 000..015")
        width = len(match[1]) if match[1].startswith("0") else 0
        return [f"{number:0{width}}" for number in range(first, last + 1)]
    return text.split(",")


@lru_cache(maxsize=4096)
def shard_at(path: str, unchanged: Stamp) -> Shard:
    """The files of the shard at `path`. What was read is kept in the cache until the shard changes."""
    try:
        held = kept_json(path, unchanged, lambda: _read(path)._asdict())
    except OSError as error:  # it may pass, so it is not kept
        return Shard((), unchanged[0], error.strerror or str(error))
    return Shard(tuple(Member(*row) for row in held["members"]), held["lost"], held["reason"])


def _read(path: str) -> Shard:
    """The headers and the checksums of a shard, up to its end or to the first damage. Raises `OSError`."""
    members, reason = list[Member](), ""
    size, whole = os.path.getsize(path), 0  # bytes up to the end of the last whole member
    try:
        with open(path, "rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
            while (member := tar.next()) is not None:
                end = member.offset_data + member.size
                if end > size:
                    raise tarfile.ReadError("it is truncated")
                if member.isreg() and not member.issparse():
                    members.append(_member(file, member))
                whole = end
            file.seek(tar.offset)
            if file.read(512).strip(b"\0"):
                raise tarfile.ReadError(f"no valid header at byte {tar.offset:,}")
    except (tarfile.TarError, ValueError, OverflowError, RecursionError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
    return Shard(tuple(members), size - whole if reason else 0, reason)


def _member(file: Any, member: tarfile.TarInfo) -> Member:
    before = file.tell()
    file.seek(member.offset_data)
    crc = zlib.crc32(file.read(member.size))
    file.seek(before)
    return Member(member.name.removeprefix("./"), member.offset_data, member.size, crc)
