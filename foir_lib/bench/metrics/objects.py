"""How well detectors and segmenters do: recall of boxes over IoU, IoU of masks."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torchvision.ops import box_iou

from foir_lib.data import RetrievalSet
from foir_lib.data.checks import CORNERS
from foir_lib.detections import Detections
from foir_lib.errors import InputError, count

IOUS = (0.5, 0.6, 0.7, 0.8, 0.9)
MOST = 25  # boxes of a picture that count for recall, the surest


class Recall(NamedTuple):
    """Recall at each IoU, (T,), over all objects; overlaps (n,): IoU of each object's own box, 0 without one, picture by picture.

    boxes: mean number of boxes a picture.
    """

    recall: np.ndarray
    overlaps: np.ndarray
    boxes: float


def overlaps(detections: Detections, truth: np.ndarray) -> np.ndarray:
    """IoU (n,) of each true box (n, 4) with the detected box that is its own, 0 without one.

    Pairs are made from the largest IoU down, each box once. Source: Girshick's `evaluate_recall` (Fast R-CNN), of Hosang et
    al., TPAMI 2016. Raises InputError for true boxes of another shape or without area.
    """
    truth = np.asarray(truth, dtype=np.float32)
    truth = truth.reshape(-1, 4) if not truth.size else truth
    if truth.ndim != 2 or truth.shape[1] != 4 or not (truth[:, 2:] > truth[:, :2]).all():
        raise InputError(f"True boxes {truth.shape} can't be matched: give (n, 4), x0, y0, x1, y1, each with area.")
    best = np.zeros(len(truth), np.float32)
    pairs = box_iou(torch.from_numpy(truth), torch.from_numpy(detections.boxes)).numpy()
    for _ in range(min(pairs.shape)):
        row, column = np.unravel_index(pairs.argmax(), pairs.shape)
        best[row] = max(pairs[row, column], 0)
        pairs[row], pairs[:, column] = -1, -1
    return best


def recall(
    detections: Sequence[Detections], truth: Sequence[np.ndarray], iou: Sequence[float] = IOUS, at_most: int | None = None
) -> Recall:
    """Share of the true boxes of all pictures that a detected box meets, at each ``iou``; see :func:`overlaps`.

    detections, truth: one a picture, the truth (n, 4) in the same pixels; ``at_most``: of each picture the boxes with the
    highest scores only. Raises InputError for lengths that differ, and where no picture has a true box.
    """
    if len(detections) != len(truth) or not sum(map(len, truth)):
        raise InputError(f"{len(detections)} pictures were detected and {len(truth)} have true boxes: give both of each, some with boxes.")
    if at_most is not None:
        count(at_most, "at_most")
        detections = [one[np.argsort(-one.scores, kind="stable")[:at_most]] for one in detections]
    each = np.concatenate([overlaps(one, boxes) for one, boxes in zip(detections, truth)])
    return Recall((each >= np.asarray(iou)[:, None]).mean(1), each, float(np.mean([len(one) for one in detections])))


def recall_on(
    retrieval_set: RetrievalSet, detector, n: int | None = None, iou: Sequence[float] = IOUS, at_most: int | None = MOST
) -> Recall:
    """:func:`recall` on the objects of the first ``n`` database pictures, all unless given; ignored ones don't count.

    ``detector``: one, or what one said of each database picture, Detections row by row.
    """
    groups = _objects(retrieval_set, n)
    if hasattr(detector, "detect"):
        detections = [detector.detect(retrieval_set.open(image_id)) for image_id in groups]
    else:
        rows = pd.Index(retrieval_set.database["image_id"]).get_indexer(list(groups))
        detections = [detector[row] for row in rows.tolist()]
    return recall(detections, [retrieval_set.objects.iloc[rows][CORNERS].to_numpy() for rows in groups.values()], iou, at_most)


def iou_on(retrieval_set: RetrievalSet, segmenter, n: int | None = None) -> np.ndarray:
    """IoU (n,) of a segmenter's masks from the true boxes of all objects of the first ``n`` database pictures with the true masks."""
    each, groups = [], _objects(retrieval_set, n)
    if not groups:
        raise InputError(f"{retrieval_set.name} has no annotated objects on its database pictures: give a set with boxes and masks.")
    for image_id, rows in groups.items():
        masks = segmenter.segment(retrieval_set.open(image_id), retrieval_set.objects.iloc[rows][CORNERS].to_numpy())
        each.append(mask_iou(masks, np.array([retrieval_set.mask(row).pixels(masks.shape[:0:-1]) for row in rows])))
    return np.concatenate(each)


def _objects(retrieval_set, n):
    """image_id -> rows of its objects that aren't ignored, of the first ``n`` database pictures; pictures without any are left out."""
    objects, shown = retrieval_set.objects, retrieval_set.database["image_id"].iloc[:n]
    rows = np.flatnonzero(~objects["ignore"].to_numpy(bool) & objects["image_id"].isin(shown).to_numpy())
    return {image_id: group for image_id, group in pd.Series(rows).groupby(objects["image_id"].to_numpy()[rows], sort=False)}


def mask_iou(masks: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """IoU (n,) of masks with true ones, bool (n, height, width), one by one; 0 where both are empty. Raises InputError for other shapes."""
    if masks.shape != truth.shape or masks.dtype != bool or truth.dtype != bool:
        raise InputError(f"Masks {masks.dtype} {masks.shape} and {truth.dtype} {truth.shape} don't fit: give bool masks of one shape.")
    return (masks & truth).sum((1, 2)) / np.maximum((masks | truth).sum((1, 2)), 1)
