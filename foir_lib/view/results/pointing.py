"""What a prompt points at: the annotated object that is looked for, where nobody says."""

import numpy as np

from foir_lib.prompts import Mask, Point, Prompt
from foir_lib.view.results import rows

OVERLAP = 0.3  # least share of the prompt's area, or of the object's, in their intersection


def fills(boxes: np.ndarray, size) -> np.ndarray:
    """Which of ``boxes`` (n, 4) fill their pictures, bool (n,); ``size``: (width, height) of all, or (n, 2)."""
    return (boxes[:, 2:] - boxes[:, :2] >= size).all(1)


def pointed_at(boxes: np.ndarray, prompt: Prompt | None, size: tuple[int, int]) -> int:
    """Which of the objects' ``boxes`` (n, 4) a prompt on a picture of ``size`` points at; -1 for none.

    A point: the smallest box that holds it. A box or a mask: of the boxes whose intersection with it is at least 0.3 of the
    prompt's area or of their own, that with the largest IoU. Areas of masks are counted in pixels. An object that fills the
    picture, as in a folder per class, is pointed at by what covers 0.3 of it: a smaller mark may be on anything there.
    """
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    if prompt is None or not len(boxes):
        return -1
    whole = fills(boxes, size)
    if isinstance(prompt, Point):
        at = rows.best_match(boxes, prompt, size)
        return -1 if at >= 0 and whole[at] else at
    (x0, y0, x1, y1), own = boxes.T, prompt.box(size)
    if isinstance(prompt, Mask):
        x0, y0, x1, y1 = np.floor(x0), np.floor(y0), np.ceil(x1), np.ceil(y1)
        corners = np.stack([x0, y0, x1, y1], 1).clip(0).astype(int).tolist()
        area, shared = prompt.array.sum(), np.array([prompt.array[b:d, a:c].sum() for a, b, c, d in corners])
    else:
        area = (own.x1 - own.x0) * (own.y1 - own.y0)
        shared = (np.minimum(x1, own.x1) - np.maximum(x0, own.x0)).clip(0) * (np.minimum(y1, own.y1) - np.maximum(y0, own.y0)).clip(0)
    areas = (x1 - x0) * (y1 - y0)
    least = OVERLAP * np.where(whole, areas, np.minimum(area, areas)) - 1e-9
    iou = np.where(shared >= least, shared / (area + areas - shared), 0)
    return int(iou.argmax()) if iou.any() else -1
