"""What a detector says of a picture (boxes with scores, perhaps masks), and what a localiser says of one (where it shows a query)."""

from dataclasses import dataclass

import numpy as np
from pycocotools import mask as rle

from foir_lib.errors import InputError


@dataclass(frozen=True)
class Detections:
    """Things on one picture.

    boxes (n, 4) float32: x0, y0, x1, y1 in pixels, exclusive end; scores (n,) float32; masks (n, height, width) bool, or None.
    Raises InputError for shapes that don't fit each other, numbers that aren't finite, and boxes without area.
    """

    boxes: np.ndarray
    scores: np.ndarray
    masks: np.ndarray | None = None

    def __post_init__(self):
        boxes = np.asarray(self.boxes, dtype=np.float32).reshape(-1, 4)
        scores = np.asarray(self.scores, dtype=np.float32).reshape(-1)
        object.__setattr__(self, "boxes", boxes)
        object.__setattr__(self, "scores", scores)
        if len(boxes) != len(scores) or self.masks is not None and (len(self.masks) != len(boxes) or self.masks.ndim != 3):
            masks = "no masks" if self.masks is None else f"masks {self.masks.shape}"
            raise InputError(f"{len(boxes)} boxes, {len(scores)} scores and {masks} don't fit: give one of each a thing.")
        if not (np.isfinite(boxes).all() and np.isfinite(scores).all() and (boxes[:, 2:] > boxes[:, :2]).all()):
            raise InputError("Detections hold a box without area, or numbers that aren't finite: leave those out.")

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, rows: np.ndarray | slice) -> "Detections":
        """Some of them: rows, a slice or a bool mask."""
        return Detections(self.boxes[rows], self.scores[rows], None if self.masks is None else self.masks[rows])


@dataclass(frozen=True)
class Localisation:
    """Where a picture shows what a query asks for.

    mask: COCO RLE, {"size": [height, width], "counts": str}, of the picture's own size, or None; box (4,) float32: x0, y0, x1, y1
    in pixels, exclusive end, or None; score: the higher, the surer. Both None: nothing is there. A box alone counts as its
    pixels where a mask is asked for. Raises InputError for a box without area, and numbers that aren't finite.
    """

    mask: dict | None
    box: np.ndarray | None
    score: float

    def __post_init__(self):
        box = None if self.box is None else np.asarray(self.box, dtype=np.float32).reshape(-1)
        object.__setattr__(self, "box", box)
        object.__setattr__(self, "score", float(self.score))
        if not np.isfinite(self.score) or box is not None and not (box.shape == (4,) and np.isfinite(box).all() and (box[2:] > box[:2]).all()):
            raise InputError(f"A localisation has the box {self.box} and the score {self.score}: give a box with area, and finite numbers.")

    @classmethod
    def of(cls, mask: np.ndarray, score: float, box: np.ndarray | None = None) -> "Localisation":
        """From pixels, bool (height, width); ``box``: the tight one of the mask unless given. An empty mask is nothing."""
        if not mask.any():
            return cls(None, box, score)
        encoded = as_text(rle.encode(np.asfortranarray(mask, dtype=np.uint8)))
        if box is None:
            across, down = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
            box = np.array([across[0], down[0], across[-1] + 1, down[-1] + 1])
        return cls(encoded, box, score)

    @classmethod
    def nothing(cls, score: float = 0.0) -> "Localisation":
        """Nothing of the query is there."""
        return cls(None, None, score)

    def within(
        self, window: tuple[int, int, int, int], size: tuple[int, int], shown: tuple[int, int] | None = None
    ) -> "Localisation":
        """The same in a picture of ``size`` (width, height), of which this one showed the ``window`` x0, y0, x1, y1, at any scale.

        ``shown``: width and height at which the window was shown; None: those of the mask. Its run lengths are moved: the larger mask
        is never held pixel by pixel. Raises InputError for a window outside the picture, and for a box alone of a size that isn't given.
        """
        (x0, y0, x1, y1), (width, height) = window, size
        if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
            raise InputError(f"The window {tuple(window)} has no area in a picture of {width} x {height}: give x0, y0, x1, y1 inside it.")
        if self.mask is None and self.box is None:
            return self
        if self.mask is None and shown is None:
            raise InputError("A box without a mask can't be moved into a larger picture: give the size at which its window was shown.")
        columns, rows = self.mask["size"][::-1] if shown is None else shown
        scale, corner = np.array([(x1 - x0) / columns, (y1 - y0) / rows] * 2), np.array([x0, y0] * 2)
        box = None if self.box is None else self.box * scale + corner
        return Localisation(None if self.mask is None else _moved(self.pixels(), window, size), box, self.score)

    def __bool__(self) -> bool:
        """Whether something is there."""
        return self.box is not None

    def pixels(self) -> np.ndarray | None:
        """The mask, bool (height, width), or None."""
        return None if self.mask is None else rle.decode(self.mask).astype(bool)


def as_text(encoded: dict) -> dict:
    """An RLE of pycocotools as plain values, {"size": [height, width], "counts": str}: its letters as text."""
    return {"size": [int(side) for side in encoded["size"]], "counts": encoded["counts"].decode()}


def _moved(pixels, window, size):
    """COCO RLE of a picture of ``size`` that holds ``pixels``, bool (rows, columns), stretched over its window; None without any left."""
    (x0, y0, x1, y1), (width, height) = window, size
    rows, columns = pixels.shape
    edges = np.diff(np.pad(pixels.T.astype(np.int8), ((0, 0), (1, 1))))  # column by column, as COCO counts
    (column, start), stop = np.nonzero(edges > 0), np.nonzero(edges < 0)[1]
    down, across = (np.arange(n + 1) * length // n for n, length in ((rows, y1 - y0), (columns, x1 - x0)))
    times = np.diff(across)[column]  # how often each column is repeated
    at = np.repeat(across[column], times) + np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
    order = np.lexsort((np.repeat(start, times), at))
    first = (((x0 + at) * height + y0) + np.repeat(down[start], times))[order]
    last = (((x0 + at) * height + y0) + np.repeat(down[stop], times))[order]
    first, last = first[last > first], last[last > first]
    if not len(first):  # a smaller window
        return None
    joined = first[1:] == last[:-1]  # a run that goes on in the next column
    bounds = np.stack([first[np.r_[True, ~joined]], last[np.r_[~joined, True]]], 1).ravel()
    counts = np.diff(np.r_[0, bounds, width * height]).tolist()
    return as_text(rle.frPyObjects({"size": [height, width], "counts": counts if counts[-1] else counts[:-1]}, height, width))
