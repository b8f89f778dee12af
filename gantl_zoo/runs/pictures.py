"""`Pictures`: when a run writes a picture of its samples, and the animation of all of them at its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gantl_zoo.model.gan import GAN
from gantl_zoo.viz import timelapse
from gantl_zoo.viz.grid import grid, save_picture

GRID = 64  # images in `fakes….png`
FEW = 20  # pictures in a run, more or less
MINUTE = 60.0  # seconds between two pictures at first
GROWTH = 25  # as many pictures would fill a run if the time between two grew from the start
SHARE = 0.05  # of a run's time, at most, for pictures


class Pictures:
    """Writes `fakes….png` into a run folder.

    A picture comes every minute at first, or FEW times in a run of less than 20 minutes, then more rarely:
    the time between two grows in proportion to the time so far. So a run has about 20 pictures, whatever its
    length. They take at most a twentieth of the time. Times are seconds since the start of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.last = 0.0  # time of the last picture
        self.cost = 0.0  # seconds that the last one took
        self.seconds = 0.0  # all of them

    def due(self, elapsed: float, done: float) -> bool:
        """Whether to write a picture now. `done` is the share of the run that is done."""
        if not 0 < done < 1 or self.seconds + self.cost > SHARE * elapsed:
            return False
        whole = elapsed / done
        first = min(MINUTE, whole / FEW)
        growth: float = (whole / first) ** (1 / GROWTH) - 1
        return elapsed - self.last >= max(first, growth * self.last)

    def write(self, picture: Any, step: int) -> None:
        """Write the picture of a step."""
        save_picture(picture, self.folder / f"fakes{step:06d}.png")

    def took(self, elapsed: float, seconds: float) -> None:
        """Record that a picture was written at `elapsed`, in so many seconds."""
        self.last, self.cost, self.seconds = elapsed, seconds, self.seconds + seconds

    def files(self) -> list[tuple[int, Path]]:
        """The steps and files of all pictures, by step."""
        files = ((path.stem.removeprefix("fakes"), path) for path in self.folder.glob("fakes*.png"))
        return sorted((int(step), path) for step, path in files if step.isdecimal())

    def animate(self) -> Path | None:
        """Write the animation of all pictures; None if there are fewer than two."""
        return timelapse.write(self.files(), self.folder / "fakes.webp")

    def state(self) -> dict[str, float]:
        """JSON values for a checkpoint; see `restore`."""
        return {"last": self.last, "cost": self.cost, "seconds": self.seconds}

    def restore(self, state: dict[str, float], step: int) -> None:
        """Restore the values of `state`, and delete the pictures after `step`: the run writes them again."""
        self.last, self.cost = state.get("last", 0.0), state.get("cost", 0.0)
        self.seconds = state.get("seconds", 0.0)
        for number, path in self.files():
            if number > step:
                path.unlink(missing_ok=True)


def picture(gan: GAN) -> Any:
    """A grid of samples from the first seeds; for a class-conditional model one row per class."""
    if not gan.num_classes:
        return grid(gan.generate(GRID, seed=0))
    classes = min(gan.num_classes, GRID)
    seeds = GRID // classes
    labels = [label for label in range(classes) for _ in range(seeds)]
    return grid(gan.generate(seeds=list(range(seeds)) * classes, labels=labels), seeds)
