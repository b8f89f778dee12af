"""`Newest`: computes one thing at a time, and of the waiting requests of a view only the newest one."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

from starlette.concurrency import run_in_threadpool

T = TypeVar("T")
MOST = 1_000  # views that are remembered


class Stale(Exception):
    """A newer request of the same view has arrived."""


class Newest:
    """A queue in which a request that waits gives way to a newer one of its view.

    A view is what shows the result, such as one picture of one open page. Its requests are numbered.
    """

    def __init__(self) -> None:
        self.turns: OrderedDict[str, int] = OrderedDict()
        self.lock = asyncio.Lock()

    async def run(self, view: str, turn: int, work: Callable[[], T]) -> T:
        """The result of `work`, in another thread. Raises `Stale` if the view has a newer request by then."""
        self.turns[view] = max(turn, self.turns.get(view, turn))
        self.turns.move_to_end(view)
        while len(self.turns) > MOST:
            self.turns.popitem(last=False)
        async with self.lock:
            if view and self.turns.get(view, turn) > turn:
                raise Stale
            return await run_in_threadpool(work)
