"""Ranking: for each query the ordered database rows and scores; it checks itself when built."""

from dataclasses import dataclass

import numpy as np

from foir_lib.errors import InputError, IntegrityError
from foir_lib.search import npz


@dataclass(frozen=True, eq=False)
class Ranking:
    """What a search returned.

    query_rows (Q,): rows of ``RetrievalSet.queries``, of clicks several times. ids (Q, k): rows of
    ``RetrievalSet.database``, best first, each at most once per query; -1 where nothing was retrieved. scores (Q, k):
    finite, never rising along a row. n_database: size of the database searched. Raises InputError when any of
    this does not hold. The arrays are read-only copies.
    """

    query_rows: np.ndarray
    ids: np.ndarray
    scores: np.ndarray
    n_database: int

    def __post_init__(self):
        rows, ids, scores = (np.array(part) for part in (self.query_rows, self.ids, self.scores))
        shapes = rows.shape, ids.shape, scores.shape
        if ids.ndim != 2 or shapes != (ids.shape[:1], ids.shape, ids.shape) or not ids.size:
            sizes = "{}, {} and {}".format(*shapes)
            raise InputError(f"A ranking needs query_rows (Q,), ids and scores (Q, k), none empty, not {sizes}.")
        for name, part, kinds in (("query_rows", rows, "iu"), ("ids", ids, "iu"), ("scores", scores, "fiu")):
            if part.dtype.kind not in kinds:
                raise InputError(f"{name} of a ranking can't be of type {part.dtype}.")
        if rows.min() < 0:
            raise InputError("query_rows of a ranking must be rows from 0 on.")
        if ids.min() < -1 or ids.max() >= self.n_database:
            bad = ids.min() if ids.min() < 0 else ids.max()
            raise InputError(f"Database row {bad} is ranked, but rows run from 0 to {self.n_database - 1}.")
        scores = scores.astype(np.float32)
        ordered = np.sort(ids, axis=1)
        _no("names a database row twice", rows, (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0))
        _no("holds a NaN or infinite score", rows, ~np.isfinite(scores))
        _no("has scores that rise: sort them, best first", rows, scores[:, 1:] > scores[:, :-1])
        for name, part in (("query_rows", rows.astype(np.int64)), ("ids", ids.astype(np.int64)), ("scores", scores)):
            part.flags.writeable = False
            object.__setattr__(self, name, part)
        object.__setattr__(self, "n_database", int(self.n_database))

    def __len__(self):
        return len(self.query_rows)

    def top(self, query, k=None):
        """Best ``k`` (default: all) database rows of ``query``, a row of the set's ``queries``."""
        at = np.flatnonzero(self.query_rows == query)
        if not len(at):
            raise InputError(f"Query {query} isn't in this ranking of {len(self)} queries.")
        return self.ids[at[0], :k]

    def save(self, path):
        """Write to ``path`` (npz), whole or not at all."""
        npz.save(path, **vars(self))

    @classmethod
    def load(cls, path):
        """Read what :meth:`save` wrote. Raises MissingError, IntegrityError (damaged file)."""
        parts = npz.load(path, "ranking", cls.__annotations__)
        try:
            return cls(**parts)
        except (InputError, TypeError) as error:
            raise IntegrityError(f"File {path} can't be read as ranking ({error}): search again.") from error


def _no(what, rows, bad):
    bad = bad.any(axis=1)
    if bad.any():
        raise InputError(f"The ranking of query {rows[bad.argmax()]} {what}.")


def without(scores: np.ndarray, ids: np.ndarray, own: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores and ids (Q, n) without each query's ``own`` row (Q,), -1 for none, cut to the first ``k``.

    Raises InputError when nothing is left.
    """
    if k < 1:
        raise InputError("The database holds nothing but the query's own, excluded picture: nothing can be retrieved.")
    order = np.argsort((ids == own[:, None]) & (own[:, None] >= 0), axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, order, 1), np.take_along_axis(ids, order, 1)
