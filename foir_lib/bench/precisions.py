"""What computing in fewer bits does to rankings: the score's difference with its interval, and how far two lists agree."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from foir_lib.bench.experiment import Experiment
from foir_lib.bench.metrics.intervals import against_first
from foir_lib.search.ranking import Ranking


def compared(
    retrieval_set, load: Callable[[str], object], retriever: str = "CBIR", precisions: Sequence[str] = ("fp32", "bf16", "fp16"), k: int = 10, **options
) -> pd.DataFrame:
    """One method under the set's protocols with a network in several precisions; the first is what the others are compared with.

    ``load(precision)``: the network; ``options``: of :class:`Experiment`. Columns: precision, metric, score (percent), difference
    to the first and its 95 % interval (low, high; percentage points), "same first" and "same": percent of the queries whose first
    result is the same, and of the first ``k`` results that are among the first ``k`` of the first precision.
    """
    scores, rankings = {}, {}
    for precision in precisions:
        experiment = Experiment(retrieval_set, load(precision), **options)
        rankings[precision], scores[precision] = experiment.ranking(retriever), experiment.score(retriever)
    base, rows = precisions[0], []
    for protocol in scores[base]:
        for metric in scores[base][protocol].metrics:
            one = {precision: scores[precision][protocol] for precision in precisions}
            bounds = against_first(one, metric) if len(precisions) > 1 else {}
            for precision in precisions:
                ours, first = (100 * one[name].metrics[metric] for name in (precision, base))
                low, high = bounds.get(precision, (np.nan, np.nan))
                row = {"precision": precision, "metric": metric, "score": ours, "difference": ours - first, "low": 100 * low, "high": 100 * high}
                rows.append(row | agreement(rankings[precision], rankings[base], k))
    return pd.DataFrame(rows)


def agreement(ranking: Ranking, other: Ranking, k: int) -> dict[str, float]:
    """How far two rankings of the same queries agree, in percent: "same first", and "same" of the first ``k`` results, in any order."""
    pairs = list(zip(ranking.ids[:, :k], other.ids[:, :k], strict=True))
    same = [len(np.intersect1d(a, b)) / len(a) for a, b in pairs]
    return {"same first": 100 * float(np.mean([a[0] == b[0] for a, b in pairs])), "same": 100 * float(np.mean(same))}
