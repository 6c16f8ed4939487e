"""Re-ranking by descriptors: query expansion, plain and weighted, and SuperGlobal's refinement of the best.

Query expansion makes a new query from the first answers, and the caller searches again with it, by :func:`knn.knn` or
:func:`clusters.search`. What it averages are the global descriptors of the answers (:func:`nearest`); after co-attention,
whose answers have no descriptor but the one the query gives them, ours: V_c (:func:`clusters.coattended`).
"""

import numpy as np
import torch
import torch.nn.functional as F

from foir_lib.errors import InputError
from foir_lib.search import knn


def nearest(database, ids, n=10):
    """Descriptors (Q, n, d) of the ``n`` best of a ranking ``ids`` (Q, k): fewer if k is smaller, 0 where an id is -1.

    ``database`` (n_database, d): array, memory map or tensor; only these rows are read.
    """
    ids = np.asarray(ids)[:, : count(n, "n", 0)]
    if ids.size and not -1 <= ids.min() <= ids.max() < len(database):
        raise InputError(f"The ranking names row {ids.max()}, the database's {len(database)} rows count from 0.")
    found = torch.as_tensor(database[np.maximum(ids, 0).ravel()], dtype=torch.float32, device="cpu")
    return found.reshape(*ids.shape, database.shape[1]) * torch.from_numpy(ids >= 0)[..., None]


def average_expansion(queries, neighbours):
    """Average query expansion (AQE): the mean of each query (Q, d) and its ``neighbours`` (Q, n, d), unit length (Q, d).

    n = 0 leaves the query as it is, a neighbour of zeros adds nothing. Source: Chum et al., ICCV 2007.
    """
    queries, neighbours = _fitting(queries, neighbours)
    return F.normalize(queries + neighbours.sum(1), dim=-1)


def alpha_expansion(queries, neighbours, alpha=3.0):
    """Weighted query expansion (alpha-QE): as :func:`average_expansion`, neighbour i with weight max(q . v_i, 0)^alpha.

    The query has weight 1, that of its product with itself. alpha = 0 is the average over neighbours with a positive
    product. Source: Radenovic et al., TPAMI 2019; co-attention section 7.6.
    """
    queries, neighbours = _fitting(queries, neighbours)
    if not 0 <= alpha < np.inf:
        raise InputError(f"alpha={alpha!r} of query expansion must be a number, 0 or more.")
    product = (neighbours @ queries[..., None])[..., 0]
    weight = torch.where(product > 0, product**alpha, 0.0)
    return F.normalize(queries + (weight[..., None] * neighbours).sum(1), dim=-1)


def superglobal(queries, database, ids, scores, n_top=400, n_neighbours=9, beta=0.15):
    """SuperGlobal re-ranking of the best ``n_top`` (M) of a first ranking; all others stay behind them, in their order.

    queries (Q, d), database (n, d): unit descriptors; ids, scores (Q, k): the first ranking, of any method. Among the
    best M every descriptor is refined, d'_i = sum_j w_j d_j / sum_j w_j over itself (w = 1) and its ``n_neighbours`` (K)
    nearest others (w = beta S_ij), not brought back to unit length; s1 = q . d'_i; qe = the maximum, dimension by
    dimension, of the K + 1 refined descriptors with the largest s1; score = (s1 + qe . d'_i) / 2. M and K are cut to what
    there is; negative S_ij weigh 0 (ours: their sum could vanish). Ties go to the higher rank.

    Returns ids and scores (Q, k); scores of those behind are lowered together where they would exceed the last of the
    best. Source: Shao et al., ICCV 2023, section 3.4 and public code.
    """
    ids, scores = checked(ids, scores, len(database))
    queries = knn.to_matrix(queries, "Query descriptors")
    count(n_top, "n_top")
    count(n_neighbours, "n_neighbours", 0)
    tops = ids[:, :n_top]
    found = np.stack(
        [_refined_scores(q, x, n_neighbours, beta) for q, x in zip(queries, nearest(database, tops, n_top))]
    )
    return head_first(ids, scores, found)


def _refined_scores(q, x, n_neighbours, beta):
    """SuperGlobal scores (M,) of a query (d,) and the descriptors (M, d) of its best."""
    similarity = x @ x.T
    similarity.fill_diagonal_(torch.inf)  # itself first, whatever its equals
    value, near = similarity.sort(dim=1, descending=True, stable=True)
    weight = beta * value[:, : n_neighbours + 1].clamp(min=0)
    weight[:, 0] = 1.0
    refined = (weight[..., None] * x[near[:, : n_neighbours + 1]]).sum(1) / weight.sum(1, keepdim=True)
    first = refined @ q
    best = first.sort(descending=True, stable=True).indices[: n_neighbours + 1]
    return ((first + refined @ refined[best].amax(0)) / 2).numpy()


def head_first(ids, scores, new):
    """A ranking whose first m places are sorted anew by falling ``new`` (Q, m), equals in the order they had; the rest as it was.

    ids, scores (Q, k). Scores of the rest are lowered together by what the first of them exceeds the last of the head.
    Returns ids (Q, k) int64 and scores (Q, k) float32.
    """
    m = new.shape[1]
    order = np.argsort(-new, axis=1, kind="stable")
    head = np.take_along_axis(new, order, 1)
    rest = scores[:, m:].astype(np.float64)
    rest = rest - np.maximum(rest[:, :1] - head[:, -1:], 0)
    ids = np.concatenate([np.take_along_axis(ids[:, :m], order, 1), ids[:, m:]], 1)
    return ids.astype(np.int64), np.concatenate([head, rest], 1).astype(np.float32)


def checked(ids, scores, n):
    """``ids`` and ``scores`` (Q, k) of a first ranking of a database of ``n`` as arrays; InputError if they aren't."""
    ids, scores = np.asarray(ids), np.asarray(scores)
    if ids.ndim != 2 or not ids.size or ids.shape != scores.shape or not 0 <= ids.min() <= ids.max() < n:
        raise InputError(
            f"A first ranking of ids {ids.shape} and scores {scores.shape} doesn't fit: give (Q, k) each, of rows 0 to {n - 1}."
        )
    return ids, scores


def _fitting(queries, neighbours):
    queries = knn.to_matrix(queries, "Query descriptors")
    neighbours = torch.as_tensor(neighbours, dtype=torch.float32, device=queries.device)
    if neighbours.ndim != 3 or neighbours.shape[::2] != queries.shape or not torch.isfinite(neighbours).all():
        raise InputError(
            f"Neighbours of shape {tuple(neighbours.shape)} don't fit queries of shape {tuple(queries.shape)}: "
            "give (Q, n, d) without NaN, as reranking.nearest does."
        )
    return queries, neighbours


def count(value, name, low=1):
    """``value`` if it is a whole number of at least ``low``, else InputError."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < low:
        raise InputError(f"{name}={value!r} must be a whole number, at least {low}.")
    return value
