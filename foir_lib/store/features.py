"""Features: what one model knows of a list of items, stored on disk in shards, whole or absent.

One folder per key. Each shard is one safetensors file whose header carries the key's digest, its
range of items and a checksum; all are checked when the store is opened (about a second per 5 GB),
and what fails is computed again. So a run may be killed at any moment and simply started again, and two
runs may share a folder.
"""

import hashlib
import json
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from threadpoolctl import threadpool_limits

from foir_lib.errors import InputError, IntegrityError
from foir_lib.files import as_path, atomic_write, cache_root, remove_stale
from foir_lib.progress import bar as counted
from foir_lib.store import shards
from foir_lib.store.arrays import Readable

VERSION = 1
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Features(Readable):
    """Named arrays of ``n`` rows, read from disk on demand; see :func:`build`.

    ``layout`` maps a name to (dtype, shape of one row).
    """

    folder: Path
    n: int
    shard: int
    layout: dict

    def read(self, name, rows=None):
        """Rows of one array, (number of rows, ...), in the order of ``rows``.

        ``rows``: None for all, a slice, a boolean mask (n,) or positions. Raises InputError for an
        unknown name or a row out of range, IntegrityError when a shard has gone.
        """
        self.check(name)
        rows = positions(rows, self.n)
        dtype, tail = self.layout[name]
        out = np.empty((len(rows), *tail), dtype)
        owner = rows // self.shard
        for index in np.unique(owner):
            start, stop = index * self.shard, min((index + 1) * self.shard, self.n)
            at = np.flatnonzero(owner == index)
            low, high = rows[at].min() - start, rows[at].max() - start + 1
            out[at] = rows_of(shards.path(self.folder, start, stop), name, low, high)[rows[at] - start - low]
        return out


def positions(rows, n: int) -> np.ndarray:
    """Rows as :meth:`Features.read` takes them, of ``n``, as positions (m,). Raises InputError for others."""
    if rows is None or isinstance(rows, slice):
        return np.arange(n)[rows or slice(None)]
    rows = np.asarray(rows)
    if rows.dtype == bool and rows.shape == (n,):
        return np.flatnonzero(rows)
    if rows.ndim != 1 or (rows.size and rows.dtype.kind not in "iu"):
        remedy = f"give a list of positions, a slice or a boolean mask of length {n}"
        raise InputError(f"Rows of shape {rows.shape} and type {rows.dtype} can't be read: {remedy}.")
    if rows.size and not 0 <= rows.min() <= rows.max() < n:
        raise InputError(f"Rows {rows.min()} to {rows.max()} lie outside the {n} items stored.")
    return rows.astype(np.int64)


def rows_of(path: Path, name: str, low: int, high: int) -> np.ndarray:
    """Rows ``low`` to ``high`` of an array of a shard. Raises IntegrityError for one that has gone."""
    try:
        return _opened(path, path.stat().st_mtime_ns).get_slice(name)[int(low) : int(high)]
    except (OSError, SafetensorError) as error:
        raise IntegrityError(f"Shard {path} has gone or was damaged ({error}): build it again.") from error


@lru_cache(64)
def _opened(path, time):
    """A shard, open while its file stays as it was at ``time``: rows are read one by one, opening costs more than that."""
    return safe_open(path, framework="np")


def build(key, n, make, root=None, shard=1024, progress=True, label=""):
    """Compute the arrays of ``n`` items shard by shard, those that aren't on disk yet; returns :class:`Features`.

    ``key``: JSON-able dict of all the arrays depend on (data fingerprint, model, preprocessing).
    ``make(start, stop)``: dict of arrays of stop - start rows, equal names, dtypes and row shapes
    each time; called for missing shards only. ``root``: parent folder, by default
    ``cache_root()/features``. ``shard``: items per file. ``label``: text of the progress bar.
    Raises InputError for a bad key, n or array (wrong length, NaN, infinite) and for a disk that
    can't take more; finished shards stay, whatever happens.
    """
    if n < 1 or shard < 1:
        raise InputError(f"Can't store features of {n} items in shards of {shard}: both must be at least 1.")
    digest, description = named({"key": key, "n": int(n), "shard": int(shard), "version": VERSION})
    folder = as_path(root or cache_root() / "features") / digest[:32]
    remove_stale(folder)
    layout, missing = None, []
    for start, stop in _spans(n, shard):
        present, reason = shards.check(shards.path(folder, start, stop), digest, [start, stop])
        if present and layout in (None, present):
            layout = present
            continue
        missing.append((start, stop))
        if reason := reason or (present and "its arrays differ from those of the first shard"):
            log.warning("Items %d to %d of %s are computed again: %s.", start, stop, folder, reason)
    note(folder / "key.json", description, bool(missing))
    done = n - sum(stop - start for start, stop in missing)
    with counted(n, label, "item", done, progress and bool(missing)) as bar:
        for start, stop in missing:
            path = shards.path(folder, start, stop)
            present, _ = shards.check(path, digest, [start, stop])  # by another run meanwhile?
            if not present or layout not in (None, present):
                arrays = shards.checked(make(start, stop), start, stop)
                present = {name: (a.dtype.name, a.shape[1:]) for name, a in arrays.items()}
                if layout not in (None, present):
                    what = f"Items {start} to {stop} give arrays {present}, earlier ones gave {layout}"
                    raise InputError(f"{what}: something is missing in the key; delete {folder} and complete it.")
                shards.write(path, arrays, digest, [start, stop])
            layout = present
            bar.update(stop - start)
    return Features(folder, n, shard, layout)


def note(path: Path, description: str, needed: bool) -> None:
    """Write down what the folder holds; where nothing is missing a cache that can't be written is no error."""
    try:
        if not os.path.exists(path) or path.read_bytes() != description.encode():
            atomic_write(path, description)
        os.utime(path)  # the time of its last use
    except (OSError, InputError):
        if needed and not os.path.exists(path):
            raise


def by_row(describe, workers=1):
    """``make`` for :func:`build` from ``describe(row)``: a dict of tensors or arrays for one item. ``workers``: threads."""

    @torch.inference_mode()
    def one(row):
        return {name: torch.as_tensor(x).cpu().numpy() for name, x in describe(row).items()}

    def make(start, stop):
        single = {"initializer": torch.set_num_threads, "initargs": (1,)} if workers > 1 else {}  # no threads inside threads
        with threadpool_limits(1 if workers > 1 else None), ThreadPoolExecutor(workers, **single) as pool:
            rows = list(pool.map(one, range(start, stop)))
        return {name: np.stack([arrays[name] for arrays in rows]) for name in rows[0]}

    return make


def array_digest(*arrays):
    """Names arrays, for a key."""
    return hashlib.sha256(b"".join(np.ascontiguousarray(x).tobytes() for x in arrays)).hexdigest()[:16]


def named(content: dict) -> tuple[str, str]:
    """The digest of what names features, and its text. Raises InputError for what isn't plain JSON."""
    try:
        text = json.dumps(content, sort_keys=True, allow_nan=False, indent=1)
    except (TypeError, ValueError) as error:
        raise InputError(f"The key {content['key']!r} of the features isn't plain JSON ({error}).") from error
    return hashlib.sha256(text.encode()).hexdigest(), text


def _spans(n, shard):
    return [(start, min(start + shard, n)) for start in range(0, n, shard)]
