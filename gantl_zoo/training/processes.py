"""The processes of one run: this one's rank, and the few words that they exchange.

`accelerate launch` and `torchrun` start several; a plain start is one, for which nothing here costs
anything. Gradients are averaged in one flat message a phase. DistributedDataParallel is not used: the two
players take turns, R1 differentiates twice and a strategy may unfreeze blocks on the way, and its hooks
stumble over each of these.
"""

from __future__ import annotations

import atexit
import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from gantl_zoo.errors import TrainingError, ZooError

Answer = TypeVar("Answer")
SIZES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")  # how launchers tell


@dataclass(frozen=True)
class Processes:
    """Process `rank` of `count`, on `device` if the launcher gave it one."""

    rank: int = 0
    count: int = 1
    device: torch.device | None = None

    @property
    def main(self) -> bool:
        """Whether this is the one that writes and prints."""
        return self.rank == 0

    def share(self, batch: Tensor) -> Tensor:
        """This process's part of a batch that all of them drew alike."""
        return batch.chunk(self.count)[self.rank]

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace each floating tensor by its mean over the processes: one message for all."""
        if self.count == 1 or not tensors:
            return
        from accelerate.utils import reduce

        flat = torch.cat([tensor.detach().flatten().float() for tensor in tensors])
        with self._contact():
            flat = reduce(flat, "mean")
        sizes = [tensor.numel() for tensor in tensors]
        for tensor, mean in zip(tensors, flat.split(sizes), strict=True):
            tensor.detach().copy_(mean.view(tensor.shape))

    def total(self, tensor: Tensor) -> Tensor:
        """The sum of a tensor over the processes."""
        if self.count == 1:
            return tensor
        from accelerate.utils import reduce

        with self._contact():
            summed: Tensor = reduce(tensor.to(self.device or tensor.device), "sum")
        return summed.to(tensor.device)

    def any(self, flag: bool) -> bool:
        """Whether the flag is up in at least one process."""
        if self.count == 1:
            return flag
        from accelerate.utils import reduce

        with self._contact():
            return bool(reduce(torch.tensor(float(flag), device=self.device), "max") > 0)

    def from_main(self, make: Callable[[], Answer]) -> Answer:
        """What `make` returns in the main process, in all of them; its `ZooError` is everybody's."""
        if self.count == 1:
            return make()
        from accelerate.utils import broadcast_object_list

        answer: list[Answer | None] = [None]
        failure: list[str | None] = [None]
        try:
            answer = [make()] if self.main else answer
        except ZooError as error:
            failure = [str(error)]
        with self._contact():
            broadcast_object_list(failure)
        if failure[0] is not None:
            raise TrainingError(failure[0])
        with self._contact():
            broadcast_object_list(answer)
        return answer[0]  # type: ignore[return-value]  # every process has the main one's by now

    @contextlib.contextmanager
    def _contact(self) -> Iterator[None]:
        """A lost connection is told as what it means."""
        try:
            yield
        except RuntimeError as error:  # what gloo and NCCL raise
            cause = str(error).splitlines()[0]
            raise TrainingError(
                f"process {self.rank} of {self.count} lost the others, one of which has ended or can't be "
                f"reached ({cause}); see its own message, then continue with --resume"
            ) from error


ALONE = Processes()


def launched() -> bool:
    """Whether a launcher (torchrun, accelerate, mpirun) has started this process among others."""
    return any(int(os.environ.get(name, "1")) > 1 for name in SIZES)


def is_main() -> bool:
    """Whether this process is the one that prints: the launcher's first, or the only one."""
    return int(os.environ.get("RANK", "0")) == 0


def join(device: str) -> Processes:
    """The processes that the launcher started, as accelerate finds them; `device` is "cpu", "cuda", …"""
    if not launched():
        return Processes()
    from accelerate import PartialState

    # without cpu=True a machine that has no accelerator would count as a single process
    state = PartialState(cpu=device == "cpu")
    atexit.register(_leave)
    return Processes(state.process_index, state.num_processes, state.device)


def _leave() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
