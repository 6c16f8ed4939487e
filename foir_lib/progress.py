"""How much of something long is done: a bar where one is wanted, and the same count for a page that watches.

Whoever computes counts by :func:`bar`; a page does what it does inside :func:`watched` and is told how far it is, a few times a second.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock

from tqdm.auto import tqdm

EVERY = 0.3  # seconds between two counts, and before the first: what is done sooner isn't told
_watching: list[Callable] = []
_lock = Lock()


class Bar:
    """What :func:`bar` gives: ``done`` of ``total``; :meth:`update` counts on."""

    def __init__(self, shown: tqdm, total: int, done: int, label: str, unit: str):
        self._shown, self.total, self.done, self.label, self.unit = shown, total, done, label, unit
        self._last, self._told = time.monotonic(), False

    def update(self, n: int = 1) -> None:
        """``n`` more are done."""
        self._shown.update(n)
        self.done += n
        with _lock:
            tell = _watching[-1] if _watching else None
        now = time.monotonic()
        if tell is not None and (now - self._last >= EVERY or (self._told and self.done >= self.total)):
            self._last, self._told = now, True
            tell(self)

    def __str__(self) -> str:
        words = f"{self.done:,} of {self.total:,} {self.unit}s"
        return f"{self.label}: {words}" if self.label else words


@contextmanager
def bar(total: int, label: str = "", unit: str = "picture", initial: int = 0, show: bool = True) -> Iterator[Bar]:
    """A bar of ``total`` things, each a ``unit``, of which ``initial`` are done; ``show`` False: it is counted, but not drawn."""
    with tqdm(total=total, initial=initial, desc=label or None, unit=unit, disable=not show) as shown:
        yield Bar(shown, total, initial, label, unit)


@contextmanager
def watched(tell: Callable[[Bar], object]) -> Iterator[None]:
    """Inside, ``tell(bar)`` is called while something is counted that takes longer than :data:`EVERY` seconds, as often and at its end; the innermost is told."""
    with _lock:
        _watching.append(tell)
    try:
        yield
    finally:
        with _lock:
            del _watching[len(_watching) - 1 - _watching[::-1].index(tell)]
