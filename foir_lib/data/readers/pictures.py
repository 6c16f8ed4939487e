"""Pictures of large sets on disk: looked up by name wherever archives put them, measured once and remembered."""

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from foir_lib.data.readers.reading import refuse
from foir_lib.data.sets import COLUMNS
from foir_lib.errors import InputError, MissingError
from foir_lib.files import as_path, cached, state
from foir_lib.images import below, size


def named(root: str | PathLike) -> dict[str, str]:
    """Name (no extension) -> path of each picture below ``root``; of several of a name that in root/jpg, or the first."""
    paths = sorted(below(root), key=lambda path: Path(path).parent != Path(root, "jpg"))
    return {Path(path).stem: path for path in reversed(paths)}


def by_name(root: str | PathLike, names: Sequence[str], what: str, remedy: str) -> list[str]:
    """Paths of the pictures called ``names`` (no extension), anywhere below ``root``: archives differ in folders.

    Raises MissingError that names the first that is lacking and counts them.
    """
    known = named(root)
    lacking = [name for name in names if name not in known]
    if lacking:
        fact = f"{len(lacking)} of {len(names)} pictures of {what} are missing below {root}, first {lacking[0]}"
        raise MissingError(f"{fact}: {remedy}")
    return [known[name] for name in names]


def sizes(paths: Sequence[str], what: str, lenient: bool = False) -> np.ndarray:
    """Width and height of each picture, int (n, 2), from the files' headers; InputError for one that can't be read,
    with ``lenient`` zeros. They are remembered in the cache as long as the files stay as they are: a million take minutes.
    """

    def compute():
        measured = measure(paths, what, size).astype("<i4")
        sentence = "{} of {} can't be read ({n} such): the file is damaged, get it again"
        refuse((measured < 1).any(1) & (not lenient), "Picture", sentence, paths, [what] * len(paths))
        return measured.tobytes()

    digest = hashlib.sha256(repr([(str(path), *state(path)) for path in paths]).encode()).hexdigest()
    content = cached("sizes", {"what": "sizes of pictures", "n": len(paths), "files": digest, "lenient": lenient}, compute)
    return np.frombuffer(content, "<i4").reshape(-1, 2)


def measure(paths: Sequence[str], what: str, size_of: Callable[[str], tuple[int, int]]) -> np.ndarray:
    """``size_of`` each picture, (width, height) in pixels, int (n, 2): zeros for one that can't be read."""

    def measured(path):
        with suppress(InputError, MissingError):
            return size_of(path)
        return 0, 0

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        bar = tqdm(pool.map(measured, paths), total=len(paths), desc=f"measuring {what}", unit="picture", delay=2)
        return np.array(list(bar), dtype=np.int32).reshape(-1, 2)


def table(ids: Sequence[str], paths: Sequence[str], split: str, sizes: np.ndarray) -> pd.DataFrame:
    """The images table of a RetrievalSet for pictures of one split; sizes: int (n, 2)."""
    frame = pd.DataFrame({"image_id": ids, "path": paths, "width": sizes[:, 0], "height": sizes[:, 1], "split": split})
    return frame[COLUMNS["images"]]


def distractors(folder: str | PathLike, others: Iterable[str], what: str) -> pd.DataFrame:
    """Images table of all pictures below ``folder``: ids are their paths below it, after ``what``; unreadable ones left out.

    Raises InputError when one of them has an id of the ``others``.
    """
    folder = as_path(folder)
    paths = below(folder)
    measured = sizes(paths, what, lenient=True)
    ids = [f"{what}/{Path(path).relative_to(folder).as_posix()}" for path in paths]
    images = table(ids, paths, "database", measured)[(measured > 0).all(1)]
    clash = set(images["image_id"]) & set(others)
    if clash:
        raise InputError(f"Distractor {min(clash)} is a picture of the set itself: give another folder.")
    return images
