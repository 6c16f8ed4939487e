"""Localisers that match points of two pictures and keep those that share a motion: SIFT by the ratio test; what all of them share."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from foir_lib.detections import Localisation
from foir_lib.methods.pixels import matched_points
from foir_lib.registry import register
from foir_lib.retrievers import rerankers
from foir_lib.retrievers.base import Localiser
from foir_lib.search.rerank import spatial


@dataclass(frozen=True)
class Matching(Localiser):
    """Localisers that know which points of a query and a picture match.

    ``mask``: what matches in one ``motion`` stand for, "points" (a disc of ``radius`` pixels around each), "hull" or "polygon", see
    :mod:`methods.pixels.matched_points`; the box is that of the matches. ``threshold``: pixels that a match may be off. With fewer
    than ``least`` matches nothing is there: any three share an affine motion. Score: the number of matches.
    """

    mask: Literal["points", "hull", "polygon"] = "points"
    radius: int = 8
    motion: Literal["affine", "homography"] = "affine"
    threshold: float = 8.0
    least: int = 5

    def matches(self, corpus, part, m: int, rows) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Matching points (k, 2) of the query, inside its prompt, and of each of the database pictures ``rows``, in pixels."""
        raise NotImplementedError

    def locate(self, corpus, part, m, rows):
        return [self.localised(*pair, tuple(corpus.database.sizes[row].tolist())) for row, pair in zip(rows, self.matches(corpus, part, m, rows))]

    def localised(self, source: np.ndarray, target: np.ndarray, size: tuple[int, int]) -> Localisation:
        """What matches (k, 2) of a query and of a picture of ``size`` (width, height) say."""
        _, inside = spatial.motion(source, target, self.motion, self.threshold)
        points = target[inside]
        if len(points) < self.least:
            return Localisation.nothing(len(points))
        mask = matched_points.mask(points, size, self.mask, self.radius)
        return Localisation.of(mask, len(points), matched_points.box(points, size))


@register("localiser", "SP")
@dataclass(frozen=True)
class SP(Matching):
    """Spatial verification: SIFT keypoints by the ratio test at ``ratio``, in one motion (Philbin et al., CVPR 2007).

    The query's keypoints are those of its prompt's pixels, looked for in its box.
    """

    ratio: float = 0.8

    def matches(self, corpus, part, m, rows):
        query, database = keypoints(part, m), spatial.stored(rerankers.keypoints(corpus.database))
        for row in rows:
            other = database(row)
            pairs = spatial.matches(query, other, self.ratio)
            yield query.points[pairs[:, 0]], other.points[pairs[:, 1]]


def keypoints(part, m: int) -> spatial.Keypoints:
    """The SIFT keypoints on the pixels of prompt ``m``, in pixels of its picture."""
    stored = spatial.stored(rerankers.keypoints(part))(m)
    points = stored.points + np.float32(part.cut(m).corner)
    rows = on_prompt(part, m, points)
    return spatial.Keypoints(points[rows], stored.descriptors[rows])


def on_prompt(part, m: int, points: np.ndarray) -> np.ndarray:
    """Which points (k, 2) lie on the pixels of prompt ``m``: rows, rising. All of a part without prompts."""
    columns, rows = np.floor(points).astype(int).clip(0, np.array(part.size(m)) - 1).T
    return np.flatnonzero(part.pixels(m)[rows, columns])
