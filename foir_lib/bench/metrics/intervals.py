"""How sure a score is: 95 % intervals by a paired bootstrap over independent units, or by the spread over seeds.

Prompts share pictures and queries share landmarks, so queries are not independent, their units are: the pictures or
landmarks that a set names. Each draw takes as many units as there are, with replacement, and computes the metric again
with their counts as weights (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 8 and 13); two
methods meet the same draws. Percentile intervals are somewhat too narrow with few units (of 40, some 93 % hold the truth).
A category none of whose pictures is drawn doesn't count in that draw, which shifts intervals where many categories are rare.
"""

import re
from collections.abc import Hashable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from foir_lib.bench.metrics.scores import Score
from foir_lib.draws import BLOCK, DRAWS, LEVELS, weights
from foir_lib.errors import InputError, count

COLUMNS = {"MP": "precision", "MAP": "average_precision", "mAP": "average_precision"}  # what a metric averages


class Interval(NamedTuple):
    """A 95 % interval; NaN where there is none, since all queries share one unit."""

    low: float
    high: float

    def __str__(self):
        return "no interval from one unit" if np.isnan(self.low) else f"[{self.low:.3g}, {self.high:.3g}]"


class Spread(NamedTuple):
    """Mean over seeds with its 95 % t-interval; one seed has no interval (NaN)."""

    mean: float
    low: float
    high: float


def interval(score: Score, metric: str, draws: int = DRAWS, seed: int = 0) -> Interval:
    """95 % interval of a score's ``metric``: "MP@100", "MAP@100" (mean over the prompts of a picture and category, then
    pictures, then categories) or "mAP ..." (mean over the queries that have positives, i.e. an AP that isn't NaN); or a column of
    ``per_query`` of that name, as those of pixel retrieval (mean over the queries that have a value)."""
    return _between(_resampled(_queries(score, metric), draws, seed))


def difference(
    score: Score, first: Score, metric: str, draws: int = DRAWS, seed: int = 0, relative: bool = False
) -> Interval:
    """95 % interval of ``metric`` of ``score`` minus that of ``first``, on the same draws; ``relative``: of their ratio - 1.

    Raises InputError for scores of other queries, units or positives.
    """
    return against_first({0: first, 1: score}, metric, draws, seed, relative)[1]


def against_first(
    scores: Mapping[Hashable, Score], metric: str, draws: int = DRAWS, seed: int = 0, relative: bool = False
) -> dict[Hashable, Interval]:
    """:func:`difference` of each of several scores to the first one, by their names; the first itself is left out."""
    rows = {name: _queries(score, metric) for name, score in scores.items()}
    (first, base), *others = [(name, _resampled(part, draws, seed)) for name, part in rows.items()]
    same = rows[first].drop(columns="value")
    for name, _ in others:
        if not rows[name].drop(columns="value").equals(same):
            raise InputError(f"Two scores of {metric} are of different queries: compare methods on the same ones.")
    with np.errstate(divide="ignore", invalid="ignore"):
        return {name: _between(values / base - 1 if relative else values - base) for name, values in others}


def spread(values) -> Spread:
    """Mean of a score over seeds (n,) and its 95 % t-interval (n - 1 degrees of freedom)."""
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or not len(values):
        raise InputError(f"A spread needs scores of some seeds in one row, not an array of shape {values.shape}.")
    if len(values) == 1:
        return Spread(float(values[0]), np.nan, np.nan)
    reach = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return Spread(float(values.mean()), float(values.mean() - reach), float(values.mean() + reach))


def of_mean(values: np.ndarray, units: np.ndarray, draws: int = DRAWS, seed: int = 0) -> Interval:
    """95 % interval of the mean of values (n,), as of gains query by query, by drawing their independent ``units`` (n,) anew; NaN of a single unit."""
    rows = pd.DataFrame({"unit": units, "category": "", "picture": np.arange(len(values)), "value": np.asarray(values, dtype=float)})
    return _between(_resampled(rows, draws, seed))


def comparable(rows: pd.DataFrame) -> list[pd.Series]:
    """Data set, model and metric of each score: those that are alike in all three are compared with the first of them.

    A guest, which has no model of ours, counts to the last one before it on its data set.
    """
    ours = rows["model"].mask(rows["model"] == "guest").groupby(rows["dataset"]).ffill()
    return [rows["dataset"], ours.fillna("guest"), rows["metric"]]


def _between(values: np.ndarray) -> Interval:
    """Percentiles of draws (n,), rounded so that what differs by the noise of floats alone counts as equal."""
    return Interval(*(float(bound) for bound in np.percentile(values, LEVELS).round(9) + 0.0))


def _queries(score: Score, metric: str) -> pd.DataFrame:
    """Rows by query: unit, category, picture and value of the queries that count."""
    kind = re.match("|".join(COLUMNS), metric)
    table, own = score.per_query, metric in score.per_query
    if not (kind or own):
        raise InputError(f"There is no interval of {metric!r}: known are {', '.join(COLUMNS)}.")
    column = metric if own else COLUMNS[kind.group()]
    if missing := {"query", "unit", "label", "image_id", column} - set(table):
        raise InputError(f"Scores of single queries lack the column {min(missing)!r}: an interval needs it.")
    rows = table.set_index("query")[["unit", "label", "image_id", column]].sort_index()
    rows.columns = ["unit", "category", "picture", "value"]
    if own or kind.group() == "mAP":  # every query counts alike
        rows = rows.assign(category="", picture=rows.index)
    return rows.dropna(subset="value")


def _resampled(rows: pd.DataFrame, draws: int, seed: int) -> np.ndarray:
    """The metric of :func:`_queries` in each draw (draws,); NaN of a single unit."""
    pairs = rows.groupby(["unit", "category", "picture"])["value"].mean().groupby(["unit", "category"])
    sums, sizes = (part.unstack(fill_value=0).to_numpy(dtype=float) for part in (pairs.sum(), pairs.size()))
    if len(sums) < 2:
        return np.full(count(draws, "draws"), np.nan)
    counts, values = weights(len(sums), count(draws, "draws"), seed), []
    for start in range(0, draws, BLOCK):
        drawn = counts[start : start + BLOCK].astype(float)
        with np.errstate(invalid="ignore"):  # a category none of whose units was drawn doesn't count in that draw
            values.append(np.nanmean((drawn @ sums) / (drawn @ sizes), axis=1))
    return np.concatenate(values)
