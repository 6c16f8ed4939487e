"""Work on several items at a time, its results in the order of the items."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch
from threadpoolctl import threadpool_limits

Item, Result = TypeVar("Item"), TypeVar("Result")


def ahead(pool: Executor, function: Callable[[Item], Result], items: Iterable[Item], n: int) -> Iterator[Result]:
    """``function(item)`` of each item in order, computed by a pool of threads at most ``n`` items ahead."""
    ready = deque()
    for item in items:
        ready.append(pool.submit(function, item))
        if len(ready) > n:
            yield ready.popleft().result()
    while ready:
        yield ready.popleft().result()


def batched(part, describe, start: int, stop: int) -> dict[str, np.ndarray]:
    """What :func:`batches` gives of the rows from ``start`` to ``stop``, as one dict of float32 arrays."""
    dicts = list(batches(part, describe, range(start, stop)))
    return {name: np.concatenate([one[name] for one in dicts]) for name in dicts[0]}


def batches(part, describe, rows: Sequence[int]) -> Iterator[dict[str, np.ndarray]]:
    """What ``describe(rows)``, dicts of tensors of rows one after another, gives of a part's batches: a dict of float32 arrays of each.

    On a CPU ``workers`` batches at a time, one thread each: faster than all threads on one small batch.
    """
    corpus = part.corpus
    parts = [rows[low : low + corpus.batch_size] for low in range(0, len(rows), corpus.batch_size)]

    def arrays(rows):
        dicts = [{name: tensor.float().cpu().numpy() for name, tensor in tensors.items()} for tensors in describe(rows)]
        return {name: np.concatenate([one[name] for one in dicts]) for name in dicts[0]}

    if corpus.workers == 1 or len(parts) == 1 or torch.device(corpus.model.device).type != "cpu":
        yield from map(arrays, parts)
    else:
        with threadpool_limits(1), ThreadPoolExecutor(corpus.workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield from ahead(pool, arrays, parts, corpus.workers)
