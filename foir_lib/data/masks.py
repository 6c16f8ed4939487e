"""Masks of objects as COCO stores them: polygons and run lengths, checked before any pixel is drawn, decoded on demand."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from pycocotools import mask as rle

from foir_lib.detections import as_text
from foir_lib.errors import InputError, parsing
from foir_lib.images import MAX_PIXELS

OUTLINE = 4_000_000  # pixels of outline, and distance of a corner: memory and time of drawing grow with both
BROKEN = "has a broken segmentation"
REMEDY = "give COCO polygons or RLE"


def decode(segmentation: list | dict, size: tuple[int, int], what: str) -> np.ndarray:
    """Pixels, bool (height, width), of COCO polygons or RLE on a picture of ``size`` (width, height) pixels.

    A list of numbers is one polygon; polygons of fewer than three corners are left out where others stand beside them.
    Raises InputError that names ``what`` has a broken segmentation, or one of another size.
    """
    width, height = size
    shape = checked(segmentation, size, what)
    if isinstance(shape, np.ndarray):
        return np.repeat(np.arange(len(shape)) % 2 == 1, shape).reshape(width, height).T
    return rle.decode(rle.merge(rle.frPyObjects(shape, height, width))).astype(bool)


def encode(segmentation: list | dict, size: tuple[int, int], what: str) -> dict:
    """Compressed RLE, {"size": [height, width], "counts": str}, of COCO polygons or RLE; as :func:`decode`, without its pixels.

    Where a polygon crosses itself, what it goes around twice is outside (even-odd rule); polygons are united.
    """
    width, height = size
    shape = checked(segmentation, size, what)
    if isinstance(shape, np.ndarray):
        return as_text(rle.frPyObjects({"size": [height, width], "counts": shape.tolist()}, height, width))
    return as_text(rle.merge(rle.frPyObjects(shape, height, width)))


def encode_box(box: ArrayLike, size: tuple[int, int]) -> dict:
    """Compressed RLE of every pixel that a box, x0, y0, x1, y1, touches on a picture of ``size`` (width, height)."""
    width, height = size
    x0, y0, x1, y1 = (int(side) for side in (*np.floor(box[:2]), *np.ceil(box[2:])))
    x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
    if x0 >= x1 or y0 >= y1:
        return as_text(rle.frPyObjects({"size": [height, width], "counts": [width * height]}, height, width))
    return as_text(rle.frPyObjects(np.array([[x0, y0, x1 - x0, y1 - y0]], dtype=float), height, width)[0])


def union(masks: Sequence[dict]) -> dict:
    """Compressed RLE of all pixels of some masks, compressed RLE of one size; of a single one itself."""
    return masks[0] if len(masks) == 1 else as_text(rle.merge(list(masks)))


def usable(segmentation: list | dict | None, size: tuple[int, int]) -> bool:
    """Whether :func:`decode` can read a segmentation."""
    if not isinstance(segmentation, list | tuple | dict) or not segmentation:
        return False
    try:
        return len(checked(segmentation, size, "")) > 0
    except InputError:
        return False


def checked(segmentation: list | dict, size: tuple[int, int], what: str) -> np.ndarray | list[list[float]]:
    """Run lengths, int (n,), that fill a picture of ``size``, or polygons that can be drawn on it; errors as :func:`decode`."""
    width, height = size
    if width * height > MAX_PIXELS:
        raise InputError(f"{what} is on a picture of {width} x {height} pixels: masks have {MAX_PIXELS / 1e6:.0f} megapixels at most.")
    with parsing(f"{what} {BROKEN}", REMEDY):
        if not isinstance(segmentation, dict):
            return _polygons(segmentation)
        counts, (rows, columns) = segmentation["counts"], segmentation["size"]
        if (float(rows), float(columns)) != (height, width):
            fact = f"a mask of {columns} x {rows} pixels on a picture of {width} x {height}"
            raise InputError(f"{what} has {fact}: resize the mask.")
        runs = _unpacked(counts) if isinstance(counts, str | bytes) else np.array(counts, dtype=np.float64)
        if runs.ndim != 1 or not len(runs) or (runs < 0).any() or (runs != np.round(runs)).any() or runs.sum() != width * height:
            raise ValueError("its runs don't add up to the picture")
        return runs.astype(np.int64)


def _polygons(segmentation):
    """Polygons, lists x, y, x, y, ... of at least three corners."""
    if all(np.ndim(value) == 0 for value in segmentation):  # one polygon, as the VGG annotator writes it
        segmentation = [segmentation]
    polygons = [np.asarray(polygon, dtype=np.float64) for polygon in segmentation]
    polygons = [p for p in polygons if p.ndim != 1 or len(p) >= 6]
    if not polygons or any(p.ndim != 1 or len(p) % 2 or not np.isfinite(p).all() for p in polygons):
        raise ValueError("a polygon needs at least three finite x, y pairs")
    corners = [p.reshape(-1, 2) for p in polygons]
    far = max(float(np.abs(c).max()) for c in corners)
    outline = 0 if far > OUTLINE else sum(float(np.abs(c - np.roll(c, 1, axis=0)).max(1).sum()) for c in corners)
    if max(far, outline) > OUTLINE:
        fact = f"a corner {far:.3g} pixels away" if far > OUTLINE else f"an outline of {outline:.3g} pixels"
        raise ValueError(f"it has {fact}, more than {OUTLINE}")
    return [p.tolist() for p in polygons]


def _unpacked(text):
    """Run lengths, int64 (n,), of COCO's compressed form.

    A letter holds five bits above 48, the lowest first, and whether more follow; the fifth bit of the last is the sign. From
    the fourth run on a number is the difference to the run before the last.
    """
    letters = np.frombuffer(text.encode() if isinstance(text, str) else text, np.uint8).astype(np.int64) - 48
    last = (letters & 32) == 0
    if not len(letters) or not last[-1] or letters.min() < 0 or letters.max() > 63:
        raise ValueError("its run lengths are cut short or no run lengths")
    ends = np.flatnonzero(last)
    starts = np.r_[0, ends[:-1] + 1]
    place = np.arange(len(letters)) - np.repeat(starts, ends - starts + 1)
    if place.max() > 6:
        raise ValueError("its run lengths have more than 35 bits")
    runs = np.add.reduceat((letters & 31) << 5 * place, starts)
    runs -= np.where(letters[ends] & 16, 1 << 5 * (place[ends] + 1), 0)
    runs[1::2], runs[2::2] = np.cumsum(runs[1::2]), np.cumsum(runs[2::2])
    return runs
