"""`check_data`: inspect a folder, a zip or a data set before training on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from gantl_zoo.data import sources
from gantl_zoo.data.advice import suggestions
from gantl_zoo.data.arrays import source_of
from gantl_zoo.data.fit import CROP, check_fit
from gantl_zoo.data.gather import Gathered, of_files, of_images, splits_of
from gantl_zoo.data.images import ImageData
from gantl_zoo.data.report import DataReport
from gantl_zoo.data.similar import Groups, copies, near
from gantl_zoo.errors import DataError

MOST_COMPARED = 100_000  # images that are compared for near-duplicates
SHOWN, WORST = 100, 10  # images on a contact sheet; images in `worst_cuts`


def silent(done: int, total: int) -> None:
    """Ignore progress: the default."""


def check_data(
    source: Any,
    *,
    image_size: int | None = None,
    fit: str = CROP,
    root: str | Path | None = None,
    progress: Callable[[int, int], None] = silent,
) -> DataReport:
    """Inspect the images of a folder, a zip, a data set name, or memory.

    The report counts images by kind, size and class, names damaged and unused files, and lists copies,
    near-duplicates, and those on both sides of the split. It says what cropping loses, and suggests an image
    size and a command. `image_size` and `fit` are the settings planned for training. `progress(done, total)`
    is called after each file. Images in files are read one at a time, so the set need not fit into memory.
    Raises `DataError` if the source does not exist or has no readable image; other unreadable files are part
    of the report.
    """
    check_fit(fit)
    place = source_of(source)
    if isinstance(place, ImageData):
        gathered = of_images((place,))
    elif sources.is_name(place):
        gathered = of_images(splits_of(place, root))
    elif sources.chosen(place)[1] is not None:
        raise DataError(f"{place}: only a whole folder or zip can be checked; leave out the classes")
    else:
        gathered = of_files(sources.existing(place), progress)
    if not gathered.looks:
        raise DataError(f"{sources.spoken(source)} contains no images")
    return report_on(sources.spoken(source), gathered, image_size, fit)


def report_on(source: str, gathered: Gathered, image_size: int | None, fit: str) -> DataReport:
    """Build the report from the contents of a source."""
    looks, count = gathered.looks, len(gathered.looks)
    sizes = Counter(f"{look.size[0]}×{look.size[1]}" for look in looks)
    cuts = [(look.cut, name) for look, name in zip(looks, gathered.names, strict=True) if look.cut]
    traits = ("grey", "grey_rgb", "transparent", "turned", "deep")
    kept = ("split", "left_out", "others", "junk", "damaged", "warnings", "problems", "memory")
    return DataReport(
        source=source,
        images=count,
        held_out=sum(gathered.held_out),
        kinds=dict(gathered.kinds.most_common()),
        sizes=dict(sizes.most_common()),
        classes=dict(sorted(gathered.classes.items())),
        not_square=len(cuts),
        mean_cut=sum(cut for cut, _ in cuts) / count,
        worst_cuts={name: cut for cut, name in sorted(cuts, key=lambda cut: (-cut[0], cut[1]))[:WORST]},
        fit=fit,
        spread=tuple(gathered.names[i] for i in sorted({i * count // SHOWN for i in range(SHOWN)})),
        **{trait: sum(getattr(look, trait) for look in looks) for trait in traits},
        **{key: getattr(gathered, key) for key in kept},
        **repetitions(gathered),
        **suggestions(source, looks, image_size, fit),
    )


def repetitions(gathered: Gathered) -> dict[str, Any]:
    """The fields `copies`, `near_duplicates` (without further copies), `leaks` and `compared` of a report."""
    same = copies(gathered.keys)
    distinct = sorted(set(range(len(gathered.keys))) - {i for group in same for i in group[1:]})
    compared = distinct[:: -(-len(distinct) // MOST_COMPARED)]
    thumbs = torch.stack([torch.from_numpy(gathered.looks[i].thumb) for i in compared])
    alike = [[compared[i] for i in group] for group in near(thumbs)]
    united = Groups(len(gathered.keys))
    for group in [*same, *alike]:
        for number in group[1:]:
            united.join(group[0], number)
    leaks = [group for group in united.sets() if len({gathered.held_out[i] for i in group}) > 1]

    def named(groups: list[list[int]]) -> tuple[tuple[str, ...], ...]:
        return tuple(tuple(gathered.names[i] for i in group) for group in groups)

    return {
        "copies": named(same),
        "near_duplicates": named(alike),
        "leaks": named(leaks),
        "compared": len(compared),
    }
