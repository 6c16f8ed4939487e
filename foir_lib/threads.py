"""Work on several items at a time, its results in the order of the items."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock, local
from typing import TypeVar

import torch
from threadpoolctl import threadpool_limits

Item, Result = TypeVar("Item"), TypeVar("Result")
_here, _lock, _limits, _shared = local(), Lock(), [], [1]


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def ahead(pool: Executor, function: Callable[[Item], Result], items: Iterable[Item], n: int) -> Iterator[Result]:
    """``function(item)`` of each item in order, computed by a pool at most ``n`` items ahead."""
    ready = deque()
    for item in items:
        ready.append(pool.submit(function, item))
        if len(ready) > n:
            yield ready.popleft().result()
    while ready:
        yield ready.popleft().result()


@contextmanager
def single(workers: int) -> Iterator[ThreadPoolExecutor]:
    """A pool of ``workers`` threads, or this process's share of them, in which networks and arrays use one thread each: faster than all threads on one small batch.

    What it hasn't begun when it is left isn't begun any more.
    """
    with one_thread():
        pool = ThreadPoolExecutor(max(workers // _shared[0], 1), initializer=alone)
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)


def share(n: int) -> None:
    """This process is one of ``n`` that share the cores."""
    _shared[0] = n


def alone() -> None:
    """This thread's networks use no other threads from now on."""
    torch.set_num_threads(1)
    _here.alone = True


def is_alone() -> bool:
    """Whether this is a thread beside others that work as it does, so that it starts none of its own."""
    return getattr(_here, "alone", False)


@contextmanager
def one_thread() -> Iterator[None]:
    """Libraries of arrays use one thread each until the last of those who are inside has left."""
    with _lock:
        _limits.append(_limits[0] if _limits else threadpool_limits(1))
    try:
        yield
    finally:
        with _lock:
            limits = _limits.pop()
            if not _limits:
                limits.restore_original_limits()
