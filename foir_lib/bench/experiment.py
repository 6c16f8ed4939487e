"""Experiments: one set of photographs, one model, every method of the head-selection paper.

What :mod:`extraction <foir_lib.bench.extraction>` stored is all that is needed: everything a prompt changes
afterwards is a short tail per query.
"""

import numpy as np
import pandas as pd
import torch

from foir_lib.bench import metrics
from foir_lib.bench.extraction import Extraction
from foir_lib.errors import InputError
from foir_lib.methods import head_selection
from foir_lib.models.vit import ClsState
from foir_lib.search import query_db
from foir_lib.search.knn import knn
from foir_lib.search.ranking import Ranking

METHODS = ("CBIR", "Mask", "Crop", "Crop+PHS", "FA", "PHS", "FA+PHS", "Attention mask", "Random heads")
STRATEGY = "before+scale"  # PHS itself
TAIL = 4096  # queries at a time


class Experiment(Extraction):
    """All methods on one :class:`RetrievalSet` with one model; arguments as for :class:`Extraction`.

    Raises InputError for a set without labelled queries too.
    """

    def __init__(self, retrieval_set, model, *args, **options):
        if not len(retrieval_set.queries):
            raise InputError(f"{retrieval_set.name} has no labelled queries, so nothing can be scored: give boxes.")
        super().__init__(retrieval_set, model, *args, **options)
        self.exclude = retrieval_set.protocols["contains"].own  # (Q,) its picture's own row in the database, or -1

    def heads(self, h_on=5, prompt="box", noise=False, roi="sum"):
        """Selected heads (M, h) bool, and the query row (M,) each belongs to."""
        prompts, chosen = self.prompts(prompt, noise), []
        for start in range(0, len(prompts.rows), TAIL):
            rows = prompts.rows[start : start + TAIL]
            tokens = [prompts.get(start + m).tokens(self.model.grid, self.sizes[q]) for m, q in enumerate(rows)]
            state = self._state(self.states(), self.image_row[rows], "attention")
            chosen.append(head_selection.select(state, torch.from_numpy(np.stack(tokens)), h_on, roi).cpu().numpy())
        return np.concatenate(chosen), prompts.rows

    def descriptors(self, method, h_on=5, prompt="box", noise=False, roi="sum", strategy=STRATEGY):
        """Query descriptors (M, d) float32, the query row (M,) of each, and their heads (M, h) or None."""
        rows, heads, read = self._source(method, h_on, prompt, noise, roi, strategy)
        parts = [read(np.arange(len(rows))[start : start + TAIL]) for start in range(0, len(rows), TAIL)]
        return np.concatenate(parts), rows, heads

    def ranking(self, method, k=100, mode="query-only", **options):
        """The :class:`Ranking` of all queries by one method (not for point prompts, which have many per query)."""
        if options.get("prompt") == "point":
            raise InputError("Point prompts give many rankings per query: use score(), which averages them.")
        vectors, rows, heads = self.descriptors(method, **options)
        scores, ids = self._search(vectors, rows, heads, k, mode, options.get("strategy", STRATEGY))
        return Ranking(rows, ids, scores, len(self.set.database))

    def score(self, method, k=100, mode="query-only", **options):
        """MP@k and MAP@k of one method as a :class:`~foir_lib.bench.metrics.FocusResult`.

        Point prompts: each query's scores are first averaged over its window positions.
        """
        if options.get("prompt") == "point":
            return self._score_points(method, k, mode, **options)
        return metrics.score(self.ranking(method, k, mode, **options), self.set, k=k)

    def _score_points(self, method, k, mode, h_on=5, prompt="point", noise=False, roi="sum", strategy=STRATEGY):
        rows, heads, read = self._source(method, h_on, prompt, noise, roi, strategy)
        first = again = np.arange(len(rows))
        if heads is not None:  # positions on one object mostly select the same heads: one search for them
            identity = np.c_[self.image_row[rows], np.packbits(heads, 1)]
            _, first, again = np.unique(identity, axis=0, return_index=True, return_inverse=True)
        found = []
        for start in range(0, len(first), TAIL):
            at = first[start : start + TAIL]
            some = None if heads is None else heads[at]
            found.append(self._search(read(at), rows[at], some, k, mode, strategy)[1].astype(np.int32))
        found, again, rules = np.concatenate(found), again.ravel(), self.set.protocols["contains"]
        asked, parts, right = self.set.queries.iloc[rows], [], {}
        for group in set(rules.groups):
            right[group] = np.zeros(len(self.set.database), dtype=bool)
            right[group][rules.positive[group]] = True
        for start in range(0, len(rows), TAIL):
            at = slice(start, start + TAIL)
            relevance = np.stack([right[rules.groups[q]][ids] for q, ids in zip(rows[at], found[again[at]], strict=True)])
            part = metrics.focus_precision(relevance, asked["image_id"].to_numpy()[at], asked["label"].to_numpy()[at], k)
            parts.append(part.per_query.assign(query=rows[at]))
        return metrics.average(_mean_per_query(parts), found.shape[1])

    def _source(self, method, h_on, prompt, noise, roi, strategy):
        """Query rows (M,), heads (M, h) or None, and a function that describes some of the M prompts."""
        if method not in METHODS:
            raise InputError(f"Method {method!r} is unknown: choose one of {', '.join(METHODS)}.")
        if method in ("Mask", "Crop", "Crop+PHS"):
            features = self.altered(method.split("+")[0], prompt, noise)
            name = "denoised" if method == "Crop+PHS" else "descriptor"
            return self.prompts(prompt, noise).rows, None, lambda at: features.read(name, at)
        rows, heads = np.arange(len(self)), None
        if method in ("FA", "FA+PHS", "Attention mask"):
            if (prompt, roi) != ("box", "sum"):
                raise InputError(f"{method} is defined for box prompts and roi sum, not for {prompt} and {roi}.")
            features, stored = self.biased(method.split("+")[0], noise), rows
            if method == "FA+PHS":
                heads = head_selection.top(torch.from_numpy(features.read("roi")), h_on).numpy()
        else:
            if method == "PHS":
                heads, rows = self.heads(h_on, prompt, noise, roi)
            if method == "Random heads":
                heads = head_selection.random(len(self), self.model.n_heads, h_on, self.seed).numpy()
            features, stored = self.states(), self.image_row[rows]

        def read(at):
            state = self._state(features, stored[at], "heads", "values", "residual")
            on = np.ones((len(at), self.model.n_heads), dtype=bool) if heads is None else heads[at]
            return head_selection.descriptor(self.model, state, on, strategy).cpu().numpy()

        return rows, heads, read

    def _state(self, features, rows, *names):
        """Rows of stored states as a ClsState on the model's device; ``names``: only these parts of it."""
        names = [name for name in names or ClsState.__annotations__ if name in features.names]
        arrays = {name: features.read(name, rows) for name in names}
        return ClsState.from_arrays(arrays, self.model.n_heads, self.model.device)

    def _search(self, vectors, rows, heads, k, mode, strategy):
        exclude = self.exclude[rows] if (self.exclude >= 0).any() else None
        database = self.database()
        if mode == "query-only":
            return knn(vectors, database.chunks("descriptor"), k, device=self.model.device, exclude=exclude)
        if mode == "query-db" and heads is not None:
            return query_db.search(self.model, vectors, heads, database, k, strategy, exclude, progress=self.progress)
        raise InputError(f"Mode {mode!r} can't be used here: query-only, or query-db with a head selection.")


def _mean_per_query(parts):
    grouped = pd.concat(parts).groupby("query", sort=True)
    first = grouped[["image_id", "label"]].first()
    return first.join(grouped[["precision", "average_precision"]].mean()).reset_index()
