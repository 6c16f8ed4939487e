"""Work on several items at a time, its results in the order of the items; a part's items in batches, so that no core and no GPU waits."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from threading import Lock, local
from typing import TypeVar

import numpy as np
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


@dataclass(frozen=True)
class Batches:
    """What ``describe(rows)``, dicts of tensors of rows one after another, gives of a part's batches: float32 arrays of each.

    On a CPU as many batches at a time as the corpus has ``workers``, one thread each. On a GPU one, while the next ones are decoded and
    copied; of ``plain`` descriptions, that see the pictures of their rows as the network takes them. ``after(rows)``: what follows
    the rows of a shard.
    """

    part: object
    describe: Callable
    plain: bool = False
    after: Callable | None = None
    beside = 1

    @property
    def few(self) -> int:
        """Rows of one batch."""
        return self.part.corpus.batch_size

    def directly(self, rows):
        """See :func:`foir_lib.store.tasks.here`."""
        return self._results([partial(self._arrays, batch) for batch in self._cut(rows)], rows)

    @contextmanager
    def working(self):
        """See :func:`foir_lib.store.tasks.here`."""
        corpus, on_cpu = self.part.corpus, torch.device(self.part.corpus.model.device).type == "cpu"
        if on_cpu and corpus.workers > 1:
            with single(corpus.workers) as pool:
                yield lambda rows: self._results([pool.submit(self._arrays, batch).result for batch in self._cut(rows)], rows)
        elif on_cpu or not self.plain:
            yield self.directly
        else:
            with self.part.readers() as read:
                yield lambda rows: self._fed([(batch, read(batch)) for batch in self._cut(rows)], rows)

    def _cut(self, rows):
        size = min(self.part.corpus.batch_size, self.part.corpus.fits or len(rows))
        return [rows[low : low + size] for low in range(0, len(rows), size)]

    def _results(self, results, rows):
        while results:
            yield results.pop(0)()
        if self.after:
            self.after(rows)

    def _fed(self, batches, rows):
        """Batches whose pictures are read elsewhere: the next one is copied while the network sees one."""
        ready = []
        while batches or ready:
            while batches and len(ready) < 2:
                batch, future = batches.pop(0)
                ready.append((batch, copied(future.result(), self.part.corpus.model.device)))
            batch, fed = ready.pop(0)
            yield self._arrays(batch, fed())
        yield from self._results([], rows)

    def _arrays(self, rows, fed=None) -> dict[str, np.ndarray]:
        """The arrays of some rows; where the GPU's memory is too small for them, of each half, and of so many from now on."""
        corpus = self.part.corpus
        try:
            if len(rows) <= (corpus.fits or len(rows)):
                with self.part.fed(rows, fed):
                    dicts = [{name: x.float().cpu().numpy() for name, x in tensors.items()} for tensors in self.describe(rows)]
                return _joined(dicts)
        except torch.OutOfMemoryError:
            if len(rows) == 1:
                raise
            torch.cuda.empty_cache()
            corpus.fits = len(rows) // 2
        middle = len(rows) // 2
        return _joined([self._arrays(some) for some in (rows[:middle], rows[middle:])])


def copied(tensors: list[torch.Tensor], device: torch.device) -> Callable[[], list[torch.Tensor]]:
    """Begin to copy tensors to a device, beside what it computes; the function returned gives them there."""
    if not torch.cuda.is_available():
        return lambda: [x.to(device, non_blocking=True) for x in tensors]
    stream = torch.cuda.Stream(device)
    pinned = [x.pin_memory() for x in tensors]
    with torch.cuda.stream(stream):
        there = [x.to(device, non_blocking=True) for x in pinned]

    def fed():
        current = torch.cuda.current_stream(device)
        current.wait_stream(stream)
        for x in there:
            x.record_stream(current)
        return there

    return fed


def _joined(dicts):
    return {name: np.concatenate([one[name] for one in dicts]) if len(dicts) > 1 else dicts[0][name] for name in dicts[0]}
