"""Pictures of large sets on disk: found by name wherever archives put them, measured once and remembered."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from tqdm.auto import tqdm

from foir_lib.data.sets import COLUMNS
from foir_lib.errors import InputError, MissingError
from foir_lib.files import cached
from foir_lib.images import EXTENSIONS


def below(root):
    """Paths of all pictures below ``root``, sorted, without hidden ones; MissingError when there are none."""
    found = []
    for folder, inside, files in os.walk(Path(root).expanduser()):
        inside[:] = sorted(name for name in inside if not name.startswith("."))
        found += [os.path.join(folder, f) for f in files if f.lower().endswith(EXTENSIONS) and not f.startswith(".")]
    if not found:
        raise MissingError(f"There are no pictures below {root}: check the folder.")
    return sorted(found)


def by_name(root, names, what, remedy):
    """Paths of the pictures called ``names`` (no extension), in root/jpg or anywhere below ``root``.

    Archives differ in the folders they make. Raises MissingError that names the first that is lacking and counts them.
    """
    known = {}
    for path in below(root):
        name = os.path.splitext(os.path.basename(path))[0]
        if name not in known or Path(path).parent == Path(root, "jpg"):
            known[name] = path
    lacking = [name for name in names if name not in known]
    if lacking:
        raise MissingError(
            f"{len(lacking)} of {len(names)} pictures of {what} are missing below {root}, first {lacking[0]}: {remedy}"
        )
    return [known[name] for name in names]


def sizes(paths, what):
    """Width and height of each picture, int (n, 2), from the files' headers; InputError for one that can't be read.

    They are remembered in the cache as long as the files stay as they are, for a million pictures take minutes.
    """
    return _measure(paths, what, False)


def table(ids, paths, split, what):
    """The images table of a RetrievalSet: measured pictures of one split."""
    return _rows(ids, paths, sizes(paths, what), split)


def distractors(folder, taken, what):
    """Images table of all pictures below ``folder``: ids are their paths below it, after ``what``; unreadable ones left out."""
    folder = Path(folder).expanduser()
    paths = below(folder)
    found = _measure(paths, what, True)
    keep = (found > 0).all(1)
    ids = [f"{what}/{Path(path).relative_to(folder).as_posix()}" for path in paths]
    made = _rows(ids, paths, found, "database")[keep]
    clash = set(made["image_id"]) & set(taken)
    if clash:
        raise InputError(f"Distractor {min(clash)} is a picture of the set itself: give another folder.")
    return made


def _rows(ids, paths, found, split):
    frame = pd.DataFrame({"image_id": ids, "path": paths, "width": found[:, 0], "height": found[:, 1], "split": split})
    return frame[COLUMNS["images"]]


def _measure(paths, what, lenient):
    def measure():
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            sizes = pool.map(_size, paths)
            sizes = list(tqdm(sizes, total=len(paths), desc=f"measuring {what}", unit="picture", delay=2))
        sizes = np.array(sizes, dtype="<i4").reshape(-1, 2)
        broken = np.flatnonzero((sizes < 1).any(1))
        if len(broken) and not lenient:
            raise InputError(
                f"Picture {paths[broken[0]]} of {what} can't be read ({len(broken)} such): the file is damaged, get it again."
            )
        return sizes.tobytes()

    digest = hashlib.sha256(repr([(str(path), *_stamp(path)) for path in paths]).encode()).hexdigest()
    content = cached("sizes", {"what": "sizes of pictures", "n": len(paths), "files": digest, "lenient": lenient}, measure)
    return np.frombuffer(content, "<i4").reshape(-1, 2)


def _stamp(path):
    """Bytes and time of a file, zeros without one."""
    try:
        file = os.stat(path)
    except OSError:
        return 0, 0
    return file.st_size, file.st_mtime_ns


def _size(path):
    """(width, height) as the picture is shown, (0, 0) when it can't be read."""
    try:
        with Image.open(path) as image:
            return image.size[::-1] if image.getexif().get(0x0112) in (5, 6, 7, 8) else image.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return 0, 0
