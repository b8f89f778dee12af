"""How much reading one file may use: opcodes, bytes of storages, tensors and copies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gantl_zoo.errors import WeightsError

MAX_BYTES = 8 << 30  # of a file; the largest StyleGAN2 snapshots have 400 MB, checkpoints a few gigabytes
MAX_OPCODES = 500_000  # a snapshot of three StyleGAN2 networks for 1024 px has about 50,000
FACTOR = 4  # bytes of all tensors, as a multiple of the file's: tensors may share a storage
SLACK = 16 << 20
COUNTS = ("opcodes", "storages", "tensors", "copies")
ITEM = 100  # bytes that an item of a dict or a set takes, about


class Use:
    """What reading a file of `size` bytes has used so far. Raises `WeightsError` above a limit.

    `embedded` reads a storage that is embedded as bytes; None where there must be none.
    """

    def __init__(self, size: int, embedded: Callable[[bytes, Use], Any] | None = None) -> None:
        self.size, self.embedded = size, embedded
        self.opcodes = self.storages = self.tensors = self.copies = 0

    def opcode(self) -> None:
        """Count an opcode."""
        self.opcodes += 1
        if self.opcodes > MAX_OPCODES:
            raise WeightsError(f"it has more than {MAX_OPCODES:,} opcodes")

    def storage(self, size: int) -> None:
        """Count the bytes of a storage, before they are allocated."""
        self.storages += size
        if size < 0 or self.storages > self.size:
            raise WeightsError(f"it declares more bytes of tensors than the {self.size:,} that the file has")

    def tensor(self, size: int) -> None:
        """Count the bytes of a tensor."""
        self.tensors += size
        if self.tensors > FACTOR * self.size + SLACK:
            raise WeightsError(f"its tensors have more than {FACTOR} times the bytes of the file")

    def copied(self, size: int) -> None:
        """Count the bytes of a copy of data that the pickle has once but may use many times."""
        self.copies += size
        if self.copies > FACTOR * self.size + SLACK:
            raise WeightsError(f"it copies more than {FACTOR} times the bytes of the file")
