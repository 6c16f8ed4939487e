"""Community selection: whether the head of a list is one thing or several, and, if several, with which picture to begin.

Source: An et al., NeurIPS 2021 (thesis chapter 4). The head is split into the connected components of the graph of
verified neighbours; the entropy of their sizes is the uncertainty of the list. Where it is high, the query itself is verified:
that costs a few matchings, and only on lists that need it.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

TOP = 20  # pictures of the head whose communities are counted
UNSURE = 1.0  # nats
INLIERS = 20
WALKED = 100  # pictures among which another seed is looked for


def communities(rows: Sequence[int], neighbours_of: Callable[[int], Iterable[int]]) -> np.ndarray:
    """The number (m,) of the component of each of the pictures ``rows`` in the graph of their verified neighbours, 0 first.

    An edge counts from whichever side it is known. Components are numbered in the order of their first pictures.
    """
    at = {int(row): place for place, row in enumerate(rows)}
    pairs = [(place, at[other]) for row, place in at.items() for other in map(int, neighbours_of(row)) if other in at]
    source, target = np.array(pairs, int).reshape(-1, 2).T
    _, labels = connected_components(coo_array((np.ones(len(pairs)), (source, target)), shape=(len(at), len(at))), directed=False)
    _, first, labels = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[labels]


def uncertainty(labels: np.ndarray) -> float:
    """Entropy in nats of the shares that communities ``labels`` (m,) have of the head: 0 for one, ln m where all stand alone."""
    share = np.bincount(labels) / len(labels)
    share = share[share > 0]
    return float(-(share * np.log(share)).sum()) + 0.0


def seed_of(rows: Sequence[int], inliers_of: Callable[[int], int], enough: int = INLIERS) -> int:
    """The picture of an unsure list to begin with: the first, unless it has fewer than ``enough`` inliers with the query and
    one behind it has more; ``inliers_of(row)`` is called in the order of the list, until then."""
    first, *others = (int(row) for row in rows)
    if inliers_of(first) >= enough:
        return first
    return next((row for row in others if inliers_of(row) > enough), first)
