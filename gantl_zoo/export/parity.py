"""Whether an exported file computes what torch does.

The reference for ONNX is torch's result in float64: one in float32 may be rounded more than that of the file.
Differences are the largest absolute ones, relative to values above 1: images are in [-1, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gantl_zoo.errors import ExportError

if TYPE_CHECKING:
    from gantl_zoo.export.graph import Graph

SEEDS = 64
BATCHES = {1: 1.0, 3: 0.7, 16: 1.0}  # batch sizes, and the truncation at each

Run = Callable[[Mapping[str, Tensor]], Tensor]


def check(graph: Graph, run: Run, what: str, reference: Run | None = None) -> float:
    """The largest difference from `reference`, torch in float64, over `SEEDS` seeds at each batch size.

    Raises `ExportError` above the limit.
    """
    exact = reference or graph.reference
    worst = max(difference(graph, run, exact, batch, psi) for batch, psi in BATCHES.items())
    if not worst <= graph.tolerance:
        raise ExportError(
            f"the {graph.part} in {what} differs from torch by {worst:.2g}, more than {graph.tolerance:g}: "
            "nothing was written. A network that draws random numbers in eval mode can't be exported"
        )
    return worst


def difference(graph: Graph, run: Run, reference: Run, batch: int, truncation: float) -> float:
    """The largest difference over all seeds, in batches of this size; the last one may be smaller."""
    worst = 0.0
    for start in range(0, SEEDS, batch):
        inputs = graph.inputs(range(start, min(start + batch, SEEDS)), truncation)
        expected, actual = reference(inputs), run(inputs)
        if actual.shape != expected.shape or not actual.isfinite().all():
            return float("inf")
        scale = expected.abs().max().clamp_min(1)
        worst = max(worst, float((actual - expected).abs().max() / scale))
    return worst


def distance(graph: Graph, run: Run) -> dict[str, float]:
    """How far the output of a quantized file is from torch's: largest and mean absolute difference."""
    distances = []
    for start in range(0, SEEDS, 16):
        inputs = graph.inputs(range(start, min(start + 16, SEEDS)))
        distances.append((run(inputs) - graph.reference(inputs)).abs())
    every = torch.cat(distances)
    return {"largest": float(every.max()), "mean": float(every.mean())}
