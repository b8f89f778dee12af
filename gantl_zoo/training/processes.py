"""Distributed training: `Processes` exchanges tensors and objects between the processes of a run.

`accelerate launch` and `torchrun` start several processes; a single process communicates nothing. Gradients
are averaged with one flat tensor per phase. DistributedDataParallel is not used, because its hooks don't
support alternating networks, the double backward of R1, and strategies that unfreeze blocks during training.
"""

from __future__ import annotations

import atexit
import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from gantl_zoo import errors
from gantl_zoo.errors import TrainingError, UsageError, ZooError
from gantl_zoo.training import launcher
from gantl_zoo.training.launcher import is_main, launched

__all__ = ["ALONE", "Processes", "is_main", "join", "launched"]
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Processes:
    """This process's `rank` among `count` processes; `device` is set if the launcher assigned one."""

    rank: int = 0
    count: int = 1
    device: torch.device | None = None

    @property
    def main(self) -> bool:
        """Whether this is the main process, which writes and prints."""
        return self.rank == 0

    def share(self, batch: Tensor) -> Tensor:
        """This process's part of a batch that is the same in all processes: every `count`-th element.

        So the rounds of gradient accumulation, and interleaved groups such as those of StyleGAN2's
        discriminator, have the same images in any number of processes.
        """
        return batch[self.rank :: self.count]

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its mean over the processes, with one message for all tensors."""
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
        """Sum a tensor over the processes."""
        if self.count == 1:
            return tensor
        from accelerate.utils import reduce

        with self._contact():
            summed: Tensor = reduce(tensor.to(self.device or tensor.device), "sum")
        return summed.to(tensor.device)

    def any(self, flag: bool) -> bool:
        """Whether `flag` is true in at least one process."""
        if self.count == 1:
            return flag
        from accelerate.utils import reduce

        with self._contact():
            return bool(reduce(torch.tensor(float(flag), device=self.device), "max") > 0)

    def from_main(self, make: Callable[[], Answer]) -> Answer:
        """Call `make` in the main process and return its result in all processes.

        A `ZooError` is raised in all processes; other errors are `TrainingError` in all but the main one.
        """
        if self.count == 1:
            return make()
        from accelerate.utils import broadcast_object_list

        message: list[Any] = [None, None]  # the answer, or an error's class and text
        failure: Exception | None = None
        try:
            message[0] = make() if self.main else None
        except Exception as error:
            failure, message[1] = error, _described(error)
        with self._contact():
            broadcast_object_list(message)
        if failure is not None:
            raise failure
        if message[1] is not None:
            name, text = message[1]
            raise getattr(errors, name)(text)
        answer: Answer = message[0]
        return answer

    @contextlib.contextmanager
    def _contact(self) -> Iterator[None]:
        """Convert errors of a lost connection to `TrainingError`."""
        try:
            yield
        except RuntimeError as error:  # the error class of gloo and NCCL
            cause = str(error).partition("\n")[0]
            raise TrainingError(
                f"process {self.rank} of {self.count} lost the others: one has ended or can't be reached "
                f"({cause}); see its message, then continue with --resume"
            ) from error


ALONE = Processes()


def join(device: str) -> Processes:
    """Connect the processes that a launcher started; `device` is "cpu", "cuda", …

    Raises `UsageError` for invalid environment variables, `TrainingError` if the processes can't connect.
    """
    launcher.check()
    if not (size := launched()):
        return Processes()
    from accelerate import PartialState

    try:
        # without cpu=True, accelerate reports a single process on machines without an accelerator
        state = PartialState(cpu=device == "cpu")
    except (RuntimeError, ValueError, OSError) as error:  # torch's rendezvous errors are RuntimeErrors
        cause = str(error).partition("\n")[0]
        raise TrainingError(
            f"the processes of {size} can't connect ({cause}): unset {size.partition('=')[0]} for a single "
            "process, or check that the launcher has started all of them"
        ) from error
    if state.num_processes == 1:  # accelerate needs LOCAL_RANK on GPUs
        raise UsageError(f"{size} is set without LOCAL_RANK: {launcher.REMEDY}")
    atexit.register(_leave)
    return Processes(state.process_index, state.num_processes, state.device)


def _described(error: Exception) -> tuple[str, str]:
    """The name of the nearest class in `gantl_zoo.errors` (plug-ins may derive others), and the message."""
    if not isinstance(error, ZooError):
        return TrainingError.__name__, f"the main process failed: {type(error).__name__}: {error}"
    return next(kind.__name__ for kind in type(error).__mro__ if hasattr(errors, kind.__name__)), str(error)


def _leave() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
