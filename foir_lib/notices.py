"""What was left out, turned, guessed or not verified while data was read: counted by reason and told once.

Functions that read call :func:`note`; whoever opens a whole collection does so inside :func:`collected`, which tells all of
it in one warning. Outside of it each note is a warning of its own.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import NamedTuple

_open: list["Notices"] = []
_lock = Lock()


class Notice(NamedTuple):
    """``n`` things noted for one ``reason``, e.g. "thumbnails left out"; ``example``: the first of them."""

    reason: str
    n: int
    example: str

    def __str__(self) -> str:
        return f"{self.n} {self.reason}" + (f" (first: {self.example})" if self.example else "")


class Notices(dict):
    """Counts by reason, in the order in which the reasons first came up."""

    def add(self, reason: str, example: object = "", n: int = 1) -> None:
        before = self.get(reason)
        self[reason] = Notice(reason, n + (before.n if before else 0), before.example if before else str(example))

    def rows(self) -> tuple[Notice, ...]:
        """All notices."""
        return tuple(self.values())


def note(reason: str, example: object = "", n: int = 1) -> None:
    """Counts ``n`` things of a ``reason``, a phrase that a number can stand before."""
    with _lock:
        if n and _open:
            return _open[-1].add(reason, example, n)
    if n:
        warnings.warn(str(Notice(reason, n, str(example))), stacklevel=3)


@contextmanager
def collected(what: str) -> Iterator[Notices]:
    """Collects what is noted inside, in all threads, and tells it in one warning that begins with ``what``."""
    notices = Notices()
    with _lock:
        _open.append(notices)
    try:
        yield notices
    finally:
        with _lock:
            _open.remove(notices)
        if notices:
            warnings.warn(f"{what}: {'; '.join(map(str, notices.rows()))}.", stacklevel=4)
