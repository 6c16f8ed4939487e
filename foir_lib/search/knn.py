"""Exact nearest neighbours by inner product: a matrix product and its top k, block by block."""

import numpy as np
import torch

from foir_lib.errors import InputError
from foir_lib.search.ranking import without

QUERY_BLOCK, DATABASE_BLOCK = 1024, 16384  # largest score matrix: 64 MB


def knn(queries, database, k, device="cpu", exclude=None):
    """The ``k`` database rows with the largest inner product for each query.

    queries (Q, d); database (n, d), or an iterable of (start, (m, d)) in order, so that it need not
    fit into memory (``features.chunks("descriptor")``). ``exclude`` (Q,): a database row that must
    not be returned for that query, or -1.

    Returns scores (Q, k) float32 and ids (Q, k) int64, by falling score, equal scores by rising id;
    k is cut to n (to n - 1 if any row is excluded). Raises InputError for empty, NaN or
    infinite descriptors, unequal dimensions and bad k or exclude.
    """
    queries = to_matrix(queries, "Query descriptors", device)
    best, n = empty(len(queries), k, device, exclude), 0
    for start, chunk in [(0, database)] if isinstance(database, (np.ndarray, torch.Tensor)) else database:
        if start != n:
            raise InputError(f"Database chunk starts at row {start}, row {n} is next: give chunks in order.")
        for row in range(0, len(chunk), DATABASE_BLOCK):
            block = to_matrix(chunk[row : row + DATABASE_BLOCK], "Database descriptors", device, n + row, finite=False)
            update(best, queries, block, n + row)
        n += len(chunk)
    return finish(best, n, k, exclude)


def to_matrix(array, name, device="cpu", first=0, finite=True):
    """``array`` (n, d) as a float32 tensor on ``device``; ``finite``: its numbers are checked here (:func:`update` checks scores).

    InputError says what is wrong with ``name``; ``first`` is the number of its first row there.
    """
    if not isinstance(array, torch.Tensor):
        array = torch.from_numpy(np.require(array, np.float32, "CW"))
    matrix = array.detach().to(device, torch.float32).contiguous()
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise InputError(f"{name} have shape {tuple(matrix.shape)}: (rows, dimensions), at least one of each.")
    if finite and not torch.isfinite(matrix).all():
        raise _infinite(matrix, name, first)
    return matrix


def _infinite(matrix, name, first):
    row = first + int((~torch.isfinite(matrix)).any(1).nonzero()[0, 0])
    return InputError(f"{name} hold a NaN or infinite number in row {row}: make them again.")


def empty(n_queries, k, device="cpu", exclude=None):
    """Running best (scores, ids) before any row is scored, to be filled by :func:`update`."""
    if k < 1:
        raise InputError(f"k = {k} neighbours can't be retrieved: at least 1.")
    if exclude is not None and np.shape(exclude) != (n_queries,):
        raise InputError(f"exclude has shape {np.shape(exclude)}: give a database row, or -1, for each of {n_queries}.")
    shape = (n_queries, k + (exclude is not None))  # one spare place for the row to be dropped
    return torch.full(shape, -torch.inf, device=device), torch.full(shape, -1, device=device)


def update(best, queries, block, start, rows=None):
    """Merge ``block`` (m, d), the database rows from ``start`` on, into ``best``, in place.

    Blocks come in rising order. ``queries`` (Q, d) belong to ``rows`` of ``best`` (default: all).
    Holds QUERY_BLOCK x m scores at a time. Raises InputError for unequal dimensions, and for scores that aren't finite: of finite
    queries the row of the block that holds a NaN or infinite number is named.
    """
    if (d := queries.shape[1]) != block.shape[1]:
        raise InputError(f"Queries have {d} dimensions, the database has {block.shape[1]}: both must be of one model.")
    rows = torch.arange(len(queries), device=queries.device) if rows is None else rows
    for low in range(0, len(queries), QUERY_BLOCK):
        scores = queries[low : low + QUERY_BLOCK] @ block.T
        if not torch.isfinite(scores.sum(1)).all():
            _check(scores, block, start)
        merge(best, rows[low : low + QUERY_BLOCK], *_top(scores, best[0].shape[1], start))


def _check(scores, block, start):
    """InputError where scores aren't finite: that their sum overflows is no fault."""
    if not torch.isfinite(block).all():
        raise _infinite(block, "Database descriptors", start)
    if not torch.isfinite(scores).all():
        raise InputError("Inner products of queries and database overflow: scale the descriptors to unit length.")


def merge(best, rows, scores, ids):
    """Put ``scores`` and ``ids`` (q, m) into the ``rows`` of ``best``, in place; among equals those of before stay ahead."""
    k = best[0].shape[1]
    merged, order = torch.cat([best[0][rows], scores], 1).sort(dim=1, descending=True, stable=True)
    best[0][rows], best[1][rows] = merged[:, :k], torch.cat([best[1][rows], ids], 1).gather(1, order[:, :k])


def finish(best, n, k, exclude=None):
    """(scores, ids) as numpy arrays, excluded rows dropped, k cut to what ``n`` rows allow."""
    if n < 1:
        raise InputError("The database is empty: nothing can be retrieved.")
    scores, ids = (part.cpu().numpy() for part in best)
    if exclude is None:
        return scores[:, : min(k, n)], ids[:, : min(k, n)]
    exclude = np.asarray(exclude)
    if exclude.max() >= n:
        raise InputError(f"exclude names database row {exclude.max()}, the last one is {n - 1}.")
    return without(scores, ids, exclude, min(k, n - int((exclude >= 0).any())))


def _top(scores, k, start):
    """Exact top k of the scores (q, m) of one block, by (-score, id): scores and ids from ``start`` on, (q, min(k, m))."""
    k, more = min(k, scores.shape[1]), min(k + 1, scores.shape[1])
    best, ids = scores.topk(more)
    tied = (best[:, -1] == best[:, k - 1]).nonzero()[:, 0] if more > k else []
    ids, order = ids[:, :k].sort(1)
    best, order = best.gather(1, order).sort(dim=1, descending=True, stable=True)
    ids = ids.gather(1, order)
    if len(tied):  # ids at the border are arbitrary: sort these queries in full
        full, order = scores[tied].sort(dim=1, descending=True, stable=True)
        best[tied], ids[tied] = full[:, :k], order[:, :k]
    return best, ids + start
