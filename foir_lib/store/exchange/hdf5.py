"""HDF5 files of features, one a partition, as ILIAS and AMES release them: read where they lie.

ILIAS: "features" (n, d) and "index" (n,), the pictures' names; distractors in numbered files, which are read as one. AMES: "features"
(n, L, 5 + d), local ones, the names in a text file beside.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from foir_lib.errors import InputError, IntegrityError, MissingError, library, parsing
from foir_lib.files import as_path
from foir_lib.store.arrays import Readable
from foir_lib.store.features import positions

GET = "fetch it again"


@dataclass(frozen=True)
class Partitions(Readable):
    """Files of features, one after another, read on demand as the array ``names[0]``: "features"; ``ids`` (n,): of the pictures, or None."""

    n: int
    layout: dict
    ids: np.ndarray | None
    files: tuple[Path, ...]
    starts: np.ndarray

    def read(self, name: str, rows=None) -> np.ndarray:
        """Rows of one array, as :meth:`foir_lib.store.features.Features.read`."""
        self.check(name)
        rows, (dtype, tail) = positions(rows, self.n), self.layout[name]
        out, owner = np.empty((len(rows), *tail), dtype), np.searchsorted(self.starts, rows, side="right") - 1
        for part in np.unique(owner):
            wanted, back = np.unique(rows[owner == part] - self.starts[part], return_inverse=True)  # HDF5 wants them rising, each once
            with parsing(f"{self.files[part]} can't be read", GET, IntegrityError), _opened(self.files[part]) as file:
                low, high = wanted[0], wanted[-1] + 1
                part_rows = file["features"][low:high] if high - low == len(wanted) else file["features"][wanted]
            out[owner == part] = part_rows[back]
        return out


def read(paths: str | PathLike | Sequence[str | PathLike], names: str | PathLike | None = None) -> Partitions:
    """The :class:`Partitions` of one file or several, in the given order.

    ``names``: a text file that names the picture of each row, one a line, up to a comma, where the files don't. Raises MissingError without
    h5py or a file, IntegrityError for a file without features, one that is cut short, names that don't align, and partitions
    that don't fit each other.
    """
    files = tuple(map(as_path, [paths] if isinstance(paths, (str, PathLike)) else paths))
    if not files:
        raise InputError("There are no HDF5 files to read: give one or several.")
    kinds, ids, sizes = [], [], []
    for path in files:
        if not path.is_file():
            raise MissingError(f"There is no HDF5 file {path}: check the path.")
        with parsing(f"{path} can't be read as HDF5", GET, IntegrityError), _opened(path) as file:
            if "features" not in file or len(file["features"].shape) < 2 or file["features"].dtype.kind != "f":
                raise IntegrityError(f"{path.name} has no features, a row of numbers for each picture; it has {', '.join(file) or 'nothing'}.")
            x = file["features"]
            kinds.append((x.dtype.name, x.shape[1:])), sizes.append(len(x))
            x[len(x) - 1 :]  # what is cut off would be missed much later
            ids.append(file["index"].asstr()[:] if "index" in file else None)
        if kinds[-1] != kinds[0]:
            raise IntegrityError(f"{path.name} holds {kinds[-1]}, {files[0].name} {kinds[0]}: partitions must be of one network.")
        if ids[-1] is not None and len(ids[-1]) != sizes[-1]:
            raise IntegrityError(f"{path.name} has {sizes[-1]} rows of features and {len(ids[-1])} names: {GET}.")
    if names is not None:
        lines = as_path(names).read_text(encoding="utf-8").splitlines() if as_path(names).is_file() else None
        if lines is None or len(lines) != sum(sizes):
            raise IntegrityError(f"{names} names {0 if lines is None else len(lines)} pictures, the features are of {sum(sizes)}: give the file that belongs to them.")
        ids = [np.array([line.partition(",")[0] for line in lines])]
    every = None if any(one is None for one in ids) else np.concatenate(ids)
    return Partitions(sum(sizes), {"features": kinds[0]}, every, files, np.cumsum([0, *sizes]))


def _opened(path):
    return library("h5py", "Reading HDF5 files").File(path, "r")
