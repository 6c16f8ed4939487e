"""What two-stage search keeps and costs: recall against the exhaustive scan on drawn pictures, and the cost at a million.

``python -m foir_lib.bench.speed.scale recall|cost METHOD N OUT.json``. Pictures are drawn and described once, piece by piece, and stay in
the cache: a run that was stopped goes on. The million are the described states again and again, each with small noise: what they take is
told, never what is found among them.
"""

import json
import resource
import sys
import time
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np

from foir_lib import registry
from foir_lib.bench.speed import contract
from foir_lib.data import load_set
from foir_lib.draws import DRAWS, LEVELS, weights
from foir_lib.errors import InputError, count
from foir_lib.files import as_path, atomic_write, cache_root, try_place
from foir_lib.models.zoo import load_model
from foir_lib.retrievers.base import Retriever
from foir_lib.retrievers.corpus import Corpus
from foir_lib.retrievers.indexed.stages import arrays_of
from foir_lib.retrievers.parts import Pictures
from foir_lib.search import candidates, faiss_index
from foir_lib.search.candidates import Exact, Vectors
from foir_lib.store import features
from foir_lib.store.arrays import Readable, Rows, Stacked

WORLDS = {"PHS": ("mini-focus", "mini-vit", "n_query"), "CA": ("mini-landmarks", "mini-cnn", "n_queries"), "MaO": ("mini-needles", "mini-vit", "n_queries")}
PIECE = 2000  # pictures drawn at a time, each piece from a seed of its own
DEPTHS, TOP = (1000, 10_000), 10
NOISE = 0.02  # of the length of a row
SHARD = 10_000


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


def cost(
    method: str, n: int = 1_000_000, depths: Sequence[int] = DEPTHS, n_queries: int = 20, folder: str | PathLike | None = None, n_drawn: int = PIECE,
    factory: str = "", **world,
) -> dict:  # fmt: skip
    """What ``n`` pictures cost: seconds to build the index, bytes a picture of states and index, milliseconds a query of both stages for each
    number of candidates and of one exhaustive scan, and the process's peak memory in bytes. ``factory``: of the faiss index, by default
    an inverted file of 4 sqrt(n) lists in half precision. States and index stay in ``folder`` (the cache's)."""
    drawn = World(method, n_drawn, n_queries, **world)
    folder = as_path(folder or cache_root() / "scale")
    stored = copies(drawn, n, folder)
    factory = factory or f"IVF{max(1, int(4 * n**0.5))},SQfp16"
    path = folder / f"{stored.folder.name}-{''.join(letter if letter.isalnum() else '-' for letter in factory)}.faiss"
    start, there = time.perf_counter(), path.is_file()
    source = faiss_index.open_index(Vectors(stored, drawn.of_database), path, factory)
    built, vectors = time.perf_counter() - start, drawn.queries.read(drawn.of_query)
    timed = []
    for m in depths:
        rows, first = _ms(lambda m=m: [candidates.candidates(source, one[None], m)[0] for one in vectors], len(vectors))
        _, second = _ms(lambda rows=rows: [_rescored(drawn, stored, q, one) for q, one in enumerate(rows)], len(vectors))
        timed.append({"candidates": m, "ms_candidates": first, "ms_scores": second})
    _, scan = _ms(lambda: drawn.score(Rows(drawn.queries, np.array([0])), stored, TOP), 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1024 if sys.platform == "linux" else 1)
    return {
        "method": method, "pictures": n, "queries": len(vectors), "device": contract.device_name(drawn.corpus.model.device), "factory": factory,
        "bytes_states": sum(file.stat().st_size for file in stored.folder.glob("*.safetensors")) / n, "bytes_index": path.stat().st_size / n,
        "s_index": None if there else built, "ms_scan": scan, "stages": timed, "peak_bytes": peak,
    }  # fmt: skip


def copies(world: World, n: int, folder: Path) -> features.Features:
    """``n`` pictures on disk in half precision: those of a world again and again, each row with noise of a length of its own, by shards."""
    base, named = world.database, {"descriptor", "heads", "residual", "values", "clusters", "count", "global"}
    names, size = [name for name in base.names if name in named], len(base)

    def make(start, stop):
        rng, rows, arrays = np.random.default_rng(start), np.arange(start, stop) % size, {}
        for name in names:
            x = base.read(name, rows)
            if x.dtype.kind == "f":
                lengths = np.linalg.norm(x.astype(np.float32), axis=-1, keepdims=True)
                x = (x + NOISE * lengths / x.shape[-1] ** 0.5 * rng.standard_normal(x.shape, np.float32)).astype(np.float16)
            arrays[name] = x
        return arrays

    key = {"what": "copies with noise", "method": str(world.retriever), "model": world.corpus.model.key, "set": world.corpus.set.fingerprint, "noise": NOISE}
    return features.build(key | {"drawn": size}, n, make, root=folder, shard=SHARD, label=f"{n} copies for {world.retriever.name}")


def main(arguments: Sequence[str]) -> list[dict]:
    """``recall`` or ``cost`` of a method with ``n`` pictures, written as JSON."""
    if len(arguments) != 4 or arguments[0] not in ("recall", "cost") or not arguments[2].isdigit():
        raise InputError("Write: python -m foir_lib.bench.speed.scale recall|cost METHOD N OUT.json.")
    what, method, n, out = arguments
    out = try_place(out)
    results = recall(method, int(n)) if what == "recall" else [cost(method, int(n))]
    atomic_write(out, json.dumps(results, indent=1, allow_nan=False))
    return results


def _part(corpus, drawn, number):
    """The database of a drawn piece as pictures of the first one's corpus, which has learned what they are described with."""
    table = drawn.database
    ids = table["image_id"].to_numpy()
    return Pictures(corpus, f"piece {number}", len(ids), lambda row: drawn.open(ids[row]), drawn.fingerprint, table[["width", "height"]].to_numpy())


def _rescored(world, stored, q, rows):
    return candidates.rescored(world.score, Rows(world.queries, np.array([q])), stored, [rows], TOP)


def _ms(work, n):
    """What ``work`` returns after a warm-up, and milliseconds for each of ``n``."""
    work()
    start = time.perf_counter()
    return work(), 1000 * (time.perf_counter() - start) / n


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1:]), indent=1))
