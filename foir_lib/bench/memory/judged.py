"""Rows of the tables that judge a memory, in the long format of every table."""

from foir_lib.bench.memory import checks, curves, interactions, reflection
from foir_lib.bench.memory.views import Views, family
from foir_lib.bench.metrics.intervals import against_first, interval
from foir_lib.bench.metrics.scores import Score
from foir_lib.errors import unknown
from foir_lib.memory.reflection import Reflector


def rows(kind: str, experiment, columns) -> list[dict]:
    """Rows of what a memory is judged by, "views", "checks", "learning" or "reflection": metric (with the encoder and what is remembered), method (what is compared),
    ours (percent), low and high of the difference to the first method; a share has its own interval as a ``note``."""
    if kind not in KINDS:
        raise unknown("kind of judging", kind, KINDS)
    views, found = Views.of(experiment.corpus), []
    for column in columns:
        if missing := experiment.lacks(column.retriever):
            found.append({"method": column.name, "metric": curves.ACCURACY, "ours": None, "note": missing})
            continue
        if kind == REFLECTION:
            found += _reflection(experiment, views, column)
            continue
        for block, scores in KINDS[kind](experiment, views, column.retriever).items():
            found += _block(column.name, block, scores)
    return found


def _block(encoder, block, scores: dict[str, Score]) -> list[dict]:
    metric = next(iter(next(iter(scores.values())).metrics))
    bounds = {} if block == NOVEL else against_first(scores, metric)
    found = []
    for name, one in scores.items():
        row = {"method": SAID.get(name, name), "metric": f"{metric} ({', '.join(filter(None, (encoder, block)))})", "ours": 100 * one.metrics[metric]}
        if name in bounds:
            row |= {"low": 100 * bounds[name].low, "high": 100 * bounds[name].high}
        if block == NOVEL:
            low, high = interval(one, metric)
            row["note"] = f"{encoder}, {row['ours']:.1f} %, 95 % interval {100 * low:.1f} to {100 * high:.1f}"
        found.append(row)
    return found


SAID = {"remembered": "views of remembered things", "right": "known ones by the right name", "new": "views of new things, a third of all", "left out": "views of each thing left out"}
APART, ALIKE, EVERY, NOVEL, ALL = "one of a family", "look-alikes too", "all things", "new things", ""


def _views(experiment, views, retriever):
    vectors, labels = views.vectors(retriever), set(views.labels)
    blocks = {APART: False, ALIKE: True} if len({family(label) for label in labels}) < len(labels) else {EVERY: True}
    found = {block: curves.after_views(views, vectors, alike, seed=experiment.corpus.seed) for block, alike in blocks.items()}
    return found | {NOVEL: curves.novelty(views, vectors, seed=experiment.corpus.seed)}


def _checks(experiment, views, retriever):
    return {ALL: checks.corrected(views, retriever, seed=experiment.corpus.seed)}


def _learning(experiment, views, retriever):
    return {f"by {kind}": curve for kind, curve in interactions.learning(views, retriever, seed=experiment.corpus.seed).items()}


def _reflection(experiment, views, column) -> list[dict]:
    """Accuracy before and after by mini-lmm, and how well it verifies."""
    reflected = reflection.reflect(views, column.retriever, Reflector("mini-lmm", device=experiment.model.device), seed=experiment.corpus.seed)
    scores, said = reflection.scores(reflected)
    low, high = reflection.verifying(reflected)
    found = _block(column.name, ALL, scores)
    for name, value in said.items():
        row = {"method": "first answers verified", "metric": f"{name} ({column.name})", "ours": 100 * value}
        if name == "balanced accuracy":
            row["note"] = f"{column.name}, {100 * value:.1f} %, 95 % interval {100 * low:.1f} to {100 * high:.1f}"
        found.append(row)
    return found


REFLECTION = "reflection"
KINDS = {"views": _views, "checks": _checks, "learning": _learning, REFLECTION: None}
