"""`DataReport`: the result of `check_data`, as data and as text."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from gantl_zoo.data.images import ImageData

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

WIDTH, LABEL = 100, 10  # columns
SHOWN = 3  # names, groups, sizes or classes in a line of text
HIDDEN = ("spread", "memory")


@dataclass(frozen=True, kw_only=True)
class DataReport:
    """The result of `check_data`. Names are those of files in the folder or zip.

    Counts of images: `grey` (stored as grey), `grey_rgb` (RGB with equal channels), `transparent`, `turned`
    (upright by EXIF only), `deep` (16 bits per channel), `not_square`, `enlarged` (smaller than
    `image_size`). `mean_cut` and `worst_cuts` are the shares of pixels that a crop to a square loses.
    `copies` are groups of files with equal content; `near_duplicates` are groups of similar images among the
    `compared` ones; `leaks` are groups of either kind with images on both sides of the split.
    """

    source: str
    images: int
    held_out: int
    split: str
    kinds: dict[str, int]
    sizes: dict[str, int]
    classes: dict[str, int]
    left_out: dict[str, int]
    others: dict[str, int]
    junk: int
    damaged: dict[str, str]
    grey: int
    grey_rgb: int
    transparent: int
    turned: int
    deep: int
    not_square: int
    mean_cut: float
    worst_cuts: dict[str, float]
    copies: tuple[tuple[str, ...], ...]
    near_duplicates: tuple[tuple[str, ...], ...]
    leaks: tuple[tuple[str, ...], ...]
    compared: int
    warnings: Sequence[str]
    problems: Sequence[str]
    image_size: int
    why: str
    channels: int
    enlarged: int
    fit: str
    next: str
    spread: tuple[str, ...] = field(repr=False)  # names of the images on the contact sheet
    memory: tuple[ImageData, ...] = field(default=(), repr=False)

    def to_dict(self) -> dict[str, Any]:
        """All findings as values that JSON can hold."""
        kept = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in HIDDEN}
        groups = ("copies", "near_duplicates", "leaks")
        lists = {key: [list(group) for group in kept[key]] for key in groups}
        return kept | lists | {key: list(kept[key]) for key in ("warnings", "problems")}

    def sheet(self) -> Picture:
        """A contact sheet: up to 100 images as training uses them, and those that a crop harms most."""
        from gantl_zoo.data.sheet import contact_sheet

        return contact_sheet(self)

    def __str__(self) -> str:
        """One line per finding, wrapped at 100 columns; empty findings are left out."""
        indent = " " * LABEL
        lines = [f"{what:<{LABEL}}{text}" for what, text in self._lines() if text]
        wrapped = [
            line if line.startswith("next") else fill(line, subsequent_indent=indent) for line in lines
        ]
        return "\n".join(wrapped)

    def _lines(self) -> list[tuple[str, str]]:
        kinds = f" ({next(iter(self.kinds))})" if len(self.kinds) == 1 else f": {counted(self.kinds)}"
        return [
            ("data", self.source),
            ("images", f"{self.images:,}{kinds if self.kinds else ''}"),
            (
                "split",
                f"{self.images - self.held_out:,} to train on, {self.held_out:,} held out ({self.split})",
            ),
            ("sizes", counted(self.sizes)),
            ("classes", f"{len(self.classes)}: {counted(self.classes)}" if self.classes else "none"),
            ("colour", self._colour()),
            ("crop", self._crop()),
            ("copies", groups(self.copies, "of identical files")),
            ("similar", self._similar()),
            ("leaks", self._leaks()),
            ("left out", self._left_out()),
            ("damaged", listed(self.damaged)),
            *(("warning", text) for text in self.warnings),
            *(("problem", text) for text in self.problems),
            ("size", f"{self.image_size}: {self.why}{self._enlarged()}"),
            ("next", self.next),
        ]

    def _colour(self) -> str:
        colour = self.images - self.grey - self.grey_rgb
        parts = {"colour": colour, "grey": self.grey, "grey stored as RGB": self.grey_rgb}
        parts |= {"with 16 bits per channel": self.deep, "turned upright by EXIF": self.turned}
        parts |= {"transparent (flattened on white)": self.transparent}
        hint = "; all are grey: --channels 1" if not colour and self.grey_rgb else ""
        return ", ".join(f"{count:,} {what}" for what, count in parts.items() if count) + hint

    def _crop(self) -> str:
        if not self.not_square:
            return "nothing to crop: all are square"
        worst = ", ".join(f"{name} {cut:.0%}" for name, cut in list(self.worst_cuts.items())[:SHOWN])
        mean = self.mean_cut * self.images / self.not_square
        return (
            f"{self.not_square:,} are not square and lose {mean:.0%} of their pixels on average, at most: "
            f"{worst}; --fit pad keeps everything and fills that share of the square"
        )

    def _similar(self) -> str:
        distinct = self.images - sum(len(group) - 1 for group in self.copies)
        part = f"; {self.compared:,} of {distinct:,} were compared" if self.compared < distinct else ""
        return groups(self.near_duplicates, "of near-duplicates") + part

    def _leaks(self) -> str:
        text = groups(self.leaks, "with images on both sides of the split")
        return text and f"{text}; scores will look too good"

    def _left_out(self) -> str:
        kinds = {"of kinds that can't be read": self.left_out, "not images": self.others}
        parts = [f"{what}: {counted(counts)}" for what, counts in kinds.items() if counts]
        return "; ".join(parts + [f"hidden or of the system: {self.junk:,}"] * bool(self.junk))

    def _enlarged(self) -> str:
        return f"; enlarged: {self.enlarged:,}" if self.enlarged else ""


def fill(line: str, subsequent_indent: str) -> str:
    """Wrap a line at spaces only, so that names stay whole."""
    return textwrap.fill(
        line, WIDTH, subsequent_indent=subsequent_indent, break_long_words=False, break_on_hyphens=False
    )


def counted(counts: Mapping[str, int]) -> str:
    """The first counts as text, such as `".png (300), .jpg (11) and 2 more"`."""
    shown = [f"{what} ({count:,})" for what, count in list(counts.items())[: SHOWN + 2]]
    more = len(counts) - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more else "")


def listed(texts: Mapping[str, str]) -> str:
    """The first entries as text, such as `"4 left out: a.png (it is empty), … and 1 more"`; "" for none."""
    shown = ", ".join(f"{name} ({why})" for name, why in list(texts.items())[:SHOWN])
    more = f" and {len(texts) - SHOWN:,} more" if len(texts) > SHOWN else ""
    return f"{len(texts):,} left out: {shown}{more}" if texts else ""


def groups(names: Sequence[Sequence[str]], what: str) -> str:
    """The first groups as text: `"2 groups of identical files (5 images): a = b; c = d = e"`; "" for none."""
    if not names:
        return ""
    shown = "; ".join(" = ".join(group[:SHOWN]) + " = …" * (len(group) > SHOWN) for group in names[:SHOWN])
    more = "; …" if len(names) > SHOWN else ""
    plural = "s" if len(names) > 1 else ""
    return f"{len(names):,} group{plural} {what} ({sum(map(len, names)):,} images): {shown}{more}"
