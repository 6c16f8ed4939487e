"""Things that leave the picture, that turn, and that do neither: groups of queries by what their true masks say, and a score on each."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import cv2
import numpy as np
from pycocotools import mask as rle

from foir_lib.bench.metrics.pixels import names
from foir_lib.bench.metrics.scores import Score
from foir_lib.data.pixels import object_mask, true_masks
from foir_lib.data.sets import RetrievalSet

GROUPS = ("leaves", "turns", "stays")
CUT = 0.25  # a thing leaves if it touches the border of so many of its true pictures, and not that of the query's
SHAPE = 0.6  # a thing turns if its outline, stretched to that of the query's box, has a lower IoU with it in the median picture
SIDE = 64  # cells of a side of the square that outlines are stretched to
SHARE = "share that"


def groups(retrieval_set: RetrievalSet, protocol: str) -> np.ndarray:
    """(Q,) the group of each query, of :data:`GROUPS`; "" for one without an object of its own or without true pictures.

    A turned thing and one that changes its shape look alike here. The thresholds are ours.
    """
    return np.array([_group(retrieval_set, query, true) for query, true in enumerate(true_masks(retrieval_set, protocol))])


def _group(rs, query, true: Mapping[int, dict]):
    row = rs.queries.iloc[query]
    if row["object"] < 0 or not len(true):
        return ""
    size = rs.images.loc[rs.images["image_id"] == row["image_id"], ["width", "height"]].iloc[0].tolist()
    own, others = rle.decode(object_mask(rs, int(row["object"]), size)), [rle.decode(true[at]) for at in true]
    if not touches(own) and np.mean([touches(one) for one in others]) > CUT:
        return "leaves"
    return "turns" if np.median(alike(own, others)) < SHAPE else "stays"


def touches(mask: np.ndarray) -> bool:
    """Whether a mask (height, width) has pixels at the border of its picture: the rest of the thing may lie beside it."""
    return bool(mask[[0, -1]].any() or mask[:, [0, -1]].any())


def alike(mask: np.ndarray, others: Sequence[np.ndarray]) -> np.ndarray:
    """(n,) IoU of the outlines of masks, each cut to its tight box and stretched to one square: place, size and aspect count for nothing."""
    (own, *rest) = [_square(one) for one in (mask, *others)]
    return np.array([(own & one).sum() / (own | one).sum() for one in rest])


def split(scores: Mapping[str, Score], corpus) -> dict[str, Score]:
    """Scores by protocol of a :class:`Corpus`, each with its mIoU of masks on each group, see :func:`by_group`."""
    of = corpus.learned("changes", lambda: {name: groups(corpus.set, name) for name in corpus.set.protocols})
    return {name: by_group(score, next(one for one in names(name) if one.startswith("mIoU S")), of[name]) for name, score in scores.items()}


def by_group(score: Score, metric: str, of: np.ndarray) -> Score:
    """The score with its ``metric`` (a column of ``per_query``) on each group that somebody is in, "mIoU S leaves", and its share, "share that leaves".

    of (Q,): the group of each query, by its number.
    """
    table, metrics = score.per_query.copy(), dict(score.metrics)
    group = of[table["query"].to_numpy()]
    for name in GROUPS:
        if (inside := group == name).any():
            table[f"{metric} {name}"], table[f"{SHARE} {name}"] = table[metric].where(inside), inside.astype(float)
            metrics |= {f"{metric} {name}": float(table.loc[inside, metric].mean()), f"{SHARE} {name}": float(inside.mean())}
    return replace(score, metrics=metrics, per_query=table)


def _square(mask):
    ys, xs = np.nonzero(mask)
    part = mask[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
    return cv2.resize(part.astype(np.uint8), (SIDE, SIDE), interpolation=cv2.INTER_AREA if min(part.shape) >= SIDE else cv2.INTER_NEAREST) > 0
