"""Scores of a ranking under each protocol of its set: the metrics as fractions, and the values of every query behind them."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from foir_lib.bench.metrics.focus import average, focus_precision
from foir_lib.bench.metrics.mean_ap import mean_average_precision
from foir_lib.data import RetrievalSet
from foir_lib.errors import InputError, unknown
from foir_lib.search.ranking import Ranking

NAMES = {"classic": "mAP", "instances": "mAP", "instances@1000": "mAP@1k", "retrieval": "mAP@100"}  # protocol -> metric, where it isn't "mAP <protocol>"


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


def scored(ranking: Ranking, retrieval_set: RetrievalSet, k: int = 100) -> dict[str, Score]:
    """:func:`score` under each protocol that a query has positives in; InputError if there is none."""
    protocols = retrieval_set.protocols.items()
    known = [name for name, rules in protocols if any(len(rules.positives(q)) for q in range(len(rules.groups)))]
    if not known:
        raise InputError(f"No query of {retrieval_set.name} has positives: nothing can be scored.")
    return {name: score(ranking, retrieval_set, name, k) for name in known}


def score(ranking: Ranking, retrieval_set: RetrievalSet, protocol: str = "contains", k: int = 100) -> Score:
    """The :class:`Score` of a ranking under a protocol of its set; clicks are averaged for each query.

    Raises InputError for an unknown protocol, a focus-oriented one that ignores images, a ranking of another set, and one
    cut off before ``k``.
    """
    if protocol not in retrieval_set.protocols:
        raise unknown(f"protocol of {retrieval_set.name}", protocol, retrieval_set.protocols)
    rows, queries, rules = ranking.query_rows, retrieval_set.queries, retrieval_set.protocols[protocol]
    if rows.max() >= len(queries) or ranking.n_database != len(retrieval_set.database):
        what = f"{retrieval_set.name} with {len(retrieval_set.database)} images and {len(queries)} queries"
        raise InputError(f"The ranking is of {ranking.n_database} images and query rows up to {rows.max()}, not of {what}.")
    about = queries.loc[:, ["image_id", "label"]].assign(query=np.arange(len(queries)), unit=retrieval_set.units)
    about["n_objects"] = about["image_id"].map({i: retrieval_set.n_objects(i) for i in about["image_id"].unique()})
    prompts = replace(rules, groups=tuple(rules.groups[q] for q in rows), own=rules.own[rows])
    if rules.metric == "focus":
        if any(len(ignored) for ignored in rules.ignored.values()):
            raise InputError(f"Protocol {protocol!r} ignores images, unknown to P@k: give it the metric mAP.")
        return _focus(ranking, prompts, about, k)
    aps = mean_average_precision(ranking.ids, prompts).average_precision
    per_query = _per_query(pd.DataFrame({"query": rows, "average_precision": aps}), about)
    return Score({metric_of(protocol): float(per_query["average_precision"].mean())}, per_query, ranking.ids.shape[1])


def metric_of(protocol: str) -> str:
    """What the mAP under a protocol of that name is called."""
    return NAMES.get(protocol, f"mAP {protocol}")


def _focus(ranking, prompts, about, k):
    ids = ranking.ids[:, :k]
    if ids.shape[1] < min(k, ranking.n_database - 1):  # one may be the query itself
        raise InputError(f"The ranking has {ids.shape[1]} of {ranking.n_database} images per query: search with k={k}.")
    ranked = about.iloc[ranking.query_rows]
    result = focus_precision(prompts.relevance(ids), ranked["image_id"].to_numpy(), ranked["label"].to_numpy(), k)
    per_query = _per_query(result.per_query.drop(columns=["image_id", "label"]).assign(query=ranking.query_rows), about)
    means = average(per_query, result.k)
    return Score({f"MP@{result.k}": means.mp, f"MAP@{result.k}": means.map}, per_query, result.k)


def _per_query(values, about):
    """Values of prompts as means of each query, with what is known of the queries."""
    means = values.groupby("query", sort=True).mean().reset_index()
    return about.merge(means, on="query").reset_index(drop=True)
