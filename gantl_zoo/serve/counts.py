"""What the service has done, in the text format of Prometheus."""

from __future__ import annotations

from collections import Counter, deque
from itertools import accumulate

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds
RECENT = 32  # batches from which the rate is computed


class Counts:
    """Counters of requests, images and batches."""

    def __init__(self) -> None:
        self.answers: Counter[int] = Counter()  # by status
        self.waiting = self.images = self.batches = self.gone = 0
        self.batch_seconds = self.seconds = 0.0
        self.recent: deque[tuple[int, float]] = deque(maxlen=RECENT)
        self.times = [0] * (len(BOUNDS) + 1)  # answers of images, by the first bound that they are below

    def computed(self, images: int, seconds: float) -> None:
        """A batch was computed."""
        self.images, self.batches = self.images + images, self.batches + 1
        self.batch_seconds += seconds
        self.recent.append((images, seconds))

    def answered(self, seconds: float) -> None:
        """Images were sent."""
        self.seconds += seconds
        self.times[sum(seconds > bound for bound in BOUNDS)] += 1

    def rate(self) -> float:
        """Images per second of the last batches; 0 before the first one."""
        seconds = sum(taken for _, taken in self.recent)
        return sum(images for images, _ in self.recent) / seconds if seconds else 0.0

    def text(self) -> str:
        """All of them, as Prometheus reads them."""
        lines = ["# TYPE gantl_zoo_requests_total counter"]
        lines += [
            f'gantl_zoo_requests_total{{status="{status}"}} {count}'
            for status, count in sorted(self.answers.items())
        ]
        plain = {
            "images_total": ("counter", self.images),
            "batches_total": ("counter", self.batches),
            "batch_seconds_total": ("counter", round(self.batch_seconds, 6)),
            "clients_gone_total": ("counter", self.gone),
            "images_waiting": ("gauge", self.waiting),
        }
        for name, (kind, value) in plain.items():
            lines += [f"# TYPE gantl_zoo_{name} {kind}", f"gantl_zoo_{name} {value}"]
        return "\n".join([*lines, *self.histogram(), ""])

    def histogram(self) -> list[str]:
        """The times of answers with images."""
        name = "gantl_zoo_generate_seconds"
        bounds = [*map(str, BOUNDS), "+Inf"]
        below = list(accumulate(self.times))
        rows = [f'{name}_bucket{{le="{bound}"}} {n}' for bound, n in zip(bounds, below, strict=True)]
        return [
            f"# TYPE {name} histogram",
            *rows,
            f"{name}_sum {self.seconds:.6f}",
            f"{name}_count {below[-1]}",
        ]
