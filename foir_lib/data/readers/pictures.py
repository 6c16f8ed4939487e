"""Pictures of large sets on disk: looked up by name wherever archives put them, measured once and remembered."""

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from itertools import compress
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd

from foir_lib import images
from foir_lib.data import contents
from foir_lib.data.names import stem
from foir_lib.data.readers.reading import refuse
from foir_lib.data.sets import COLUMNS
from foir_lib.data.values import short
from foir_lib.errors import FoirError, InputError, MissingError
from foir_lib.files import as_path
from foir_lib.folders import below
from foir_lib.images import header, open_image
from foir_lib.notices import note


def named(root: str | PathLike) -> dict[str, str]:
    """Name (no extension) -> path of each picture below ``root``; of several of a name that in root/jpg, or the first."""
    paths = sorted(below(root), key=lambda path: Path(path).parent != Path(root, "jpg"))
    return {stem(path): path for path in reversed(paths)}


def by_name(root: str | PathLike, names: Sequence[str], what: str, remedy: str) -> list[str]:
    """Paths of the pictures called ``names`` (no extension), anywhere below ``root``: archives differ in folders.

    Raises MissingError that names the first that is lacking and counts them.
    """
    known = named(root)
    lacking = [name for name in names if name not in known]
    if lacking:
        fact = f"{len(lacking)} of {len(names)} pictures of {what} are missing below {root}, first {short(lacking[0], 200, quoted=False)}"
        raise MissingError(f"{fact}: {remedy}")
    return [known[name] for name in names]


def sizes(paths: Sequence[str], what: str, lenient: bool = False) -> np.ndarray:
    """Width and height of each picture, int (n, 2); see :func:`headers`."""
    return headers(paths, what, lenient)[:, :2]


def headers(paths: Sequence[str], what: str, lenient: bool = False) -> np.ndarray:
    """Width, height and EXIF orientation of each picture, int (n, 3), from the files' headers (:class:`foir_lib.images.Header`).

    InputError for one that can't be read, with ``lenient`` zeros. They are remembered in the cache as long as the
    files stay as they are: a million take minutes.
    """
    measured = _remembered("headers", paths, what, header, 3)
    _need(measured, paths, what, lenient)
    return measured


def decoded(paths: Sequence[str], what: str, lenient: bool = False) -> np.ndarray:
    """As :func:`sizes`, of pictures whose pixels were read, too: one that is cut short can't be."""
    measured = _remembered("decoded", paths, what, lambda path: open_image(path).size, 2)
    _need(measured, paths, what, lenient)
    return measured


def _remembered(kind, paths, what, read, n):
    """What ``read`` tells of each picture, ``n`` numbers such as width and height, int (m, n): zeros for one that can't be read.

    It is remembered in the cache as long as a file stays as it is.
    """

    def measured(path):
        with suppress(InputError, MissingError):
            return np.array(read(path), "<i4").tobytes()
        return None

    rows = contents.each(kind, paths, measured, f"measuring {what}", limit=images.MAX_PIXELS)
    return np.frombuffer(b"".join(row or bytes(4 * n) for row in rows), "<i4").reshape(-1, n).astype(np.int32)


def _need(measured, paths, what, lenient):
    sentence = "{} of {} can't be read ({n} such): the file is damaged, get it again"
    refuse((measured < 1).any(1) & (not lenient), "Picture", sentence, paths, [what] * len(paths))


def readable(paths: Sequence[str], what: str) -> list[str]:
    """Those pictures whose headers can be read; the others are noted. Raises InputError when there are none."""
    measured = headers(paths, what, lenient=True)
    noted(paths, measured)
    chosen = list(compress(paths, (measured > 0).all(1)))
    if not chosen:
        raise InputError(f"None of the {len(paths)} pictures of {what} can be read, first {paths[0]}: replace them.")
    return chosen


def noted(paths: Sequence[str], measured: np.ndarray) -> None:
    """Notes the pictures that were measured as zeros (n, k): they can't be read and are left out."""
    broken = np.flatnonzero((measured < 1).any(1))
    if len(broken):
        example = paths[broken[0]]
        try:
            open_image(example)
        except FoirError as error:
            example = str(error).removesuffix(".")
        note("pictures left out that can't be read", example, len(broken))


def table(ids: Sequence[str], paths: Sequence[str], split: str, sizes: np.ndarray) -> pd.DataFrame:
    """The images table of a RetrievalSet for pictures of one split; sizes: int (n, 2)."""
    frame = pd.DataFrame({"image_id": ids, "path": paths, "width": sizes[:, 0], "height": sizes[:, 1], "split": split})
    return frame[COLUMNS["images"]]


def distractors(folder: str | PathLike, others: Iterable[str], what: str, names: Collection[str] | None = None) -> pd.DataFrame:
    """Images table of all pictures below ``folder``: ids are their paths below it, after ``what``; unreadable ones left out.

    names: those so called (no extension) alone. Raises InputError when one of them has an id of the ``others``, MissingError when a
    name is lacking.
    """
    folder = as_path(folder)
    paths = below(folder) if names is None else sorted(by_name(folder, sorted(names), what, "unpack all of its archives there."))
    measured = sizes(paths, what, lenient=True)
    noted(paths, measured)
    ids = [f"{what}/{Path(path).relative_to(folder).as_posix()}" for path in paths]
    images = table(ids, paths, "database", measured)[(measured > 0).all(1)]
    clash = set(images["image_id"]) & set(others)
    if clash:
        raise InputError(f"Distractor {min(clash)} is a picture of the set itself: give another folder.")
    return images
