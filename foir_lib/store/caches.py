"""What the cache holds, by entry: listed, and pruned of what is stale or unused. Fetched data sets are none of it."""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors.numpy import load, save

from foir_lib import errors, files
from foir_lib.store import keys


class Entry(NamedTuple):
    """One thing that the cache holds: kind and key, items (0: not counted), bytes, time of last use (s), state of its code.

    ``state``: "current", "stale" (its code is another today), "damaged" or "-" (can't be told).
    """

    path: Path
    kind: str
    key: dict
    n: int
    bytes: int
    used: float
    state: str


def arrays(kind: str, key: dict, compute: Callable[[], dict], root: str | Path | None = None) -> dict[str, np.ndarray]:
    """Arrays by name, from ``compute()`` the first time and from the cache afterwards; see :func:`foir_lib.files.cached`."""

    def content():
        return save({name: np.ascontiguousarray(array) for name, array in compute().items()})

    return load(files.cached(kind, key, content, root))


def entries() -> list[Entry]:
    """All entries of the cache, by kind and last use: features, what is remembered in small files, drawn mini worlds.

    What lies outside the cache's folder, behind a link, is none of them.
    """
    root = files.cache_root().resolve()
    listed = [*_features(root / "features"), *_small(root), *_drawn(root / "mini")]
    return sorted((e for e in listed if e.path.resolve() == e.path), key=lambda e: (e.kind, e.used))


def prune(days: float | None = None, everything: bool = False, dry_run: bool = False) -> list[Entry]:
    """Remove entries that are stale or damaged, with ``days`` also those unused for longer, or everything; returns them.

    ``dry_run``: nothing is removed. Raises InputError for negative days and for a folder that can't be changed.
    """
    if days is not None and not days >= 0:
        raise errors.InputError(f"days={days} must be 0 or more.")
    limit = -np.inf if days is None else time.time() - 86400 * days
    chosen = [e for e in entries() if everything or e.state in ("stale", "damaged") or e.used < limit]
    for entry in [] if dry_run else chosen:
        try:
            _remove(entry)
            files.remove_stale(entry.path.parent)
        except OSError as error:
            raise errors.InputError(f"Can't remove {entry.path} ({error.strerror}): change its rights.") from error
    return chosen


def _features(root: Path) -> Iterator[Entry]:
    for folder in root.glob("[0-9a-f]" * 32):
        yield _entry(folder, "features", folder / "key.json", [folder / "key.json", *folder.glob("*.safetensors")])


def _small(root: Path) -> Iterator[Entry]:
    for path in root.glob("*/*.cached"):
        yield _entry(path, path.parent.name, path, [path])


def _entry(path: Path, kind: str, note: Path, inside: list[Path]) -> Entry:
    """The entry of the files ``inside``, whose key stands as JSON in the file ``note``: all of it, or the first line of a small one."""
    try:
        with note.open("rb") as file:
            content = json.loads(file.read() if kind == "features" else file.readline())
        key = dict(content["key"])
        n = int(content["n"]) if kind == "features" else key.get("n", 0)
        return Entry(path, kind, key, n, _bytes(inside), _time(note), _state(key))
    except (OSError, ValueError, KeyError, TypeError):
        return Entry(path, kind, {}, 0, _bytes(inside), _time(path), "damaged")


def _drawn(root: Path) -> Iterator[Entry]:
    for folder in root.glob("[!.]*"):
        inside = [path for path in folder.rglob("[!.]*") if path.is_file()]
        yield Entry(folder, "mini world", {"what": folder.name}, len(inside), _bytes(inside), _time(folder), "-")


def _state(key: dict) -> str:
    code = key.get("code")
    return {True: "current", False: "stale", None: "-"}[keys.is_current(code) if isinstance(code, str) else None]


def _bytes(paths: list[Path]) -> int:
    total = 0
    for path in paths:
        with suppress(OSError):  # another run may remove it meanwhile
            total += path.stat().st_size
    return total


def _time(path: Path) -> float:
    with suppress(OSError):
        return path.stat().st_mtime
    return time.time()


def _remove(entry: Entry) -> None:
    """Remove an entry; of features only the files that are theirs, the key last."""
    if entry.kind == "mini world":
        shutil.rmtree(entry.path)
    elif entry.kind != "features":
        entry.path.unlink(missing_ok=True)
    else:
        for path in [*entry.path.glob("*.safetensors"), *entry.path.glob(".*.tmp"), entry.path / "key.json"]:
            path.unlink(missing_ok=True)
        with suppress(OSError):  # what isn't ours keeps the folder
            os.rmdir(entry.path)
