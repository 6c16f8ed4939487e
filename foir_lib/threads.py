"""Work on several items at a time, its results in the order of the items."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from typing import TypeVar

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
