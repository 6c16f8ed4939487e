"""Query expansion, plain and weighted: a new query from the first results.

The caller searches again with it, by :func:`knn.knn` or :func:`clusters.search`. What it averages are the global descriptors
of the results (:func:`lists.nearest`); after co-attention, whose results have no descriptor but the one the query gives
them, ours: V_c (:func:`clusters.coattended`).
"""

import numpy as np
import torch
import torch.nn.functional as F

from foir_lib.errors import InputError
from foir_lib.search import knn


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


def _fitting(queries, neighbours):
    queries = knn.to_matrix(queries, "Query descriptors")
    neighbours = torch.as_tensor(neighbours, dtype=torch.float32, device=queries.device)
    if neighbours.ndim != 3 or neighbours.shape[::2] != queries.shape or not torch.isfinite(neighbours).all():
        shapes = f"shape {tuple(neighbours.shape)} don't fit queries of shape {tuple(queries.shape)}"
        raise InputError(f"Neighbours of {shapes}: give (Q, n, d) without NaN, as lists.nearest does.")
    return queries, neighbours
