"""A picture of the rooms of the package: each on its floor, with lines down to what it imports from.

The floors are those of the table in `how-it-is-built.md`; the lines come from the imports. An import that a
path of other lines already shows is left out.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from functools import cache
from html import escape
from itertools import pairwise
from pathlib import Path

from sitegen.links import DOCS, ROOT

PACKAGE = ROOT / "gantl_zoo"
WIDTH, ROW, BOX, LEFT, GAP, LETTER = 760, 68, 28, 34, 6, 7.8  # pixels
SWEEPS = 24  # passes that order the rooms of each floor
DOOR = "__init__"  # the public names; the picture calls it by the package

Lines = dict[str, set[str]]


def floors() -> dict[str, int]:
    """The floor of each room, from the table of the guide."""
    text = (DOCS / "how-it-is-built.md").read_text(encoding="utf-8")
    numbers = {}
    for floor, names in re.findall(r"^\| (\d) \| (.+?) \|", text, re.M):
        for name in re.findall(r"`([\w.]+)/?`", names):
            numbers[name.removesuffix(".py")] = int(floor)
    return numbers


@cache
def imports() -> Lines:
    """The rooms that each room imports from, also within functions, but not for type checkers alone.

    The public names are imported at their first use, so what `__init__.py` shows type checkers counts.
    """
    lines: Lines = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if room not in ("__main__", "released"):
            lines.setdefault(room, set()).update(imported(path, typing=room == DOOR) - {room})
    return {room: {other for other in others if other in lines} for room, others in lines.items()}


def imported(path: Path, *, typing: bool) -> set[str]:
    """The rooms that a file imports from; with `typing`, also for type checkers alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    left_out = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING" and not typing
        for inner in ast.walk(node)
    }
    rooms: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and id(node) not in left_out:
            parts = (node.module or "").split(".")
            if parts[0] == "gantl_zoo":
                rooms |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
    return rooms


def shortest(lines: Lines) -> Lines:
    """The lines without those that a path of others shows."""

    @cache
    def below(room: str) -> set[str]:
        return lines[room].union(*map(below, lines[room]))

    return {
        room: {other for other in others if not any(other in below(via) for via in others - {other})}
        for room, others in lines.items()
    }


@dataclass
class Place:
    """A room, or a floor that a line passes: its width, its middle, its neighbours above and below."""

    width: float
    label: str = ""
    x: float = 0.0
    near: list[Place] = field(default_factory=list)


def layout(floor_of: dict[str, int], lines: Lines) -> tuple[dict[int, list[Place]], list[list[Place]]]:
    """The places of each floor from left to right, and the way of each line from above to below."""
    rooms = {room: Place(len(room) * LETTER + 20, room) for room in lines}
    rows: dict[int, list[Place]] = {floor: [] for floor in sorted({floor_of[room] for room in lines})}
    for room, place in rooms.items():
        rows[floor_of[room]].append(place)
    ways = []
    for room, others in lines.items():
        for other in sorted(others):
            between = range(floor_of[room] - 1, floor_of[other], -1)
            passed = [Place(10.0) for _ in between]
            for place, floor in zip(passed, between, strict=True):
                rows[floor].append(place)
            ways.append(way := [rooms[room], *passed, rooms[other]])
            for upper, lower in pairwise(way):
                upper.near.append(lower)
                lower.near.append(upper)
    arrange(list(rows.values()))
    return rows, ways


def arrange(rows: list[list[Place]]) -> None:
    """Order each floor so that its places are near the ones that they lead to, and give each its middle."""
    for row in rows:
        spread(row)
    for _ in range(SWEEPS):
        for row in [*rows, *reversed(rows)]:
            row.sort(key=best_place)
            spread(row)


def best_place(place: Place) -> float:
    """Where a place would be best: in the middle of its neighbours."""
    return sum(other.x for other in place.near) / len(place.near) if place.near else place.x


def spread(row: list[Place]) -> None:
    """Distribute the places of a floor over the width."""
    free = WIDTH - LEFT - 2 * GAP - sum(place.width for place in row)
    gap, x = free / (len(row) + 1), LEFT + GAP + 0.0
    for place in row:
        x += gap
        place.x = x + place.width / 2
        x += place.width


def drawn(floor_of: dict[str, int], lines: Lines) -> str:
    """The picture as SVG, on a grey card that stands out from a white page and from a black one."""
    rows, ways = layout(floor_of, lines)
    top = max(rows)
    y = {id(place): (top - floor) * ROW + ROW / 2 for floor, row in rows.items() for place in row}
    height = ROW * (top - min(rows) + 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" font-family="ui-monospace, monospace" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" rx="8" fill="#57606a"/>',
    ]
    for floor in rows:
        start = (top - floor) * ROW
        if floor % 2:
            parts.append(f'<rect x="6" y="{start}" width="{WIDTH - 12}" height="{ROW}" fill="#4c555e"/>')
        parts.append(f'<text x="16" y="{start + ROW / 2 + 5}" fill="#d0d7de">{floor}</text>')
    parts += [f'<path d="{curve(way, y)}" fill="none" stroke="#c3cbd3" stroke-width="1.2"/>' for way in ways]
    for place in (place for row in rows.values() for place in row if place.label):
        left, upper = place.x - place.width / 2, y[id(place)] - BOX / 2
        name = "gantl_zoo" if place.label == DOOR else escape(place.label)
        size = f'width="{place.width:.1f}" height="{BOX}"'
        parts += [
            f'<rect x="{left:.1f}" y="{upper}" {size} rx="6" fill="#24292f"/>',
            f'<text x="{place.x:.1f}" y="{upper + 19}" fill="#fff" text-anchor="middle">{name}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])


def curve(way: list[Place], y: dict[int, float]) -> str:
    """The path of a line through its places."""
    first = way[0]
    parts = [f"M{first.x:.1f} {y[id(first)]}"]
    for upper, lower in pairwise(way):
        y0, y1 = y[id(upper)] + BOX / 2, y[id(lower)] - BOX / 2
        middle = (y0 + y1) / 2
        parts.append(f"L{upper.x:.1f} {y0} C{upper.x:.1f} {middle} {lower.x:.1f} {middle} {lower.x:.1f} {y1}")
    return " ".join([*parts, f"L{way[-1].x:.1f} {y[id(way[-1])]}"])


def write(generated: Path) -> None:
    """Write `rooms.svg`."""
    generated.mkdir(parents=True, exist_ok=True)
    (generated / "rooms.svg").write_text(drawn(floors(), shortest(imports())), encoding="utf-8")
