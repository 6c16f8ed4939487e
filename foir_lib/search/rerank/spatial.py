"""Spatial verification, the classical one: SIFT keypoints matched by the ratio test, and those RANSAC finds in one motion.

Source: Lowe, IJCV 2004 (SIFT, ratio test); Philbin et al., CVPR 2007 (verification); Arandjelovic and Zisserman, CVPR 2012
(RootSIFT). All of it is OpenCV's but the nearest neighbours, which are faiss's.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import cv2
import faiss
import numpy as np

from foir_lib.errors import InputError, count
from foir_lib.images import rgb
from foir_lib.progress import bar as counted
from foir_lib.prompts import crop
from foir_lib.search.rerank.lists import checked, head_first

LONGEST = 1024  # pixels of the longer side at which keypoints are looked for
MODELS = {"affine": 3, "homography": 4}  # matches that fix one


class Keypoints(NamedTuple):
    """SIFT keypoints of one picture: points (m, 2) float32, x and y in original pixels; descriptors (m, 128) uint8."""

    points: np.ndarray
    descriptors: np.ndarray


class Verified(NamedTuple):
    """Matches of two pictures in one motion: ``a``, ``b`` (m, 2) pixels in each; ``matrix`` (2 or 3, 3) from a to b, or None;
    ``rows`` (m, 2): which keypoints of a and b they are."""

    a: np.ndarray
    b: np.ndarray
    matrix: np.ndarray | None
    rows: np.ndarray

    @property
    def inliers(self):
        """Number of matches."""
        return len(self.a)


def keypoints(picture, box=None, n_features=1000, longest=LONGEST):
    """The ``n_features`` strongest :class:`Keypoints` of a PIL picture; none for a picture without texture.

    ``box``: only this :class:`~foir_lib.prompts.Box` of it is looked at (a query's), positions stay those of the whole
    picture. A picture longer than ``longest`` pixels is looked at smaller. 136 bytes a keypoint.
    """
    picture, corner = (rgb(picture), (0, 0)) if box is None else crop(picture, box)
    pixels, factor = np.array(picture.convert("L")), min(1.0, longest / max(picture.size))
    size = [max(round(side * factor), 1) for side in picture.size]
    if factor < 1:
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    detected, descriptors = cv2.SIFT_create(nfeatures=n_features).detectAndCompute(pixels, None)
    if not detected:
        return Keypoints(np.zeros((0, 2), np.float32), np.zeros((0, 128), np.uint8))
    scale, at = np.float32(picture.size) / np.float32(size), np.float32([k.pt for k in detected[:n_features]])
    points = (at + 0.5) * scale + np.float32(corner)  # OpenCV counts from a pixel's centre
    return Keypoints(points, descriptors[:n_features].astype(np.uint8))


def matches(a, b, ratio=0.8, root=True):
    """Matches (m, 2) of rows of Keypoints ``a`` and ``b``: the nearest by far, by Lowe's ratio test, of distances.

    ``root``: compare RootSIFT (roots of L1-normalised descriptors). A keypoint of b is matched once, by its nearest. With
    fewer than two keypoints in b the test isn't defined: no matches.
    """
    if not len(a.points) or len(b.points) < 2:
        return np.zeros((0, 2), np.int64)
    x, y = (_vectors(k.descriptors, root) for k in (a, b))
    square, near = faiss.knn(x, y, 2)
    passed = np.flatnonzero(square[:, 0] < ratio**2 * square[:, 1])
    by_distance = passed[np.argsort(square[passed, 0], kind="stable")]
    _, first = np.unique(near[by_distance, 0], return_index=True)
    rows = np.sort(by_distance[first])
    return np.stack([rows, near[rows, 0]], 1)


def verify(a, b, model="affine", threshold=8.0, ratio=0.8, root=True, seed=0, iterations=2000):
    """The :class:`Verified` matches of Keypoints ``a`` and ``b``: the inliers of one motion, within ``threshold`` pixels of b.

    ``model``: "affine" (of a plane seen from afar: 6 parameters) or "homography" (8). Estimated by OpenCV's USAC with its own
    ``seed``; with fewer matches than fix a motion, or none that holds, there are 0 inliers.
    """
    pairs = matches(a, b, ratio, root)
    source, target = a.points[pairs[:, 0]], b.points[pairs[:, 1]]
    matrix, inside = motion(source, target, model, threshold, seed, iterations)
    return Verified(source[inside], target[inside], matrix, pairs[inside])


def motion(source, target, model="affine", threshold=8.0, seed=0, iterations=2000):
    """The motion that most of the matches ``source``, ``target`` (m, 2) pixels share: its matrix or None, and its inliers, bool (m,).

    See :func:`verify`. Raises InputError for an unknown model.
    """
    if model not in MODELS:
        raise InputError(f"Motion {model!r} is unknown: choose one of {', '.join(MODELS)}.")
    if len(source) >= MODELS[model]:
        usac = cv2.UsacParams()
        usac.randomGeneratorState, usac.threshold, usac.maxIterations, usac.confidence = seed, threshold, iterations, 0.999
        find = cv2.estimateAffine2D if model == "affine" else cv2.findHomography
        with suppress(cv2.error):  # a degenerate sample, all matches on a point or a line
            matrix, inside = find(source, target, params=usac)
            if matrix is not None and np.isfinite(matrix).all():
                return matrix, inside.ravel().astype(bool)
    return None, np.zeros(len(source), bool)


def rerank(queries, keypoints_of, scores, ids, n=100, progress=False, least=1, **options):
    """The first ``n`` of each list of a ranking by falling number of inliers, equals in their order; the rest behind, as it was.
    Fewer than ``least`` inliers count as none.

    queries: Keypoints of each query; ``keypoints_of(row)``: those of a database picture, called once per picture and call
    of this function; scores, ids (Q, k): the first ranking; ``options``: of :func:`verify`. Returns scores and ids
    (Q, k), inliers as the scores of the head, as :func:`lists.head_first` puts it. Time: milliseconds a pair.
    """
    return by_pair(lambda a, b: verify(a, b, **options).inliers, queries, keypoints_of, scores, ids, n, progress, least)


def by_pair(score: Callable[[Keypoints, Keypoints], int], queries, keypoints_of, scores, ids, n=100, progress=False, least=1):
    """As :func:`rerank`, by any ``score`` of the keypoints of a query and of a picture, larger first, below ``least`` as 0."""
    scores, ids = checked(scores, ids, int(np.max(ids, initial=0)) + 1)
    if len(queries) != len(ids):
        raise InputError(f"Keypoints of {len(queries)} queries don't fit a ranking of {len(ids)}.")
    tops = ids[:, : count(n, "n")]
    values = np.zeros(tops.shape, np.int64)
    with counted(tops.size, "", "pair", show=progress) as bar:
        for row in np.unique(tops):  # each picture's keypoints are held once
            b = keypoints_of(row)
            for query, place in np.argwhere(tops == row):
                values[query, place] = score(queries[query], b)
                bar.update()
    return head_first(scores, ids, np.where(values >= least, values, 0))


def stacked(pictures, n_features=1000):
    """Keypoints of several pictures as arrays for the feature store: "points" and "descriptors", zero-padded, and "count"."""
    n = len(pictures)
    points, descriptors = np.zeros((n, n_features, 2), np.float32), np.zeros((n, n_features, 128), np.uint8)
    for row, k in enumerate(pictures):
        points[row, : len(k.points)], descriptors[row, : len(k.points)] = k
    return {"points": points, "descriptors": descriptors, "count": np.array([len(k.points) for k in pictures], np.int32)}


def stored(features):
    """``keypoints_of(row)`` for :func:`rerank`, read from a feature store of :func:`stacked` arrays."""

    def keypoints_of(row):
        one = slice(int(row), int(row) + 1)
        return Keypoints(*(features.read(name, one)[0, : features.read("count", one)[0]] for name in Keypoints._fields))

    return keypoints_of


def _vectors(descriptors, root):
    x = descriptors.astype(np.float32)
    return np.sqrt(x / np.maximum(x.sum(1, keepdims=True), 1e-12)) if root else x
