"""What the mini world draws is drawn once: folders of the cache that are whole, or are drawn again, annotated as COCO is."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import filelock
import numpy as np
from PIL import Image
from pycocotools import mask as rle
from tqdm.auto import tqdm

from foir_lib.errors import count
from foir_lib.files import cache_root, disk_errors, temporary_beside

MARK = ".whole"  # in a world's folder: the checksum of what was drawn


def drawn_once(name: str, draw: Callable[[Path], None]) -> Path:
    """Folder ``name`` of the cache's mini world; unless it is there and whole, ``draw(folder)`` fills one that takes its place.

    Of several processes one draws and the others wait for it; what a killed one left behind goes. Raises InputError
    for a disk that can't be written.
    """
    root = cache_root() / "mini" / name
    if _whole(root):
        with suppress(OSError):
            os.utime(root)  # the time of its last use
        return root
    with disk_errors(f"write {root}", "free some space or set FOIR_CACHE to another disk"):
        root.parent.mkdir(parents=True, exist_ok=True)
        with _turn(cache_root() / "locks" / f"{name}.lock") as alone:
            for left in root.parent.glob(f".{name}.*.tmp") if alone else ():
                shutil.rmtree(left, ignore_errors=True)
            if not _whole(root):
                folder, damaged = temporary_beside(root), temporary_beside(root)
                try:
                    draw(folder)
                    (folder / MARK).write_text(_digest(folder))
                    if root.is_dir():
                        os.replace(root, damaged)
                    os.replace(folder, root)
                finally:
                    shutil.rmtree(folder, ignore_errors=True)
                    shutil.rmtree(damaged, ignore_errors=True)
    return root


def _whole(root):
    """Whether a world is there and, where it has a mark, as it was drawn: names, bytes and annotations."""
    mark = root / MARK
    return root.is_dir() and (not mark.is_file() or mark.read_text() == _digest(root))


def _digest(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MARK)
    facts = [(path.relative_to(folder).as_posix(), path.stat().st_size) for path in files]
    content = [path.read_bytes() for path in files if path.suffix == ".json"]
    return hashlib.sha256(repr((facts, content)).encode()).hexdigest()


@contextmanager
def _turn(lock):
    """Inside one process is at work and the others wait: True; where the lock is another user's, they all are: False."""
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        held = filelock.FileLock(lock)
        held.acquire()
    except (OSError, NotImplementedError):
        held = None
    try:
        yield held is not None
    finally:
        if held:
            held.release()


def world(name: str, version: int, draw: Callable[..., None], **numbers: tuple[int, int]) -> Path:
    """The folder that ``draw(folder, *numbers)`` fills once for the numbers of a world, its seed first.

    Each number is (value, least). Raises InputError for one that is none, and as :func:`drawn_once`.
    """
    counts = [int(count(value, f"{name}: {label}", low, 2**32 - 1)) for label, (value, low) in numbers.items()]
    folder = f"{name}-v{version}-seed{'-'.join(map(str, counts))}"
    return drawn_once(folder, lambda folder: draw(folder, *counts))


def write(
    folder: Path, splits: dict[str, int], names: Sequence[str], draw: Callable[..., tuple], digits: int, title: str
) -> list[dict]:
    """Write pictures as a COCO folder: PNGs, boxes x, y, width, height, RLE masks; the instances file of each split.

    splits: name -> number of pictures; names: of the categories. ``draw(part, index)``, part 0 for the first split,
    gives pixels (height, width, 3) and for each thing on them (category from 0, mask, further keys of its annotation).
    """
    (folder / "annotations").mkdir(parents=True)
    categories = [{"id": i + 1, "name": name} for i, name in enumerate(names)]
    written = []
    with tqdm(total=sum(splits.values()), desc=f"drawing {title}", unit="picture") as bar:
        for part, (split, n_images) in enumerate(splits.items()):
            (folder / split).mkdir()
            images, annotations = [], []
            for index in range(n_images):
                pixels, things = draw(part, index)
                image_id = part * 10_000_000 + index + 1
                file = f"{image_id:0{digits}d}.png"
                Image.fromarray(pixels).save(folder / split / file, compress_level=1)
                images.append({"id": image_id, "file_name": file, "width": pixels.shape[1], "height": pixels.shape[0]})
                for category, mask, more in things:
                    annotations.append(_annotation(len(annotations) + 1, image_id, category + 1, mask) | more)
                bar.update()
            content = {"images": images, "annotations": annotations, "categories": categories}
            (folder / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
            written.append(content)
    return written


def _annotation(number, image_id, category_id, mask):
    """Annotation ``number`` of a COCO instances file: the tight box and the RLE of ``mask``, bool (height, width)."""
    code = rle.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {
        "id": number, "image_id": image_id, "category_id": category_id, "iscrowd": 0,
        "area": int(mask.sum()), "bbox": [int(v) for v in rle.toBbox(code)],
        "segmentation": {**code, "counts": code["counts"].decode()},
    }  # fmt: skip
