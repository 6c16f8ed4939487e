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
TAIL = 4096  # queries per tail


class Experiment(Extraction):
    """All methods on one :class:`RetrievalSet` with one model; arguments as for :class:`Extraction`."""

    def heads(self, h_on=5, prompt="box", noise=False, roi="sum"):
        """Selected heads (M, h) bool, and the query row (M,) each belongs to."""
        features = self.states()
        _, rows, prompts = self._prompts(prompt, noise)
        chosen = []
        for start in range(0, len(prompts), TAIL):
            images = self.image_row[rows[start : start + TAIL]]
            masks = [p.tokens(self.model.grid, self.sizes[i]) for p, i in zip(prompts[start : start + TAIL], images, strict=True)]
            state = self._state(features, images)
            chosen.append(head_selection.select(state, torch.from_numpy(np.stack(masks)), h_on, roi).cpu().numpy())
        return np.concatenate(chosen), rows

    def _state(self, features, rows):
        """Rows of stored states as a ClsState on the model's device."""
        h = self.model.n_heads
        shape = {"attention": (len(rows), h, -1), "heads": (len(rows), h, -1), "values": (len(rows), h, -1), "residual": (len(rows), -1)}
        read = {n: torch.from_numpy(features.read(n, rows)).view(s) for n, s in shape.items() if n in features.names}
        return ClsState(*(read.get(n) for n in shape)).to(self.model.device)

    def descriptors(self, method, h_on=5, prompt="box", noise=False, roi="sum", strategy=STRATEGY):
        """Query descriptors (M, d) float32, the query row (M,) of each, and their heads (M, h) or None."""
        everyone = np.arange(len(self))
        if method in ("Mask", "Crop", "Crop+PHS"):
            features = self.altered(method.split("+")[0], prompt, noise)
            name = "denoised" if method == "Crop+PHS" else "descriptor"
            return features.read(name), self._prompts(prompt, noise)[1], None
        heads, rows = None, everyone
        if method == "CBIR":
            features, stored = self.states(), self.image_row
        elif method in ("FA", "FA+PHS", "Attention mask"):
            if (prompt, roi) != ("box", "sum"):
                raise InputError(f"{method} is defined for box prompts and roi sum, not for {prompt} and {roi}.")
            features, stored = self.biased(method.split("+")[0], noise), everyone
            if method == "FA+PHS":
                heads = head_selection.top(torch.from_numpy(features.read("roi")), h_on).numpy()
        elif method in ("PHS", "Random heads"):
            if method == "PHS":
                heads, rows = self.heads(h_on, prompt, noise, roi)
            else:
                heads = head_selection.random(len(self), self.model.n_heads, h_on, self.seed).numpy()
            features, stored = self.states(), self.image_row[rows]
        else:
            raise InputError(f"Method {method!r} is unknown: choose one of {', '.join(METHODS)}.")
        parts = []
        for start in range(0, len(stored), TAIL):
            state = self._state(features, stored[start : start + TAIL])
            on = np.ones((len(state), self.model.n_heads), bool) if heads is None else heads[start : start + TAIL]
            parts.append(head_selection.descriptor(self.model, state, on, strategy).cpu().numpy())
        return np.concatenate(parts), rows, heads

    def ranking(self, method, k=100, mode="query-only", **options):
        """The :class:`Ranking` of all queries by one method (not for point prompts, which have many per query)."""
        vectors, rows, heads = self.descriptors(method, **options)
        if len(vectors) != len(self):
            raise InputError("Point prompts give many rankings per query: use score(), which averages them.")
        scores, ids = self._search(vectors, rows, heads, k, mode, options.get("strategy", STRATEGY))
        return Ranking(rows, ids, scores, len(self.set.database))

    def score(self, method, k=100, mode="query-only", **options):
        """MP@k and MAP@k of one method as a :class:`~foir_lib.bench.metrics.FocusResult`.

        Point prompts: each query's scores are first averaged over its window positions.
        """
        if options.get("prompt") != "point":
            return metrics.score(self.ranking(method, k, mode, **options), self.set, k=k)
        vectors, rows, heads = self.descriptors(method, **options)
        # one search per distinct descriptor: positions of one object mostly select the same heads
        identity = np.arange(len(rows)) if heads is None else np.c_[self.image_row[rows], np.packbits(heads, 1)]
        _, first, again = np.unique(identity, axis=0, return_index=True, return_inverse=True)
        some = None if heads is None else heads[first]
        _, found = self._search(vectors[first], rows[first], some, k, mode, options.get("strategy", STRATEGY))
        asked, parts = self.set.queries.iloc[rows], []
        rules = self.set.protocols["contains"]
        for start in range(0, len(rows), TAIL):
            at, ids = slice(start, start + TAIL), found[again.ravel()[start : start + TAIL]]
            relevance = np.stack([np.isin(i, rules.positives(q)) for i, q in zip(ids, rows[at], strict=True)])
            part = metrics.focus_precision(relevance, asked["image_id"].to_numpy()[at], asked["label"].to_numpy()[at], k)
            parts.append(part.per_query.assign(query=rows[at]))
        return metrics.average(_mean_per_query(parts), min(k, len(self.set.database)))

    def _search(self, vectors, rows, heads, k, mode, strategy):
        exclude = self.exclude[rows] if (self.exclude >= 0).any() else None
        database = self.database()
        if mode == "query-only":
            return knn(vectors, database.chunks("descriptor"), k, device=self.model.device, exclude=exclude)
        if mode == "query-db" and heads is not None:
            return query_db.search(self.model, vectors, heads, database, k, strategy, exclude, progress=self.progress)
        raise InputError(f"Mode {mode!r} can't be used here: query-only, or query-db with a head selection.")


def _mean_per_query(parts):
    table = pd.concat(parts)
    grouped = table.groupby("query", sort=True)
    first = grouped[["image_id", "label"]].first()
    return first.join(grouped[["precision", "average_precision"]].mean()).reset_index()
