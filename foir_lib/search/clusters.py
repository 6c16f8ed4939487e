"""Co-attention search: every query scored against a clustered database that streams from the feature store.

The database is a :class:`~foir_lib.store.features.Features` with the arrays "clusters" (n, K, d), float16, 10 kB a picture for
10 x 512, zero-padded, and "count" (n,): how many clusters a picture has. It is read ``chunk`` pictures at a time. Rounding
unit clusters to float16 turns each by at most 2^-11, which moves a score by at most about (2 T + 1) 2^-11 times twice the
inverse length of the weighted sum V_c; measured at T = 10: below 1e-3.
"""

import inspect

import numpy as np
import torch
from scipy import sparse

from foir_lib.errors import InputError
from foir_lib.methods import coattention
from foir_lib.progress import bar as counted
from foir_lib.search import knn

NAMES = ["clusters", "count"]


def search(
    queries, database, k=None, candidates=None, score=coattention.scores, device="cpu", chunk=4096, progress=False,
    **options,
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
    vectors = [_tensor(q, device) for q in (queries if isinstance(queries, list) else [queries])]
    n, n_queries = len(database), len(queries)
    shares = None if candidates is None else _shares(candidates, n_queries, n)
    best, blocks = knn.empty(n_queries, 1 if k is None else min(k, n), "cpu"), []
    with counted(n, "", "picture", show=progress) as bar:
        for start in range(0, n, chunk):
            ids = torch.arange(start, min(start + chunk, n))
            mask = np.ones((n_queries, len(ids)), bool) if shares is None else shares[:, start : start + chunk].toarray()
            rows, scores = np.flatnonzero(mask.any(0)), torch.zeros(mask.shape)
            if len(rows):
                x, count = (database.read(name, start + rows) for name in NAMES)
                block = [torch.atleast_2d(score(q, x, count=count, **options)).float().cpu() for q in vectors]
                scores[:, rows] = torch.cat(block).masked_fill(~torch.from_numpy(mask[:, rows]), 0.0)
            if k is None:
                blocks.append(scores)
            else:
                knn.merge(best, slice(None), scores, ids.expand(n_queries, -1))
            bar.update(len(ids))
    if k is None:
        best = torch.cat(blocks, 1).sort(dim=1, descending=True, stable=True)
    return knn.finish(best, n, n if k is None else k)


def coattended(queries, database, ids, device="cpu", temperature=10.0, normalised=True):
    """The vectors V_c (Q, m, d), unit length, of the pictures ``ids`` (Q, m) as each query (Q, d) sees them (eqs. 8-9).

    What query expansion averages; 0 where an id is -1. float32 tensor on the CPU.
    """
    _check(database, coattention.scores, {})
    vectors = []
    for query, rows in zip(_tensor(queries, device), np.asarray(ids), strict=True):
        x, count = (_tensor(database.read(name, np.maximum(rows, 0)), device) for name in NAMES)
        mask = torch.arange(x.shape[1], device=device) < count[:, None]
        a = coattention.weights(query, x, temperature, normalised, mask)
        vectors.append(coattention.weighted(x, a).cpu() * torch.from_numpy(rows >= 0)[:, None])
    return torch.stack(vectors)


def _shares(candidates, n_queries, n):
    """Sparse bool (Q, n): which rows of the database are a candidate of which query."""
    if len(candidates) != n_queries:
        raise InputError(f"Candidates of {len(candidates)} queries don't fit {n_queries} queries: give one list each.")
    lists = [np.unique(np.asarray(rows, np.int64)) for rows in candidates]
    if any(len(rows) and not 0 <= rows[0] <= rows[-1] < n for rows in lists):
        raise InputError(f"Candidates name rows outside the database: its {n} rows count from 0.")
    ends, rows = np.cumsum([0, *map(len, lists)]), np.concatenate([np.zeros(0, np.int64), *lists])
    return sparse.csr_array((np.ones(len(rows), bool), rows, ends), shape=(n_queries, n)).tocsc()


def _tensor(array, device):
    array = array if isinstance(array, torch.Tensor) else torch.from_numpy(np.asarray(array))
    return array.to(device, torch.float32)


def _check(database, score, options):
    if len(database.layout.get("clusters", ("", ()))[1]) != 2 or database.layout.get("count", ("", None))[1] != ():
        raise InputError('The database needs the arrays "clusters" (n, K, d) and "count" (n,), for each picture.')
    known = list(inspect.signature(score).parameters)
    for name in options:
        if name not in known:
            raise InputError(f"Option {name!r} is unknown to {score.__name__}: choose among {', '.join(known[2:])}.")
