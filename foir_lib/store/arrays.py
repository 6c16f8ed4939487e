"""Features that aren't files of their own: arrays in memory, and some rows of other Features. Read as those are."""

from collections.abc import Iterator, Sequence

import numpy as np

from foir_lib.errors import InputError, count


class Readable:
    """What all features share; each kind has ``n`` rows, ``layout``, name -> (dtype, shape of one row), and
    ``read(name, rows)``.

    ``of`` (M,): the row that each of M prompts has, where many share one (clicks that select the same heads); None: its own.
    """

    of = None

    def __len__(self):
        return self.n

    @property
    def names(self) -> list[str]:
        """Names of the arrays, sorted."""
        return sorted(self.layout)

    def check(self, name: str) -> None:
        """Raises InputError unless there is an array of that name."""
        if name not in self.layout:
            raise InputError(f"Features hold no array '{name}', they hold: {', '.join(self.names)}.")

    def chunks(self, names: str | list[str], size: int = 4096) -> Iterator[tuple]:
        """Walk through all rows, ``size`` at a time, holding one chunk in memory.

        ``names`` is one name, then pairs (start, array (m, ...)) come out, or a list of names, then
        pairs (start, dict of such arrays).
        """
        for start in range(0, len(self), count(size, "size")):
            part = {name: self.read(name, slice(start, start + size)) for name in ([names] if isinstance(names, str) else names)}
            yield start, part[names] if isinstance(names, str) else part


class Arrays(Readable):
    """Named arrays of ``n`` rows in memory. Raises InputError for arrays of different lengths."""

    def __init__(self, arrays: dict[str, np.ndarray], of: np.ndarray | None = None):
        self._arrays, self.of = {name: np.asarray(array) for name, array in arrays.items()}, of
        lengths = {name: len(array) for name, array in self._arrays.items()}
        if len(set(lengths.values())) != 1:
            raise InputError(f"Arrays of different lengths can't be features: {lengths}.")
        self.n = next(iter(lengths.values()))
        self.layout = {name: (array.dtype.name, array.shape[1:]) for name, array in self._arrays.items()}

    def read(self, name: str, rows=None) -> np.ndarray:
        """Rows of one array, as :meth:`foir_lib.store.features.Features.read`."""
        self.check(name)
        return self._arrays[name] if rows is None else self._arrays[name][rows]


class Rows(Readable):
    """Some rows (m,) of other ``features``: pictures that are queries and in the database too are described once."""

    def __init__(self, features: Readable, rows: np.ndarray):
        self.features, self.rows, self.n, self.layout = features, rows, len(rows), features.layout

    def read(self, name: str, rows=None) -> np.ndarray:
        """Rows of one array, as :meth:`foir_lib.store.features.Features.read`."""
        return self.features.read(name, self.rows if rows is None else self.rows[rows])


class Joined(Readable):
    """Two Features of the same items, read as one."""

    def __init__(self, first: Readable, second: Readable):
        self._of_name = {name: features for features in (second, first) for name in features.names}
        self.n, self.layout = len(first), second.layout | first.layout

    def read(self, name: str, rows=None) -> np.ndarray:
        """Rows of one array, as :meth:`foir_lib.store.features.Features.read`."""
        self.check(name)
        return self._of_name[name].read(name, rows)


class Stacked(Readable):
    """Features of several lists of items, read as those of one list. Raises InputError where they hold different arrays."""

    def __init__(self, parts: Sequence[Readable]):
        self.parts, self.layout, self.starts = tuple(parts), parts[0].layout, np.cumsum([0, *map(len, parts)])
        self.n = int(self.starts[-1])
        for part in parts:
            if part.layout != self.layout:
                raise InputError(f"Features of {part.layout} can't follow those of {self.layout}: describe all by one method.")

    def read(self, name: str, rows=None) -> np.ndarray:
        """Rows of one array, as :meth:`foir_lib.store.features.Features.read`."""
        self.check(name)
        rows = np.arange(self.n)[slice(None) if rows is None else rows]
        out, owner = np.empty((len(rows), *self.layout[name][1]), self.layout[name][0]), np.searchsorted(self.starts, rows, side="right") - 1
        for part in np.unique(owner):
            out[owner == part] = self.parts[part].read(name, rows[owner == part] - self.starts[part])
        return out


def replaced(features, **arrays: np.ndarray) -> Arrays:
    """All arrays of some features in memory, some of them others: queries after expansion."""
    return Arrays({name: features.read(name) for name in features.names} | arrays, getattr(features, "of", None))
