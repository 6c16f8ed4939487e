"""SuperGlobal's re-ranking: the best of a ranking refine each other's descriptors (Shao et al., ICCV 2023)."""

import numpy as np
import torch

from foir_lib.errors import count
from foir_lib.search import knn
from foir_lib.search.rerank.lists import checked, head_first, nearest


def superglobal(queries, database, scores, ids, n_top=400, n_neighbours=9, beta=0.15):
    """SuperGlobal re-ranking of the best ``n_top`` (M) of a first ranking; all others stay behind them, in their order.

    queries (Q, d), database (n, d): unit descriptors; scores, ids (Q, k): the first ranking, of any method. Among the
    best M every descriptor is refined, d'_i = sum_j w_j d_j / sum_j w_j over itself (w = 1) and its ``n_neighbours`` (K)
    nearest others (w = beta S_ij), not brought back to unit length; s1 = q . d'_i; qe = the maximum, dimension by
    dimension, of the K + 1 refined descriptors with the largest s1; score = (s1 + qe . d'_i) / 2. M and K are cut to what
    there is; negative S_ij weigh 0 (ours: their sum could vanish). Ties go to the higher rank.

    Returns scores and ids (Q, k); scores of those behind are lowered together where they would exceed the last of the
    best. Source: Shao et al., ICCV 2023, section 3.4 and public code.
    """
    scores, ids = checked(scores, ids, len(database))
    queries, best = knn.to_matrix(queries, "Query descriptors"), nearest(database, ids, count(n_top, "n_top"))
    count(n_neighbours, "n_neighbours", 0)
    return head_first(scores, ids, np.stack([_refined_scores(q, x, n_neighbours, beta) for q, x in zip(queries, best)]))


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
