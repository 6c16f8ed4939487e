"""What two-stage search keeps: recall against the exhaustive scan on drawn pictures.

``python -m foir_lib.bench.speed.scale METHOD N OUT.json``. Pictures are drawn and described once, piece by piece, and stay in
the cache: a run that was stopped goes on.
"""

import json
import sys
from collections.abc import Sequence

import numpy as np

from foir_lib import registry
from foir_lib.data import load_set
from foir_lib.draws import DRAWS, LEVELS, weights
from foir_lib.errors import InputError, count
from foir_lib.files import atomic_write, try_place
from foir_lib.models.zoo import load_model
from foir_lib.retrievers.base import Retriever
from foir_lib.retrievers.corpus import Corpus
from foir_lib.retrievers.indexed.stages import arrays_of
from foir_lib.retrievers.parts import Pictures
from foir_lib.search import candidates
from foir_lib.search.candidates import Exact, Vectors
from foir_lib.store.arrays import Readable, Rows, Stacked

WORLDS = {"PHS": ("mini-focus", "mini-vit", "n_query"), "CA": ("mini-landmarks", "mini-cnn", "n_queries"), "MaO": ("mini-needles", "mini-vit", "n_queries")}
PIECE = 2000  # pictures drawn at a time, each piece from a seed of its own
DEPTHS, TOP = (1000, 10_000), 10


class World:
    """``n`` drawn pictures described by a method, in pieces, and the described queries of the first, at most one a unit of the set (picture,
    landmark, thing) before any has two. ``units`` (Q,): of the queries."""

    def __init__(self, method: str, n: int, n_queries: int, seed: int = 0, piece: int = PIECE, model: str = "", device: str = "auto", cache=None):
        count(n, "n"), count(n_queries, "n_queries"), count(piece, "piece")
        self.retriever: Retriever = registry.parse("retriever", method)
        if self.retriever.name not in WORLDS:
            raise InputError(f"{method} isn't measured at scale: choose one of {', '.join(WORLDS)}.")
        name, usual, of_queries = WORLDS[self.retriever.name]
        self.name, net = name, load_model(model or usual, device=device)
        first, parts = None, []
        for number, start in enumerate(range(0, n, piece)):
            asked = 3 * n_queries if not number else 1
            drawn = load_set(name, seed=seed + number, n_database=min(piece, n - start), **{of_queries: asked})
            self.corpus = first = first or Corpus(drawn, net, seed=seed, cache=cache)
            parts.append(first.described(self.retriever, _part(first, drawn, number)))
        self.database, units = Stacked(parts), first.set.units
        turn = np.array([(units[:at] == unit).sum() for at, unit in enumerate(units)])
        rows = np.sort(np.argsort(turn, kind="stable")[:n_queries])
        self.queries, self.units = Rows(first.described(self.retriever, first.queries()), rows), units[rows]
        self.of_query, self.of_database = arrays_of(self.retriever, self.database)
        self.corpus.progress = False  # a bar for each query would be too many

    def score(self, query: Readable, database: Readable, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Exact scores by the method."""
        return self.retriever.score(self.corpus, query, database, k)


def recall(method: str, n: int, depths: Sequence[int] = DEPTHS, n_queries: int = 100, k: int = TOP, **world) -> list[dict]:
    """For each number of candidates the share of the exhaustive scan's ``k`` best that two-stage search returns among its own, with its 95 %
    interval (bootstrap over the set's units); ``world``: see :class:`World`. Candidates are exact nearest vectors."""
    drawn = World(method, n, n_queries, **world)
    source, vectors = Exact(Vectors(drawn.database, drawn.of_database), drawn.corpus.model.device), drawn.queries.read(drawn.of_query)
    _, best = drawn.score(drawn.queries, drawn.database, k)
    results = []
    for m in depths:
        _, ids = candidates.rescored(drawn.score, drawn.queries, drawn.database, candidates.candidates(source, vectors, m), k)
        shares = np.array([np.isin(one, other).mean() for one, other in zip(best, ids)])
        low, high = interval(shares, drawn.units)
        about = {"method": method, "world": drawn.name, "model": drawn.corpus.model.name, "pictures": n, "queries": len(shares), "k": k, "candidates": m}
        results.append(about | {"recall": float(shares.mean()), "low": low, "high": high})
    return results


def interval(values: np.ndarray, units: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of the mean of ``values`` (Q,), by a bootstrap over ``units`` (Q,)."""
    _, at = np.unique(units, return_inverse=True)
    drawn = weights(at.max() + 1, DRAWS).astype(float)
    means = (drawn @ np.bincount(at, values)) / (drawn @ np.bincount(at))
    return tuple(float(bound) for bound in np.percentile(means, LEVELS))


def main(arguments: Sequence[str]) -> list[dict]:
    """:func:`recall` of a method with ``n`` pictures, written as JSON."""
    if len(arguments) != 3 or not arguments[1].isdigit():
        raise InputError("Write: python -m foir_lib.bench.speed.scale METHOD N OUT.json.")
    method, n, out = arguments
    out = try_place(out)
    results = recall(method, int(n))
    atomic_write(out, json.dumps(results, indent=1, allow_nan=False))
    return results


def _part(corpus, drawn, number):
    """The database of a drawn piece as pictures of the first one's corpus, which has learned what they are described with."""
    table = drawn.database
    ids = table["image_id"].to_numpy()
    return Pictures(corpus, f"piece {number}", len(ids), lambda row: drawn.open(ids[row]), drawn.fingerprint, table[["width", "height"]].to_numpy())


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1:]), indent=1))
