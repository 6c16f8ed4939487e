"""What the mini world draws is drawn once: folders of the cache that are whole or not there, annotated as COCO is."""

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import filelock
import numpy as np
from pycocotools import mask as rle

from foir_lib.errors import InputError
from foir_lib.files import cache_root


def drawn_once(name: str, draw: Callable[[Path], None]) -> Path:
    """Folder ``name`` of the cache's mini world; unless it is there, ``draw(folder)`` fills one that takes its place.

    Of several processes one draws and the others wait for it; what a killed one left behind goes. Raises InputError
    for a disk that can't be written.
    """
    root = cache_root() / "mini" / name
    if root.is_dir():
        with suppress(OSError):
            os.utime(root)  # the time of its last use
        return root
    folder, lock = root.with_name(f".{name}.tmp"), cache_root() / "locks" / f"{name}.lock"
    try:
        for parent in (root.parent, lock.parent):
            parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(lock):
            if not root.is_dir():
                try:
                    shutil.rmtree(folder, ignore_errors=True)
                    draw(folder)
                    os.replace(folder, root)
                finally:
                    shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        if isinstance(error, InputError) or error.errno is None:
            raise
        raise InputError(
            f"Can't write {root}: {os.strerror(error.errno)}; free some space or set FOIR_CACHE to another disk."
        ) from error
    return root


def annotation(number: int, image_id: int, category_id: int, mask: np.ndarray) -> dict:
    """Annotation ``number`` of a COCO instances file: the tight box and the RLE of ``mask``, bool (height, width)."""
    code = rle.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {
        "id": number, "image_id": image_id, "category_id": category_id, "iscrowd": 0,
        "area": int(mask.sum()), "bbox": [int(v) for v in rle.toBbox(code)],
        "segmentation": {**code, "counts": code["counts"].decode()},
    }  # fmt: skip
