"""Pictures read ahead of a GPU: by threads, or by processes where there are more cores than one interpreter keeps busy."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from functools import lru_cache

import cloudpickle
import torch
from torch.multiprocessing import get_context

from foir_lib.errors import InputError
from foir_lib.store.engines.carrying import attend, without_main
from foir_lib.threads import alone, cores, single

ENOUGH, MANY = 4, 1024  # cores, and pictures, from which on processes pay: they take seconds to start
_reads: list[Callable] = []  # in a process that reads: how


class Opened:
    """``open(row)`` of pictures by their ids, the last ``n`` of them held: prompts on one picture are neighbours."""

    def __init__(self, open: Callable, ids: Sequence, n: int):
        self._parts, self._held = (open, ids, n), lru_cache(n)(open)

    def __call__(self, row: int):
        return self._held(self._parts[1][row])

    def __reduce__(self):
        return Opened, self._parts


def in_processes(open: Callable, model, n: int) -> bool:
    """Whether ``n`` pictures are read by processes: many of them, on many cores, files that a network can hand its preprocessing over for."""
    return cores() >= ENOUGH and n >= MANY and isinstance(open, Opened) and hasattr(model, "preparation")


@contextmanager
def readers(open: Callable, model, workers: int, n: int) -> Iterator[Callable[[Sequence[int]], Future]]:
    """What reads rows, of ``n``, ahead for a model, ``workers`` batches at once: the future of a list of tensors (B, 3, H, W), one for
    each run of equal shapes. A process that dies is an InputError; when this is left, none is left over."""
    if in_processes(open, model, n):
        with processes(open, model.preparation, workers) as read:
            yield read
    else:
        with single(workers) as pool:
            yield lambda rows: pool.submit(read_batch, open, model.preprocess, rows)


@contextmanager
def processes(open: Callable, prepare: Callable, workers: int) -> Iterator[Callable[[Sequence[int]], Future]]:
    """:func:`readers` that are processes: each is handed ``open`` and ``prepare`` once, and hands tensors back in shared memory."""
    how = cloudpickle.dumps((open, prepare))
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_receive, initargs=(how,))
    try:
        yield lambda rows: _Reading(_submitted(pool, rows), rows)
    finally:
        left = list((pool._processes or {}).values())
        pool.shutdown(wait=False, cancel_futures=True)
        for process in left:
            process.terminate()
            process.join()


class _Reading:
    """A future whose reader may die."""

    def __init__(self, future, rows):
        self.future, self.rows = future, rows

    def result(self):
        try:
            return self.future.result()
        except BrokenExecutor as error:
            where = f"pictures {self.rows[0]} to {self.rows[-1]}"
            raise InputError(f"A process that read {where} was ended, perhaps for want of memory: start again with fewer workers, what is done is stored.") from error


def _submitted(pool: Executor, rows) -> Future:
    try:
        with without_main():
            return pool.submit(_read_here, rows)
    except BrokenExecutor as error:
        future = Future()
        future.set_exception(error)
        return future


def _receive(how):
    attend()
    alone()
    _reads[:] = [cloudpickle.loads(how)]


def _read_here(rows):
    return read_batch(*_reads[0], rows)


def read_batch(open: Callable, prepare: Callable, rows: Sequence[int]) -> list[torch.Tensor]:
    """Pictures of some rows as tensors (B, 3, H, W), one for each run of equal shapes."""
    return list(stacked([prepare(open(row)) for row in rows]))


def stacked(tensors: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
    """One batch, or, where pictures keep their shapes, one for each run of equal shapes."""
    start = 0
    for stop in range(1, len(tensors) + 1):
        if stop == len(tensors) or tensors[stop].shape != tensors[start].shape:
            yield torch.stack(tensors[start:stop])
            start = stop
