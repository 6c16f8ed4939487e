"""Rows of the tables that judge a memory, in the long format of every table."""

from foir_lib.bench.memory import checks, curves, interactions
from foir_lib.bench.memory.views import Views
from foir_lib.bench.metrics.intervals import against_first, interval
from foir_lib.bench.metrics.scores import Score
from foir_lib.errors import unknown


def rows(kind: str, experiment, columns) -> list[dict]:
    """Rows of what a memory is judged by, "views", "checks" or "learning": method, metric, ours (percent), low and high of the difference to the
    first of its block (of the block's own value where there is no first to compare with)."""
    if kind not in KINDS:
        raise unknown("kind of judging", kind, KINDS)
    views, found = Views.of(experiment.corpus), []
    for column in columns:
        if missing := experiment.lacks(column.retriever):
            found.append({"method": column.name, "metric": curves.ACCURACY, "ours": None, "note": missing})
            continue
        for block, scores in KINDS[kind](experiment, views, column.retriever).items():
            found += _block(column.name, block, scores)
    return found


def _block(method, block, scores: dict[str, Score]) -> list[dict]:
    metric = next(iter(next(iter(scores.values())).metrics))
    first, *others = scores
    paired = block != NOVEL and others and len({len(one.per_query) for one in scores.values()}) == 1
    bounds = against_first(scores, metric) if paired else {name: interval(one, metric) for name, one in scores.items()}
    return [
        {"method": f"{method}, {block}: {name}", "metric": metric, "ours": 100 * one.metrics[metric]}
        | ({} if name not in bounds else {"low": 100 * bounds[name].low, "high": 100 * bounds[name].high})
        for name, one in scores.items()
    ]


APART, ALIKE, NOVEL = "one of a family", "look-alikes too", "what is called known"


def _views(experiment, views, retriever):
    vectors = views.vectors(retriever)
    found = {block: curves.after_views(views, vectors, alike, seed=experiment.corpus.seed) for block, alike in ((APART, False), (ALIKE, True))}
    return found | {NOVEL: curves.novelty(views, vectors, seed=experiment.corpus.seed)}


def _checks(experiment, views, retriever):
    return {"unsure answers": checks.corrected(views, retriever, seed=experiment.corpus.seed)}


def _learning(experiment, views, retriever):
    return {f"by {kind}": curve for kind, curve in interactions.learning(views, retriever, seed=experiment.corpus.seed).items()}


KINDS = {"views": _views, "checks": _checks, "learning": _learning}
