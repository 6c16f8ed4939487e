"""Masks of objects as COCO stores them: polygons and run lengths, decoded on demand."""

import numpy as np
from pycocotools import mask as rle

from foir_lib.errors import InputError


def decode(segmentation: list | dict, size: tuple[int, int], what: str) -> np.ndarray:
    """Pixels, bool (height, width), of COCO polygons or RLE on a picture of ``size`` (width, height) pixels.

    Raises InputError that names ``what`` has a broken segmentation, or one of another size.
    """
    width, height = size
    try:
        if isinstance(segmentation, dict):
            counts, (rows, columns) = segmentation["counts"], segmentation["size"]
            if (rows, columns) != (height, width):
                fact = f"a mask of {columns} x {rows} pixels on a picture of {width} x {height}"
                raise InputError(f"{what} has {fact}: resize the mask.")
            if isinstance(counts, (str, bytes)):
                code = {"size": [height, width], "counts": counts.encode() if isinstance(counts, str) else counts}
            elif sum(counts) != width * height:
                raise ValueError("its runs don't add up to the picture")
            else:
                code = rle.frPyObjects({"size": [height, width], "counts": list(counts)}, height, width)
        else:
            polygons = [np.asarray(polygon, dtype=np.float64) for polygon in segmentation]
            if any(p.ndim != 1 or len(p) < 6 or len(p) % 2 or not np.isfinite(p).all() for p in polygons):
                raise ValueError("a polygon needs at least three finite x, y pairs")
            code = rle.merge(rle.frPyObjects([p.tolist() for p in polygons], height, width))
        return rle.decode(code).astype(bool)
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{what} has a broken segmentation ({error}): give COCO polygons or RLE.") from error
