"""Sizes of pictures: what annotations say, where that can be, else what the files say."""

import numpy as np
import pandas as pd

from foir_lib.data.readers import pictures
from foir_lib.images import MAX_PIXELS
from foir_lib.notices import note


def unusable(sizes: np.ndarray) -> np.ndarray:
    """Which sizes, (n, 2), width and height, are none: bool (n,)."""
    return ~((sizes >= 1) & (sizes == np.round(sizes))).all(1) | (sizes[:, 0] > MAX_PIXELS / np.maximum(sizes[:, 1], 1))


def completed(images: pd.DataFrame, what: str) -> pd.DataFrame:
    """The images table with the sizes of the files at ``path`` where annotations have none that can be; they are counted.

    Raises InputError for a file that can't be read.
    """
    sizes = np.array(images[["width", "height"]], dtype=np.float64)
    lacking = unusable(sizes)
    if lacking.any():
        paths = images["path"][lacking].tolist()
        sizes[lacking] = pictures.sizes(paths, what)
        noted(paths)
    return images.assign(width=sizes[:, 0].astype(np.int64), height=sizes[:, 1].astype(np.int64))


def noted(files: list) -> None:
    """Counts pictures that were measured."""
    note("pictures without a usable size in the annotations, measured", files[0] if len(files) else "", len(files))
