"""Hypergraph propagation: from one picture to its verified neighbours, and on through the part of each that is the same thing.

Source: An et al., NeurIPS 2021 (thesis chapter 4). A neighbour is not adopted for being similar to a picture, but for
matching the region of it that was carried there: a chain of pictures can't slip from one landmark to the one beside it.
Ours, where the paper is silent: a picture's edges are walked by falling number of inliers, equals in the order of its
neighbours; a picture is adopted once, with the first region carried to it.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from foir_lib.errors import count
from foir_lib.search.rerank.lists import checked, in_front


class Edge(NamedTuple):
    """A verified neighbour ``row`` of a picture: its inliers (m, 2) in the picture and, in the same order, ``there`` in the neighbour."""

    row: int
    here: np.ndarray
    there: np.ndarray
    inliers: int


class Adopted(NamedTuple):
    """A picture reached: its row, the region (4,) x0, y0, x1, y1 in its pixels, the picture it was reached from (-1: seed), the hop."""

    row: int
    region: np.ndarray
    parent: int
    hop: int


EdgesOf = Callable[[int], Sequence[Edge]]


def inside(points: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Which of the points (m, 2) lie strictly inside a region (4,), bool (m,)."""
    return ((points > region[:2]) & (points < region[2:])).all(1)


def box_of(points: np.ndarray) -> np.ndarray:
    """The box (4,) of points (m, 2)."""
    return np.concatenate([points.min(0), points.max(0)]).astype(np.float32)


def propagate(edges_of: EdgesOf, seed: int, region: np.ndarray, hops: int = 3) -> list[Adopted]:
    """What is reached from ``seed`` in at most ``hops`` steps, breadth first, the seed with its ``region`` (4,) first.

    A neighbour is adopted where at least one inlier lies strictly inside the region carried so far; its region is the box
    of those inliers. A box of one inlier, or of a line, holds nothing strictly inside: the chain ends there.
    """
    reached = [Adopted(int(seed), np.asarray(region, np.float32), -1, 0)]
    known = {int(seed)}
    for one in reached:  # grows while it is walked: breadth first
        if one.hop == hops:
            break
        for edge in sorted(edges_of(one.row), key=lambda edge: -edge.inliers):
            carried = inside(edge.here, one.region)
            if edge.row not in known and carried.any():
                known.add(edge.row)
                reached.append(Adopted(int(edge.row), box_of(edge.there[carried]), one.row, one.hop + 1))
    return reached


def rerank(edges_of: EdgesOf, seeds: Sequence[int], regions: Sequence[np.ndarray], scores, ids, n_database: int, hops: int = 3):
    """A first ranking scores, ids (Q, k) with what is reached from each query's seed in front, the rest behind as it was.

    seeds (Q,): rows; regions (Q, 4): where in the seed the thing is. A picture that the first ranking doesn't name isn't
    added. Returns as :func:`lists.in_front`. Raises InputError as :func:`lists.checked`.
    """
    scores, ids = checked(scores, ids, n_database)
    count(hops, "hops")
    reached = [[one.row for one in propagate(edges_of, *start, hops)] for start in zip(seeds, regions, strict=True)]
    return in_front(scores, ids, reached)
