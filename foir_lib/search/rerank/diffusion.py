"""Diffusion: similarity flows from a query's neighbours through the graph of the database.

Source: Iscen et al., CVPR 2017; co-attention section 7.6. The graph is that of the answers to each database picture taken as
a query, so any search makes one: :func:`knn.knn` with the pictures' own descriptors ("descriptor" graph), or, for
co-attention, :func:`clusters.search` with each picture's global vector as the query ("coattention" graph). Ours: for
co-attention the latter, as "similarity scores between each pair of images" reads; it costs n^2 scores, so a database
of more than 10,000 pictures takes the former and keeps the scores of co-attention for the query.
"""

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import cg

from foir_lib.errors import InputError
from foir_lib.search.rerank.lists import checked

GAMMA = 3  # power of a similarity


def graph(scores, ids, gamma=GAMMA):
    """Affinity A (n, n), sparse, symmetric, zero diagonal: a_ij = min(s_ij, s_ji), where i and j are mutual neighbours.

    scores, ids (n, k): the similarities of the k neighbours of each of n pictures, and which they are, asymmetric ones too; s =
    max(similarity, 0)^gamma. A picture among its own neighbours is passed over, and so is an id of -1. Raises
    InputError for shapes or rows that don't fit and NaN.
    """
    scores, ids = np.asarray(scores, np.float64), np.asarray(ids)
    n = len(ids)
    if ids.ndim != 2 or ids.shape != scores.shape or (ids.size and not -1 <= ids.min() <= ids.max() < n):
        raise InputError(f"Neighbours {ids.shape} and {scores.shape} make no graph: give (n, k) each, rows 0 to n - 1.")
    own = np.repeat(np.arange(n), ids.shape[1]).reshape(ids.shape)
    others = (ids >= 0) & (ids != own)
    if not np.isfinite(scores[others]).all():
        raise InputError("Similarities of neighbours hold NaN or infinity: search again.")
    weight = np.maximum(scores[others], 0) ** gamma
    one_way = sparse.csr_array((weight, (own[others], ids[others])), shape=(n, n))
    return one_way.minimum(one_way.T).tocsr()


def normalised(affinity):
    """S = D^-1/2 A D^-1/2 of an affinity A, D its row sums; a picture without neighbours keeps a row of zeros.

    Raises InputError when A isn't square, symmetric and non-negative.
    """
    a = sparse.csr_array(affinity, dtype=np.float64)
    if a.shape[0] != a.shape[1]:
        raise InputError(f"An affinity of shape {a.shape} is no graph: it must be square.")
    if a.nnz and (a.data.min() < 0 or abs(a - a.T).max() > 1e-9 * abs(a).max()):
        raise InputError("The affinity isn't symmetric and non-negative: make it with diffusion.graph.")
    degree = a.sum(1)
    root = sparse.diags_array(np.where(degree > 0, 1 / np.sqrt(np.where(degree > 0, degree, 1.0)), 0.0))
    return (root @ a @ root).tocsr()


def diffuse(s, y, alpha=0.99, tolerance=1e-6):
    """f (Q, n) that solves (I - alpha S) f = y for each row of y (Q, n), by conjugate gradients.

    ``s``: of :func:`normalised`; ``tolerance``: of the residual, as a share of y. A picture without neighbours keeps its y;
    one that no path joins to the query's neighbours gets exactly 0. Raises InputError unless 0 <= alpha < 1.
    """
    if not 0 <= alpha < 1:
        raise InputError(f"alpha={alpha!r} of diffusion must lie in [0, 1): above, similarity never dies out.")
    y = np.asarray(y, np.float64)
    if y.ndim != 2 or y.shape[1] != s.shape[0] or not np.isfinite(y).all():
        raise InputError(f"Start values of shape {y.shape} don't fit a graph of {s.shape[0]} pictures: (Q, n), no NaN.")
    system, f = sparse.eye_array(s.shape[0], format="csr") - alpha * s, np.zeros_like(y)
    for row, start in enumerate(y):
        f[row], failed = cg(system, start, rtol=tolerance, atol=0.0, maxiter=10_000)
        if failed:
            raise InputError("Diffusion didn't converge in 10,000 steps: choose a smaller alpha.")
    return f


def rerank(affinity, scores, ids, n_query=10, alpha=0.99, gamma=GAMMA, tolerance=1e-6):
    """A first ranking scores, ids (Q, k), of any method, re-ranked through the graph of :func:`graph`: scores, ids (Q, n).

    The query stands outside the database: y holds max(score, 0)^gamma of its ``n_query`` best (Iscen et al.). By falling
    f; equal f (among them the pictures that diffusion doesn't reach, f = 0) stay in the order of the first ranking,
    those it doesn't name last. Raises InputError as :func:`normalised` and :func:`diffuse` do.
    """
    n, s = affinity.shape[0], normalised(affinity)
    scores, ids = checked(scores, ids, n)
    rows = np.arange(len(ids))[:, None]
    y, place = np.zeros((len(ids), n)), np.full((len(ids), n), ids.shape[1])
    y[rows, ids[:, :n_query]] = np.maximum(scores[:, :n_query], 0).astype(np.float64) ** gamma
    place[rows, ids] = np.arange(ids.shape[1])
    f = np.maximum(diffuse(s, y, alpha, tolerance), 0).astype(np.float32)  # no exact solution is negative
    order = np.lexsort((place, -f), axis=1)
    return np.take_along_axis(f, order, 1), order.astype(np.int64)
