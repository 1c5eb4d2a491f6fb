"""Work spread over Python threads that each compute with one thread: sums that do not depend on their number.

torch usually splits every single sum over its threads ("intra-op"), so results change with their number, and small
sums wait for each other. Here each piece of work is computed by one thread from start to end, and pieces run side by
side; torch leaves Python's lock while it computes. Whatever is cut into the same pieces gives the same bits for any
number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import TypeVar

import torch

Item, Result = TypeVar("Item"), TypeVar("Result")
_side_by_side: ContextVar[int | None] = ContextVar("threads that pieces of work may run on", default=None)


def n_threads() -> int:
    """How many pieces may run side by side here: torch's number of threads, and 1 inside a piece."""
    return _side_by_side.get() or torch.get_num_threads()


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Every sum below is computed by one thread; pieces still run on as many as the caller had. Undone on leaving."""
    before = torch.get_num_threads()
    token = _side_by_side.set(n_threads())
    torch.set_num_threads(1)
    try:
        yield
    finally:
        _side_by_side.reset(token)
        torch.set_num_threads(before)


@cache
def _keep_freed_memory() -> None:
    """Once: let glibc keep what is freed (tens of MB) instead of handing it back to the system, where each piece would
    fetch it again page by page, both threads waiting for one lock. Freeing one large block moves its thresholds.
    """
    torch.empty(30_000_000, dtype=torch.uint8)


def _start_worker() -> None:
    torch.get_num_threads()  # a thread takes torch's default at its first call: that must lie behind us
    torch.set_num_threads(1)


def map_in_threads(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """[function(item) for item in items], side by side; serially where one thread is all there is.

    An exception of a piece is raised here, after the pieces that already run, and no other piece is started. Whether
    autograd records is a setting of each thread: `function` has to set it itself. The threads live for this call only
    (about 0.1 ms to start), so forked and spawned processes have nothing to inherit.
    """
    number = min(n_threads(), len(items))
    _keep_freed_memory()
    with one_thread_each():
        if number <= 1:
            return [function(item) for item in items]
        pool = ThreadPoolExecutor(number, initializer=_start_worker)
        try:
            return list(pool.map(function, items))
        finally:
            pool.shutdown(cancel_futures=True)
