"""Rows of the tables that judge a memory, in the long format of every table."""

from foir_lib.bench.memory import checks, curves, interactions, reflection, vqa
from foir_lib.bench.memory.connector import Connector, routed
from foir_lib.bench.memory.views import Views, family
from foir_lib.bench.metrics.intervals import against_first, interval
from foir_lib.bench.metrics.scores import Score
from foir_lib.errors import unknown
from foir_lib.memory.reflection import Reflector
from foir_lib.models.text_image import load_text_image


def rows(kind: str, experiment, columns) -> list[dict]:
    """Rows of what a memory is judged by, one of :data:`KINDS`: metric (with the encoder and what is remembered), method (what is compared),
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
            if kind in (VQA, REPLACEMENT, CONNECTOR):
                found[-len(scores)]["note"] = _interval(f"{column.name}, {block}".removesuffix(", "), *scores.values())
    return found


def _interval(name, first, *_):
    """A share and its own interval, as a sentence."""
    (metric,) = first.metrics
    low, high = interval(first, metric)
    return f"{name}, {100 * first.metrics[metric]:.1f} %, 95 % interval {100 * low:.1f} to {100 * high:.1f}"


def _block(encoder, block, scores: dict[str, Score]) -> list[dict]:
    metric = next(iter(next(iter(scores.values())).metrics))
    bounds = {} if block in SHARES else against_first(scores, metric)
    found = []
    for name, one in scores.items():
        row = {"method": SAID.get(name, name), "metric": f"{metric} ({', '.join(filter(None, (encoder, block)))})", "ours": 100 * one.metrics[metric]}
        if name in bounds:
            row |= {"low": 100 * bounds[name].low, "high": 100 * bounds[name].high}
        if block in SHARES:
            row["note"] = _interval(encoder, one)
        found.append(row)
    return found


SAID = {"remembered": "views of remembered things", "right": "known ones by the right name", "new": "views of new things, a third of all", "left out": "views of each thing left out"}
APART, ALIKE, EVERY, NOVEL, ALL = "one of a family", "look-alikes too", "all things", "new things", ""
ROUTES = "whose answer is taken"
SHARES = (NOVEL, ROUTES)  # blocks of shares, of which none is compared with another


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


def _connector(experiment, views, retriever):
    answers, routes = routed(Connector.beside(views, retriever, experiment.corpus.seed), experiment.corpus.seed)
    return {ALL: answers, ROUTES: routes}


def _vqa(experiment, views, retriever):
    """Questions answered by mini-lmm, without and with the connector's names."""
    seed, model = experiment.corpus.seed, load_text_image("mini-lmm", experiment.model.device)
    return vqa.vqa(model, vqa.questions(views, seed=seed), Connector.beside(views, retriever, seed))


def _replacement(experiment, views, retriever):
    """Words in the place of pictures, read by mini-lmm."""
    seed = experiment.corpus.seed
    return vqa.replacement(load_text_image("mini-lmm", experiment.model.device), vqa.questions(views, seed=seed), seed)


REFLECTION, VQA, REPLACEMENT, CONNECTOR = "reflection", "vqa", "replacement", "connector"
KINDS = {"views": _views, "checks": _checks, "learning": _learning, REFLECTION: None, VQA: _vqa, REPLACEMENT: _replacement, CONNECTOR: _connector}
