"""Co-attention search: every query scored against a clustered database that streams from the feature store.

The database is a :class:`~foir_lib.store.features.Features` with the arrays "clusters" (n, K, d), float16, 10 kB a picture for
10 x 512, zero-padded, and "count" (n,): how many clusters a picture has. It is read ``chunk`` pictures at a time. Rounding
unit clusters to float16 turns each by at most 2^-11, which moves a score by at most about (2 T + 1) 2^-11 times twice the
inverse length of the weighted sum V_c; measured at T = 10: below 1e-3.
"""

import inspect

import numpy as np
import torch
from tqdm.auto import tqdm

from foir_lib.errors import InputError
from foir_lib.methods import coattention
from foir_lib.search import knn

NAMES = ["clusters", "count"]


def search(
    queries, database, k=None, candidates=None, score=coattention.scores, device="cpu", chunk=4096,
    progress=False, **options,
):  # fmt: skip
    """The ``k`` best database rows of each query (None: all of them), by the scores of co-attention.

    queries (Q, d): query vectors; or a list of (K_q, d), the queries' own clusters, for ``coattention.many_to_many``.
    database: Features as above. ``candidates``: for each query the database rows to score (e.g. ``InvertedFile.candidates``);
    all others "are simply set to have zero similarity score" (section 5.2), and stand, taken at the paper's word,
    after candidates with a positive score and before those with a negative one. Only rows that are a candidate of some
    query are computed. ``score``: a function of :mod:`~foir_lib.methods.coattention` with its ``options`` (temperature,
    normalised, how, ...).

    Returns scores (Q, k) float32 and ids (Q, k) int64 by falling score, equal scores by rising id. Memory: one chunk and
    the best k; with k=None a score for each query and picture. Raises InputError for a database of another kind, shapes
    that don't fit and an option that ``score`` doesn't have.
    """
    _check(database, score, options)
    vectors = [_tensor(q, device) for q in queries] if isinstance(queries, list) else [_tensor(queries, device)]
    n, n_queries = len(database), len(vectors) if isinstance(queries, list) else len(queries)
    wanted = _Wanted(candidates, n_queries, n)
    best = knn.empty(n_queries, 1 if k is None else min(k, n), "cpu")
    blocks = []
    with tqdm(total=n, unit="picture", disable=not progress) as bar:
        for start in range(0, n, chunk):
            stop = min(start + chunk, n)
            rows, mask = wanted.between(start, stop)
            scores = torch.zeros(n_queries, stop - start)
            if len(rows):
                x, count = (database.read(name, start + rows) for name in NAMES)
                block = [torch.atleast_2d(score(q, x, count=count, **options)).float().cpu() for q in vectors]
                scores[:, rows] = torch.cat(block).masked_fill(~mask, 0.0)
            if k is None:
                blocks.append(scores)
            else:
                _merge(best, scores, start)
            bar.update(stop - start)
    if k is None:
        best = torch.cat(blocks, 1).sort(dim=1, descending=True, stable=True)
    return knn.finish(best, n, n if k is None else k)


def coattended(queries, database, ids, device="cpu", temperature=10.0, normalised=True):
    """The vectors V_c (Q, m, d), unit length, of the pictures ``ids`` (Q, m) as each query (Q, d) sees them (eqs. 8-9).

    What query expansion averages; 0 where an id is -1. float32 tensor on the CPU.
    """
    _check(database, coattention.scores, {})
    ids, coattended_vectors = np.asarray(ids), []
    for query, rows in zip(_tensor(queries, device), ids, strict=True):
        x, count = (database.read(name, np.maximum(rows, 0)) for name in NAMES)
        x = _tensor(x, device)
        mask = torch.arange(x.shape[1], device=device) < torch.from_numpy(count.astype(np.int64)).to(device)[:, None]
        a = coattention.weights(query, x, temperature, normalised, mask)
        coattended_vectors.append(coattention.weighted(x, a).cpu() * torch.from_numpy(rows >= 0)[:, None])
    return torch.stack(coattended_vectors)


class _Wanted:
    """Which rows of a span of the database are to be scored, and for whom."""

    def __init__(self, candidates, n_queries, n):
        self.lists = None if candidates is None else [np.unique(np.asarray(rows, np.int64)) for rows in candidates]
        self.n_queries = n_queries
        if self.lists is None:
            return
        if len(self.lists) != n_queries:
            raise InputError(
                f"Candidates of {len(self.lists)} queries don't fit {n_queries} queries: give one list each."
            )
        if any(len(rows) and not 0 <= rows[0] <= rows[-1] < n for rows in self.lists):
            raise InputError(f"Candidates name rows outside the database: its {n} rows count from 0.")

    def between(self, start, stop):
        """Rows from ``start`` that are a candidate of any query, (m,) counted from there, and of which, bool (Q, m)."""
        mask = np.ones((self.n_queries, stop - start), bool)
        if self.lists is not None:
            mask[:] = False
            for query, rows in enumerate(self.lists):
                mask[query, rows[slice(*np.searchsorted(rows, (start, stop)))] - start] = True
        rows = np.flatnonzero(mask.any(0))
        return rows, torch.from_numpy(mask[:, rows])


def _merge(best, scores, start):
    """Put the ``scores`` (Q, m) of rows from ``start`` on into ``best``, in place; among equals the lower row stays ahead."""
    width = best[0].shape[1]
    ids = torch.arange(start, start + scores.shape[1]).expand(len(scores), -1)
    merged, order = torch.cat([best[0], scores], 1).sort(dim=1, descending=True, stable=True)
    best[1][:] = torch.cat([best[1], ids], 1).gather(1, order[:, :width])
    best[0][:] = merged[:, :width]


def _tensor(array, device):
    array = array if isinstance(array, torch.Tensor) else torch.from_numpy(np.asarray(array))
    return array.to(device, torch.float32)


def _check(database, score, options):
    if len(database.layout.get("clusters", ("", ()))[1]) != 2 or database.layout.get("count", ("", None))[1] != ():
        raise InputError(
            'The database needs the arrays "clusters" (n, K, d) and "count" (n,): store them for each picture.'
        )
    known = inspect.signature(score).parameters
    for name in options:
        if name not in known:
            raise InputError(
                f"Option {name!r} is unknown to {score.__name__}: choose among {', '.join(list(known)[2:])}."
            )
