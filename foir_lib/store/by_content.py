"""Features of pictures, each row named by what the picture's file holds: a folder that was changed is described where it is new.

One folder per key, as in :mod:`foir_lib.store.features`; a shard's header names the files' contents that its rows are of. What was
removed stays there and is found again when it comes back, renamed, in another place, or twice.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from foir_lib.errors import InputError
from foir_lib.files import as_path, cache_root, remove_stale
from foir_lib.progress import bar as counted
from foir_lib.store import shards
from foir_lib.store.arrays import Readable
from foir_lib.store.features import VERSION, named, note, positions, rows_of

SHARD = 128  # pictures a file: what a run that is killed loses at most
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ByContent(Readable):
    """Named arrays of ``n`` rows, read from disk on demand; see :func:`build`.

    ``layout`` maps a name to (dtype, shape of one row); ``files``: shards; ``places`` (n, 2): the shard of each row, and its
    row there.
    """

    folder: Path
    n: int
    layout: dict
    files: tuple[Path, ...]
    places: np.ndarray

    def read(self, name: str, rows=None) -> np.ndarray:
        """Rows of one array, as :meth:`foir_lib.store.features.Features.read`."""
        self.check(name)
        rows = positions(rows, self.n)
        dtype, tail = self.layout[name]
        out = np.empty((len(rows), *tail), dtype)
        owner, row = self.places[rows].T
        for file in np.unique(owner):
            at = np.flatnonzero(owner == file)
            low, high = row[at].min(), row[at].max() + 1
            out[at] = rows_of(self.files[file], name, low, high)[row[at] - low]
        return out


def build(
    key: dict, contents: Sequence[str], make: Callable[[list[int]], Iterator[dict]], root=None, shard: int = SHARD,
    progress: bool = True, label: str = "",
) -> ByContent:  # fmt: skip
    """Compute the arrays of pictures whose content isn't on disk yet, shard by shard.

    ``key``: JSON-able dict of all that a row depends on beside the picture. ``contents`` (n,): what names each file's content.
    ``make(rows)``: of some positions (m,) in ``contents`` dicts of arrays one after another, m rows in all. The bar counts pictures.
    ``root``: parent folder, by default ``cache_root()/features``. Raises InputError as :func:`foir_lib.store.features.build`;
    finished shards stay, whatever happens.
    """
    if not len(contents) or shard < 1:
        raise InputError(f"Can't store features of {len(contents)} pictures in shards of {shard}: both must be at least 1.")
    digest, description = named({"key": key, "n": 0, "by": "content", "version": VERSION})
    folder = as_path(root or cache_root() / "features") / digest[:32]
    remove_stale(folder)
    first = {content: row for row, content in reversed(list(enumerate(contents)))}
    known, layout = _found(folder, digest, first)
    missing = [content for content in dict.fromkeys(contents) if content not in known]
    note(folder / "key.json", description, bool(missing))
    with counted(len(first), label, "picture", len(known), progress and bool(missing)) as bar:
        for start in range(0, len(missing), shard):
            items = missing[start : start + shard]
            path = folder / f"{hashlib.sha256(json.dumps(items).encode()).hexdigest()[:32]}.safetensors"
            present, _ = shards.check(path, digest, items)  # by another run meanwhile?
            if present and layout in (None, present):
                bar.update(len(items))
            else:
                present = _write(path, digest, items, make([first[content] for content in items]), layout, bar)
            layout = present
            known |= {content: (path, row) for row, content in enumerate(items)}
    files = tuple(sorted({path for path, _ in known.values()}))
    number = {path: n for n, path in enumerate(files)}
    places = np.array([(number[path], row) for path, row in map(known.__getitem__, contents)], dtype=np.int64)
    return ByContent(folder, len(contents), layout, files, places)


def _write(path, digest, items, parts, layout, bar):
    """One shard of what is computed part by part; its layout."""
    done = []
    for part in parts:
        done.append(part)
        bar.update(len(next(iter(part.values()))))
    arrays = shards.checked({name: np.concatenate([part[name] for part in done]) for name in done[0]}, 0, len(items))
    present = {name: (array.dtype.name, array.shape[1:]) for name, array in arrays.items()}
    if layout not in (None, present):
        what = f"{len(items)} pictures give arrays {present}, earlier ones gave {layout}"
        raise InputError(f"{what}: something is missing in the key; delete {path.parent} and complete it.")
    shards.write(path, arrays, digest, items)
    return present


def _found(folder, digest, wanted):
    """Content -> (shard, row) of what is ``wanted`` and stands in sound shards, and their layout."""
    known, layout = {}, None
    for path in sorted(folder.glob("*.safetensors")):
        items = shards.items(path, digest)
        here = {content: (path, row) for row, content in enumerate(items) if content in wanted and content not in known}
        if not here and items:
            continue  # all of it is of other pictures
        present, reason = shards.check(path, digest, items)
        if present and layout in (None, present):
            layout = present
            known |= here
        else:
            log.warning("%s is computed again: %s.", path, reason or "its arrays differ from those of the first shard")
    return known, layout
