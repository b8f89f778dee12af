"""How much reading one file may use: opcodes, bytes of storages, bytes of what is built of them."""

from __future__ import annotations

from collections.abc import Callable, Sized
from typing import Any

from gantl_zoo.errors import WeightsError

MAX_BYTES = 8 << 30  # of a file; the largest StyleGAN2 snapshots have 400 MB, checkpoints a few gigabytes
MAX_OPCODES = 500_000  # a snapshot of three StyleGAN2 networks for 1024 px has about 50,000
FACTOR = 4  # bytes of all that is built, as a multiple of the file's: tensors may share a storage
SLACK = 16 << 20
ITEM = 64  # bytes of an item in a dict


class Use:
    """What reading a file of `size` bytes has used so far. Raises `WeightsError` above a limit.

    `embedded` reads a storage that is embedded as bytes; None where there must be none.
    """

    def __init__(self, size: int, embedded: Callable[[bytes, Use], Any] | None = None) -> None:
        self.size, self.embedded = size, embedded
        self.opcodes = self.storages = self.copies = 0

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

    def copy(self, size: int) -> None:
        """Count the bytes of a tensor, or of anything that opcodes copy: they may do so again and again."""
        self.copies += size
        if self.copies > FACTOR * self.size + SLACK:
            raise WeightsError(f"what it builds has more than {FACTOR} times the bytes of the file")

    def copy_items(self, items: Sized) -> None:
        """Count the copy of a list or a dict."""
        self.copy(ITEM * len(items))
