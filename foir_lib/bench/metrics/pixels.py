"""Pixel retrieval (thesis of An, 2.2.4): AP in which a positive counts only where it was localised, mIoU of true pairs, LocScore.

Everything is counted on COCO RLE, of true pairs only: no mask is decoded. Two rules:

"ours", METHODS.md 5: a pair without a prediction counts 0, and the positives are those of the ground truth.
"public script", the benchmark's evaluation code, where it differs: mIoU skips easy pairs without a prediction; the positives of
AP are those that the method localised at that threshold, a query without any is left out; AP takes the IoU of boxes for masks too;
some queries (:data:`SKIPPED`) have no AP but stay in the divisor.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from pycocotools import mask as rle

from foir_lib.bench.metrics.mean_ap import average_precision, cut, precisions, retrieved
from foir_lib.bench.metrics.scores import NAMES, Score
from foir_lib.data import Protocol, RetrievalSet
from foir_lib.data.masks import encode_box
from foir_lib.data.pixels import true_masks
from foir_lib.detections import Localisation
from foir_lib.errors import InputError, unknown
from foir_lib.search.ranking import Ranking

IOUS = tuple(percent / 100 for percent in range(50, 100, 5))
RULES = ("ours", "public script")
SKIPPED = {"proxford5k": (56, 63), "prparis6k": (57, 59)}  # queries, in the public script
PIXELS = {"D": "box", "S": "mask"}  # detection, segmentation: the letters of the thesis' tables
IoUs = Sequence[Mapping[int, float]]  # of each query, database row -> IoU; a pair without a prediction has none


class Overlaps(NamedTuple):
    """IoU of true pairs by masks and by boxes, see :data:`IoUs`; a localisation that is nothing is no prediction."""

    mask: list[dict[int, float]]
    box: list[dict[int, float]]


class PixelAP(NamedTuple):
    """map: mean over thresholds and queries; average_precision (Q,): of each query, mean over thresholds; by_iou (T, Q).

    NaN where a query doesn't count.
    """

    map: float
    average_precision: np.ndarray
    by_iou: np.ndarray


def overlaps(localisations: Sequence[Mapping[int, Localisation]], truth: Sequence[Mapping[int, dict]]) -> Overlaps:
    """IoU of what was localised with what is true, for all true pairs that have a prediction.

    localisations: of each query, database row -> Localisation. truth: of each query, positive database row -> compressed COCO
    RLE. A box without a mask counts as its pixels; the true box is the tight one of the true mask. An empty truth has the IoU 0.
    Raises InputError for other numbers of queries, and a mask of another size than the true one.
    """
    if len(localisations) != len(truth):
        raise InputError(f"{len(localisations)} queries were localised and {len(truth)} have a truth: give both of each.")
    result = Overlaps([], [])
    for query, (predicted, true) in enumerate(zip(localisations, truth)):
        pairs = {row: (one, true[row]) for row, one in predicted.items() if row in true and (one.mask or one.box is not None)}
        by_mask = [_mask_iou(one, right, query, row) for row, (one, right) in pairs.items()]
        result.mask.append(dict(zip(pairs, by_mask)))
        result.box.append(dict(zip(pairs, _box_ious(pairs.values()).tolist())))
    return result


def pixel_average_precision(
    ranking: Ranking | Sequence[np.ndarray], ground_truth: Protocol, iou: IoUs,
    thresholds: Sequence[float] = IOUS, rule: str = "ours", skipped: Sequence[int] = (),
) -> PixelAP:  # fmt: skip
    """mAP@50:5:95: AP of the protocol in which a positive counts only if its IoU is larger than the threshold, else as wrong.

    ranking: as for :func:`mean_average_precision`. iou: one part of :func:`overlaps` (under "public script" the boxes', of masks
    too). A positive that isn't ranked or has no IoU counts 0. Ignored images are taken out of the list. skipped: queries that the
    public script leaves in the divisor alone; a threshold that no query's method passes counts 0. Raises InputError as there.
    """
    _check(ground_truth, iou, rule)
    first, definition = cut(ground_truth.definition)
    by_iou = np.full((len(thresholds), len(iou)), np.nan)
    for query, (rows, ranks) in enumerate(retrieved(ranking, ground_truth)):
        positives = ground_truth.positives(query)
        passed = np.array([iou[query].get(row, -1.0) for row in positives.tolist()])
        overlap = passed[np.searchsorted(positives, rows)]
        for row, threshold in enumerate(thresholds):
            n_positive = len(positives) if rule == "ours" else int((passed > threshold).sum())
            if rule != "ours" and query in skipped:
                by_iou[row, query] = 0.0
            elif n_positive:
                counted = ranks[(overlap > threshold) & (ranks < first)]
                by_iou[row, query] = average_precision(counted, min(n_positive, first), definition)
    each = np.nan_to_num([_mean(values) for values in by_iou])
    return PixelAP(_mean(each), np.array([_mean(values) for values in by_iou.T]), by_iou)


def mean_iou(ground_truth: Protocol, iou: IoUs, rule: str = "ours", easy: Protocol | None = None) -> tuple[float, np.ndarray]:
    """Mean over queries of the mean IoU of a query's true pairs, and the latter (Q,), NaN of a query without positives.

    A pair without a prediction counts 0; under "public script" the pairs of ``easy``, the set's protocol, without one are skipped.
    """
    _check(ground_truth, iou, rule)
    each = []
    for query, of_query in enumerate(iou):
        rows = ground_truth.positives(query).tolist()
        if rule != "ours" and easy is not None:
            left_out = set(easy.positives(query).tolist()) - set(of_query)
            rows = [row for row in rows if row not in left_out]
        each.append(_mean([of_query.get(row, 0.0) for row in rows]))
    return _mean(each), np.array(each)


def loc_score(ranking: Ranking | Sequence[np.ndarray], ground_truth: Protocol, iou: IoUs) -> tuple[float, np.ndarray]:
    """LocScore (Choi et al., Patchify, arXiv 2512.12610) and its value of each query (Q,), NaN without positives.

    Textbook AP in which the precision at each retrieved positive is weighted by its IoU: sum of (j+1)/(r+1) IoU over the number of
    positives. At most the AP, and equal to it where every positive is localised exactly.
    """
    _check(ground_truth, iou, "ours")
    each = []
    for query, (rows, ranks) in enumerate(retrieved(ranking, ground_truth)):
        weights = np.array([iou[query].get(row, 0.0) for row in rows.tolist()])
        n_positive = len(ground_truth.positives(query))
        each.append(float((precisions(ranks) * weights).sum() / n_positive) if n_positive else np.nan)
    return _mean(each), np.array(each)


def pixel_score(
    ranking: Ranking, retrieval_set: RetrievalSet, localisations: Sequence[Mapping[int, Localisation]], protocol: str,
    rule: str = "ours", truth: Sequence[Mapping[int, dict]] | None = None, first: np.ndarray | None = None,
) -> Score:  # fmt: skip
    """The :class:`Score` of a ranking of all queries and of what was localised in it, under a protocol of the set.

    Metrics, D by boxes and S by masks: "mIoU D medium", "LocScore D medium", "mAP@50:5:95 D medium", and S; each a column of
    ``per_query``, so that intervals can be had. rule="public script": mIoU D and S and "mAP@50:5:95 medium", the mean over
    thresholds that has no value of a query. truth: :func:`true_masks` of the set unless given. first (Q, n): the database rows
    that were localised for the ranking's sake; further down nothing counts as localised, mIoU is of all true pairs (None: all that were).
    """
    truth = true_masks(retrieval_set, protocol) if truth is None else truth
    rules, end = retrieval_set.protocols[protocol], _end(protocol)
    pairs, values = overlaps(localisations, truth), {}
    easy, skipped = retrieval_set.protocols.get("easy"), SKIPPED.get(retrieval_set.name, ())
    for letter, kind in PIXELS.items():
        iou = getattr(pairs, kind)
        values[f"mIoU {letter}{end}"] = mean_iou(rules, iou, rule, easy)
        iou = iou if first is None else [{row: one[row] for row in rows if row in one} for one, rows in zip(iou, first.tolist())]
        if rule == "ours":
            values[f"LocScore {letter}{end}"] = loc_score(ranking, rules, iou)
            values[f"mAP@50:5:95 {letter}{end}"] = pixel_average_precision(ranking, rules, iou)[:2]
    metrics = {name: mean for name, (mean, _) in values.items()}
    if rule != "ours":
        metrics[f"mAP@50:5:95{end}"] = pixel_average_precision(ranking, rules, pairs.box, IOUS, rule, skipped).map
    queries = retrieval_set.queries[["image_id", "label"]].assign(query=np.arange(len(truth)), unit=retrieval_set.units)
    return Score(metrics, pd.concat([queries, pd.DataFrame({name: each for name, (_, each) in values.items()})], axis=1), ranking.ids.shape[1])


def names(protocol: str) -> list[str]:
    """Names of the metrics of :func:`pixel_score` under a protocol of that name, by our rule."""
    return [f"{metric} {letter}{_end(protocol)}" for letter in PIXELS for metric in ("mIoU", "LocScore", "mAP@50:5:95")]


def _end(protocol):
    return "" if protocol in (*NAMES, "contains") else f" {protocol}"


def _mask_iou(one, right, query, row):
    mask = encode_box(one.box, right["size"][::-1]) if one.mask is None else one.mask
    if list(mask["size"]) != list(right["size"]):
        (height, width), (rows, columns) = mask["size"], right["size"]
        fact = f"on database row {row} is of {width} x {height} pixels, the picture of {columns} x {rows}"
        raise InputError(f"The mask of query {query} {fact}: resize the mask.")
    return float(rle.iou([mask], [right], [False])[0, 0])


def _box_ious(pairs):
    """IoU (n,) of the box of each localisation with the tight one of its true mask."""
    if not pairs:
        return np.zeros(0)
    true = _tight([right for _, right in pairs])
    predicted = np.array([_tight([one.mask])[0] if one.box is None else one.box for one, _ in pairs], dtype=np.float64)
    both = np.concatenate([np.maximum(predicted[:, :2], true[:, :2]), np.minimum(predicted[:, 2:], true[:, 2:])], axis=1)
    shared, *areas = ((box[:, 2:] - box[:, :2]).clip(0).prod(1) for box in (both, predicted, true))
    return shared / np.maximum(sum(areas) - shared, np.finfo(float).tiny)


def _tight(masks):
    """Tight boxes (n, 4), x0, y0, x1, y1, of RLEs."""
    boxes = rle.toBbox(masks)
    boxes[:, 2:] += boxes[:, :2]
    return boxes


def _check(ground_truth, iou, rule):
    if rule not in RULES:
        raise unknown("rule of pixel retrieval", rule, RULES)
    if len(iou) != len(ground_truth.groups):
        raise InputError(f"IoU of {len(iou)} queries were given, the ground truth has {len(ground_truth.groups)}: give some of each.")
    if not any(len(ground_truth.positives(query)) for query in range(len(ground_truth.groups))):
        raise InputError("No query has positives: nothing can be averaged.")


def _mean(values):
    """Mean without NaN; NaN of nothing else."""
    values = np.asarray(values, dtype=float)
    return float(values[~np.isnan(values)].mean()) if not np.isnan(values).all() else np.nan
