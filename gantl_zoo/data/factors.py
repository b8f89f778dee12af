"""Known factors of images, such as the colour and the pattern of drawn cats: a table with a row per image."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path, PurePosixPath

import torch

from gantl_zoo.data.images import ImageData
from gantl_zoo.data.names import image_files
from gantl_zoo.data.split import hashes, ids_of
from gantl_zoo.errors import DataError, UnknownNameError, unknown

FORM = "it must be a table in UTF-8, separated by tabs: a line `file`, factor, …, then a line for each image"
MOST = 10_000  # combinations of factors
Values = tuple[str, ...]


@dataclass(frozen=True)
class Factors:
    """A table of factors: their `names`, and their values by image file.

    A file is written as its path in the folder or zip, or as its name alone if no other image has that name.
    Rows without an image are ignored.
    """

    path: Path
    names: Values
    rows: dict[str, Values]

    @classmethod
    def read(cls, path: str | Path) -> Factors:
        """Read a table. Raises `DataError`."""
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "it is not UTF-8"
            raise DataError(f"the factors {path} can't be read ({why}); {FORM}") from error
        lines = [tuple(line.split("\t")) for line in text.splitlines()]
        if len(lines) < 2 or len(lines[0]) < 2 or len(set(lines[0])) < len(lines[0]):
            raise DataError(f"{path} is not a valid table of factors: {FORM}")
        rows: dict[str, Values] = {}
        for number, (file, *values) in enumerate(lines[1:], 2):
            if len(values) != len(lines[0]) - 1 or not all(values) or file in rows:
                wrong = "repeats a file" if file in rows else f"doesn't have {len(lines[0])} values"
                raise DataError(f"{path}, line {number} {wrong}; {FORM}")
            rows[file] = tuple(values)
        return cls(path, lines[0][1:], rows)

    def number(self, factor: str) -> int:
        """The column of a factor. The end of its name is enough if no other name ends like this.

        Raises `UnknownNameError`.
        """
        ends = [name for name in self.names if name == factor] or [
            name for name in self.names if factor and name.endswith(factor)
        ]
        if len(ends) != 1:
            raise UnknownNameError(unknown("factor", factor, self.names, hint=f"in {self.path}"))
        return self.names.index(ends[0])

    def values(self, column: int) -> Values:
        """The values of a factor, in numeric order if all are whole numbers. Raises `DataError` for one."""
        texts = {values[column] for values in self.rows.values()}
        if len(texts) < 2:
            raise DataError(
                f"{self.path}: the factor {self.names[column]} has one value only; a classifier needs two"
            )
        whole = all(value.isdecimal() for value in texts)
        return tuple(sorted(texts, key=lambda value: (int(value) if whole else 0, value)))

    def labelled(self, images: ImageData, source: Path, factors: Sequence[str]) -> ImageData:
        """The images of a folder or zip, labelled by their combination of `factors`.

        There is a class for each combination of values, such as "3,14", in the order of `itertools.product`.
        Raises `DataError` for images without a row.
        """
        columns = [self.number(factor) for factor in factors]
        values = [self.values(column) for column in columns]
        if (count := math.prod(map(len, values))) > MOST:
            raise DataError(f"{self.path}: these factors have {count:,} combinations; choose fewer factors")
        classes = [",".join(each) for each in product(*values)]
        if len(set(classes)) < len(classes):
            raise DataError(f"{self.path}: two combinations read alike; use values without commas")
        numbers = {name: label for label, name in enumerate(classes)}
        labels: dict[int, int] = {}
        missing = []
        for identity, file, row in self._of_files(source):
            if row is None:
                missing.append(file)
                continue
            label = numbers[",".join(row[column] for column in columns)]
            if labels.setdefault(identity, label) != label:
                raise DataError(f"{self.path}: {file} and another image are copies, but their factors differ")
        if missing:
            raise DataError(
                f"{self.path} has no row for {len(missing)} images of {source}, such as {missing[0]}; add a "
                "row with the image's path in the data, or with its name if no other image has the same"
            )
        assert images.ids is not None  # images of files have them
        chosen = torch.tensor([labels[identity] for identity in images.ids.tolist()])
        return replace(images, labels=chosen, classes=tuple(classes))

    def _of_files(self, source: Path) -> Iterator[tuple[int, str, Values | None]]:
        """Yield the id of each image file, its path and its values, or None without a row."""
        files, _ = image_files(source, warned=False)
        alone = Counter(PurePosixPath(path).name for path in files.values())
        hashed = hashes(source, list(files))
        ids = ids_of(hashed[name] for name in files).tolist()
        for identity, path in zip(ids, files.values(), strict=True):
            short = PurePosixPath(path).name
            row = self.rows.get(path) or (self.rows.get(short) if alone[short] == 1 else None)
            yield identity, path, row
