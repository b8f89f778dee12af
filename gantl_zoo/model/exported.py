"""`Exported`: the result of an export."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Exported:
    """The files of an export, and how far their results are from torch's."""

    files: tuple[Path, ...]
    format: str
    opset: int | None  # of ONNX
    difference: float  # largest one, over 64 seeds in batches of 1, 3 and 16
    tolerance: float
    quantize: str | None = None
    distance: dict[str, float] = field(default_factory=dict)  # of the quantized file: "largest", "mean"

    @property
    def file(self) -> Path:
        """The file of the whole generator, or of the classifier."""
        return self.files[0]

    def __str__(self) -> str:
        opset = f", opset {self.opset}" if self.opset else ""
        line = f"{self.format}{opset}: differs from torch by {self.difference:.1g} at most"
        if not self.quantize:
            return line
        largest, mean = self.distance["largest"], self.distance["mean"]
        return f"{line}; as {self.quantize} by {largest:.2g} at most, {mean:.1g} on average"
