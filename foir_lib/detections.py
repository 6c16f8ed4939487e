"""What a detector says of a picture: boxes with scores, and their masks where it has some."""

from dataclasses import dataclass

import numpy as np

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
