"""Features that aren't files of their own: arrays in memory, and some rows of other Features. Read as those are."""

from dataclasses import dataclass

import numpy as np

from foir_lib.errors import InputError


class Arrays:
    """Named arrays of ``n`` rows in memory.

    ``of`` (M,): the row that each of M prompts has, where many share one (clicks that select the same heads); None: its own.
    Raises InputError for arrays of different lengths.
    """

    def __init__(self, arrays: dict[str, np.ndarray], of: np.ndarray | None = None):
        self._arrays, self.of = {name: np.asarray(array) for name, array in arrays.items()}, of
        lengths = {name: len(array) for name, array in self._arrays.items()}
        if len(set(lengths.values())) != 1:
            raise InputError(f"Arrays of different lengths can't be features: {lengths}.")
        self.layout = {name: (array.dtype.name, array.shape[1:]) for name, array in self._arrays.items()}

    def __len__(self):
        return len(next(iter(self._arrays.values())))

    @property
    def names(self) -> list[str]:
        return sorted(self.layout)

    def read(self, name: str, rows=None) -> np.ndarray:
        """Rows of one array, as :meth:`foir_lib.store.features.Features.read`."""
        if name not in self._arrays:
            raise InputError(f"Features hold no array '{name}', they hold: {', '.join(self.names)}.")
        return self._arrays[name] if rows is None else self._arrays[name][rows]

    def chunks(self, names: str | list[str], size: int = 4096):
        """As :meth:`foir_lib.store.features.Features.chunks`."""
        wanted = [names] if isinstance(names, str) else list(names)
        for start in range(0, len(self), size):
            part = {name: self.read(name, slice(start, start + size)) for name in wanted}
            yield start, part[names] if isinstance(names, str) else part


@dataclass(frozen=True)
class Rows:
    """Some rows (m,) of other ``features``: pictures that are asked about and answer too are described once."""

    features: object
    rows: np.ndarray
    of = None

    def __len__(self):
        return len(self.rows)

    @property
    def layout(self) -> dict:
        return self.features.layout

    @property
    def names(self) -> list[str]:
        return self.features.names

    def read(self, name: str, rows=None) -> np.ndarray:
        """Rows of one array, as :meth:`foir_lib.store.features.Features.read`."""
        return self.features.read(name, self.rows if rows is None else self.rows[rows])

    chunks = Arrays.chunks


class Joined:
    """Two Features of the same items, read as one."""

    of = None

    def __init__(self, first, second):
        self._holds = {name: features for features in (second, first) for name in features.names}
        self._n, self.layout = len(first), second.layout | first.layout

    def __len__(self):
        return self._n

    @property
    def names(self) -> list[str]:
        return sorted(self.layout)

    def read(self, name: str, rows=None) -> np.ndarray:
        """Rows of one array, as :meth:`foir_lib.store.features.Features.read`."""
        if name not in self._holds:
            raise InputError(f"Features hold no array '{name}', they hold: {', '.join(self.names)}.")
        return self._holds[name].read(name, rows)

    chunks = Arrays.chunks


def replaced(features, **arrays: np.ndarray) -> Arrays:
    """All arrays of some features in memory, some of them others: queries after expansion."""
    return Arrays({name: features.read(name) for name in features.names} | arrays, getattr(features, "of", None))
