"""Candidates from a faiss index, in this process."""

from dataclasses import dataclass
from os import PathLike

import faiss
import numpy as np

from foir_lib.errors import IntegrityError, MissingError
from foir_lib.search.candidates import Vectors, Where
from foir_lib.store.exchange import index_file

SEED = 0


@dataclass(frozen=True, eq=False)
class Faiss:
    """The engine of ``vectors`` in an ``index`` whose number i is their i-th vector; ``probes``: lists of an inverted file that are looked into."""

    vectors: Vectors
    index: faiss.Index
    probes: int = 32

    def nearest(self, queries: np.ndarray, m: int, where: Where | None = None) -> list[np.ndarray]:
        """As :meth:`Source.nearest`, as near as the index finds them; a picture counts by its nearest vector."""
        total, owner = self.index.ntotal, self.vectors.owner
        wanted = None if not where else np.flatnonzero(np.isin(owner, self.vectors.rows(where)))
        x, k = np.ascontiguousarray(queries, np.float32), min(m * (2 if self.vectors.several else 1), total)
        while True:
            _, numbers = self.index.search(x, k, params=self._parameters(wanted, k))
            rows = [_first(owner[one[one >= 0]], m) for one in numbers]
            if k == total or not self.vectors.several or all(len(one) == m for one in rows):
                return rows
            k = min(2 * k, total)  # the nearest vectors were of too few pictures

    def _parameters(self, wanted, k):
        how = {} if wanted is None else {"sel": faiss.IDSelectorBatch(wanted)}
        index = faiss.downcast_index(self.index)
        if isinstance(index, faiss.IndexIVF):
            return faiss.SearchParametersIVF(nprobe=min(self.probes, index.nlist), **how)
        if isinstance(index, faiss.IndexHNSW):
            return faiss.SearchParametersHNSW(efSearch=max(64, k), **how)
        return faiss.SearchParameters(**how) if how else None


def open_index(vectors: Vectors, path: str | PathLike, factory: str = "Flat") -> Faiss:
    """The engine of ``vectors`` in the index file at ``path``, read, or built and written where there is none that fits."""
    try:
        return Faiss(vectors, index_file.read(path, vectors.dimension, len(vectors.owner)))
    except (MissingError, IntegrityError):
        return build(vectors, path, factory)


def build(vectors: Vectors, path: str | PathLike | None = None, factory: str = "Flat") -> Faiss:
    """The engine of ``vectors`` in a new index of ``factory``, see :func:`index_file.build`; ``path``: the file to write."""
    rows = np.sort(np.random.default_rng(SEED).permutation(len(vectors))[: index_file.TRAINING * 4096]) if factory != "Flat" else []
    sample = None if not len(rows) else vectors.features.read(vectors.name, rows).reshape(-1, vectors.dimension)
    sample = sample if sample is None else sample[np.abs(sample).sum(1) > 0]
    index = index_file.build(vectors.chunks(), vectors.dimension, factory, sample)
    if path is not None:
        index_file.write(index, path)
    return Faiss(vectors, index)


def _first(rows, m):
    """The first ``m`` different rows, in their order."""
    _, first = np.unique(rows, return_index=True)
    return rows[np.sort(first)[:m]]
