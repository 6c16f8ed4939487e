"""First rankings and their heads: what every re-ranking starts from and gives back, (scores, ids) as everywhere."""

from collections.abc import Sequence

import numpy as np
import torch

from foir_lib.errors import InputError, count


def nearest(database, ids, n=10):
    """Descriptors (Q, n, d) of the ``n`` best of a ranking ``ids`` (Q, k): fewer if k is smaller, 0 where an id is -1.

    ``database`` (n_database, d): array, memory map or tensor; only these rows are read.
    """
    ids = np.asarray(ids)[:, : count(n, "n", 0)]
    if ids.size and not -1 <= ids.min() <= ids.max() < len(database):
        raise InputError(f"The ranking names row {ids.max()}, the database's {len(database)} rows count from 0.")
    rows = torch.as_tensor(database[np.maximum(ids, 0).ravel()], dtype=torch.float32, device="cpu")
    return rows.reshape(*ids.shape, database.shape[1]) * torch.from_numpy(ids >= 0)[..., None]


def head_first(scores: np.ndarray, ids: np.ndarray, new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A ranking whose first m places are sorted anew by falling ``new`` (Q, m), equals in the order they had; the rest as it was.

    scores, ids (Q, k). Scores of the rest are lowered together by what the first of them exceeds the last of the head.
    Returns scores (Q, k) float32 and ids (Q, k) int64.
    """
    m = new.shape[1]
    order, rest = np.argsort(-new, axis=1, kind="stable"), scores[:, m:].astype(np.float64)
    head = np.take_along_axis(new, order, 1)
    rest = rest - np.maximum(rest[:, :1] - head[:, -1:], 0)
    ids = np.concatenate([np.take_along_axis(ids[:, :m], order, 1), ids[:, m:]], 1)
    return np.concatenate([head, rest], 1).astype(np.float32), ids.astype(np.int64)


def in_front(scores: np.ndarray, ids: np.ndarray, rows: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """A ranking scores, ids (Q, k) with each query's ``rows`` in front, in that order, and the others behind, as they were.

    A row that the ranking doesn't name is passed over. Of m in front the j-th has the best of the first scores and m - j
    more. Returns scores (Q, k) float32 and ids (Q, k) int64.
    """
    new_scores, new_ids = scores.astype(np.float32), ids.astype(np.int64)
    for query, front in enumerate(rows):
        place = {row: k for k, row in enumerate(ids[query].tolist())}
        first = [place[row] for row in front if row in place]
        order = np.concatenate([np.array(first, int), np.setdiff1d(np.arange(ids.shape[1]), first)])
        new_ids[query], new_scores[query] = ids[query, order], scores[query, order]
        new_scores[query, : len(first)] = scores[query].max() + np.arange(len(first), 0, -1)
    return new_scores, new_ids


def checked(scores, ids, n: int) -> tuple[np.ndarray, np.ndarray]:
    """``scores`` and ``ids`` (Q, k) of a first ranking of a database of ``n`` as arrays; InputError if they aren't."""
    scores, ids = np.asarray(scores), np.asarray(ids)
    if ids.ndim != 2 or not ids.size or ids.shape != scores.shape or not 0 <= ids.min() <= ids.max() < n:
        shapes = f"scores {scores.shape} and ids {ids.shape}"
        raise InputError(f"A first ranking of {shapes} doesn't fit: give (Q, k) each, of rows 0 to {n - 1}.")
    return scores, ids
