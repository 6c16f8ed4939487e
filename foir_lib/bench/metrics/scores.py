"""Scores of a ranking under each protocol of its set: the metrics as fractions, and the values of every query behind them."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from foir_lib.bench.metrics.focus import average, focus_precision
from foir_lib.bench.metrics.mean_ap import mean_average_precision
from foir_lib.errors import InputError
from foir_lib.search.ranking import Ranking

NAMES = {"classic": "mAP", "retrieval": "mAP@100"}  # protocol -> metric, where it isn't "mAP <protocol>"


@dataclass(frozen=True)
class Score:
    """``metrics``: name -> value in [0, 1] ("MP@100", "MAP@100", or "mAP medium").

    per_query: query, image_id, label, n_objects, unit (what is drawn anew in a bootstrap) and, of MP and MAP, precision and
    average_precision, of mAP average_precision (NaN without positives). ``k``: depth of the lists that counted.
    """

    metrics: dict[str, float]
    per_query: pd.DataFrame
    k: int

    @property
    def mp(self) -> float:
        """MP@k of a focus-oriented protocol."""
        return self.metrics[f"MP@{self.k}"]

    @property
    def map(self) -> float:
        """MAP@k, or the mAP."""
        return list(self.metrics.values())[-1]

    @property
    def per_category(self) -> pd.DataFrame:
        """label, n_images, n_queries, precision, average_precision."""
        return average(self.per_query, self.k).per_category


def scored(ranking: Ranking, retrieval_set, k: int = 100) -> dict[str, Score]:
    """The :class:`Score` of a ranking under each protocol that a query has positives in; clicks are averaged for each query."""
    rows, scores = ranking.query_rows, {}
    queries = retrieval_set.queries
    about = queries.loc[:, ["image_id", "label"]].assign(query=np.arange(len(queries)), unit=retrieval_set.units)
    about["n_objects"] = about["image_id"].map({i: retrieval_set.n_objects(i) for i in about["image_id"].unique()})
    for name, protocol in retrieval_set.protocols.items():
        if not any(len(protocol.positives(query)) for query in range(len(protocol.groups))):
            continue
        prompts = replace(protocol, groups=tuple(protocol.groups[q] for q in rows), own=protocol.own[rows])
        if protocol.metric == "focus":
            scores[name] = _focus(ranking, prompts, about, k)
        else:
            aps = mean_average_precision(ranking.ids, prompts).average_precision
            per_query = _per_query(pd.DataFrame({"query": rows, "average_precision": aps}), about)
            scores[name] = Score({metric_of(name): float(per_query["average_precision"].mean())}, per_query, ranking.ids.shape[1])
    if not scores:
        raise InputError(f"No query of {retrieval_set.name} has positives: nothing can be scored.")
    return scores


def metric_of(protocol: str) -> str:
    """What the mAP under a protocol of that name is called."""
    return NAMES.get(protocol, f"mAP {protocol}")


def _focus(ranking, prompts, about, k):
    ids = ranking.ids[:, :k]
    if ids.shape[1] < min(k, ranking.n_database - 1):  # one may be the query itself
        raise InputError(f"The ranking has {ids.shape[1]} of {ranking.n_database} images per query: search with k={k}.")
    asked = about.iloc[ranking.query_rows]
    result = focus_precision(prompts.relevance(ids), asked["image_id"].to_numpy(), asked["label"].to_numpy(), k)
    per_query = _per_query(result.per_query.drop(columns=["image_id", "label"]).assign(query=ranking.query_rows), about)
    means = average(per_query, result.k)
    return Score({f"MP@{result.k}": means.mp, f"MAP@{result.k}": means.map}, per_query, result.k)


def _per_query(values, about):
    """Values of prompts as means of each query, with what is known of the queries."""
    means = values.groupby("query", sort=True).mean().reset_index()
    return about.merge(means, on="query").reset_index(drop=True)
