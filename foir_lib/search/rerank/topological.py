"""Topological verification: matches that keep their places among each other, whatever motion or bend brought them there.

Source: An et al., NeurIPS 2023 (thesis chapter 5). RANSAC asks whether matches follow one motion; this asks whether the
neighbourhoods of a match have the same layout in both pictures. The layout is a grid that stands upright: it knows no scale but
what the box of the features takes up, and no rotation. A picture that is mirrored or turned by 90 degrees keeps its
middle cells alone, so its score is small and may be 0: that is the method, not a fault.

Ours, where the paper is silent: the share counts matches with both ends in the windows; a region grows while it gains matches and
passes; seeds are taken in the order of the matches; of regions with equally many matches the first counts.
"""

from typing import NamedTuple

import cv2
import numpy as np

from foir_lib.search.rerank import spatial

CELLS = 3  # a side
WINDOW = 50.0  # pixels on each of the four sides of a seed's points
GROW = 30.0  # pixels on each side
SHARE = 0.2
FEATURES = 10  # in each window


class Region(NamedTuple):
    """Matches that keep their places: their rows (m,), and the windows (4,) x0, y0, x1, y1 of a and of b in which they do."""

    matches: np.ndarray
    a: np.ndarray
    b: np.ndarray


NOWHERE = Region(np.zeros(0, int), np.zeros(4, np.float32), np.zeros(4, np.float32))


def around(points: np.ndarray, margin: float) -> np.ndarray:
    """The box (4,) of points (m, 2), ``margin`` pixels wider on each of its four sides."""
    return np.concatenate([points.min(0) - margin, points.max(0) + margin]).astype(np.float32)


def within(points: np.ndarray, window: np.ndarray) -> np.ndarray:
    """Which of the points (m, 2) lie in a window (4,), its edges included, bool (m,)."""
    return ((points >= window[:2]) & (points <= window[2:])).all(1)


def cells_of(points: np.ndarray, box: np.ndarray, cells: int = CELLS) -> np.ndarray:
    """The cell (m,) of each point (m, 2) in a box (4,) cut into ``cells`` x ``cells``, row by row.

    On a border between two cells: the right or lower one. A box without width or height is its first column or row alone.
    """
    size = box[2:] - box[:2]
    at = np.floor((points - box[:2]) * cells / np.where(size > 0, size, 1.0)).astype(int).clip(0, cells - 1)
    return at[:, 1] * cells + at[:, 0]


def agreeing(a, b, pairs, windows, cells=CELLS, share=SHARE, features=FEATURES) -> np.ndarray:
    """Rows of the matches ``pairs`` (m, 2) of features a, b (n, 2), pixels, that lie in the same cell of both ``windows``.

    Each window is cut by the box of the features in it. None, where one holds less than ``features`` of them, or where less than
    a ``share`` of the matches with both ends in the windows lie in the same cell.
    """
    held = within(a, windows[0]), within(b, windows[1])
    rows = np.flatnonzero(held[0][pairs[:, 0]] & held[1][pairs[:, 1]])
    if not len(rows) or min(one.sum() for one in held) < features:
        return rows[:0]
    of_a, of_b = (cells_of(p[pairs[rows, side]], around(p[held[side]], 0.0), cells) for side, p in enumerate((a, b)))
    same = rows[of_a == of_b]
    return same if len(same) >= share * len(rows) else rows[:0]


def grown(a, b, pairs, seed: int, window=WINDOW, grow=GROW, **options) -> Region:
    """The :class:`Region` that match ``seed`` grows to, NOWHERE if its first windows fail. ``options``: of :func:`agreeing`."""
    windows = [around(p[pairs[seed : seed + 1, side]], window) for side, p in enumerate((a, b))]
    region = NOWHERE
    while len(rows := agreeing(a, b, pairs, windows, **options)) > len(region.matches):
        region = Region(rows, *windows)
        windows = [around(p[pairs[rows, side]], grow) for side, p in enumerate((a, b))]
    return region


def largest(a: np.ndarray, b: np.ndarray, pairs: np.ndarray, **options) -> Region:
    """The :class:`Region` with the most of the matches ``pairs`` (m, 2), one to one, of features a (n, 2) and b (k, 2), in pixels.

    The number of its matches is the score of the two pictures. A seed inside the hull of a region's points in a is skipped.
    ``options``: window, grow, cells, share, features.
    """
    best, covered = NOWHERE, np.zeros(len(pairs), bool)
    for seed in range(len(pairs)):
        if covered[seed]:
            continue
        region = grown(a, b, pairs, seed, **options)
        if len(region.matches):
            covered |= in_hull(a[pairs[:, 0]], a[pairs[region.matches, 0]])
        if len(region.matches) > len(best.matches):
            best = region
    return best


def in_hull(points: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Which points (m, 2) lie in the convex hull of others (k, 2), its border included, bool (m,)."""
    hull = cv2.convexHull(np.float32(of))
    return np.array([cv2.pointPolygonTest(hull, tuple(map(float, point)), False) >= 0 for point in points], bool)


def rerank(queries, keypoints_of, scores, ids, n=100, ratio=0.8, progress=False, least=1, **options):
    """The first ``n`` of each list of a ranking by falling number of matches in their :func:`largest` region; see :func:`spatial.rerank`.

    ``ratio``: of the ratio test of :func:`spatial.matches`; ``options``: of :func:`largest`.
    """

    def score(a, b):
        return len(largest(a.points, b.points, spatial.matches(a, b, ratio), **options).matches)

    return spatial.by_pair(score, queries, keypoints_of, scores, ids, n, progress, least)
