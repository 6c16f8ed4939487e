"""Rows of the tables that judge a memory, in the long format of every table."""

import numpy as np

from foir_lib.bench.memory import change, checks, curves, growth, interactions, naming, reflection, vqa
from foir_lib.bench.memory.connector import ROUTED, Connector, routed
from foir_lib.bench.memory.views import Views, family
from foir_lib.bench.metrics.intervals import against_first, difference, interval
from foir_lib.bench.metrics.scores import Score
from foir_lib.errors import unknown
from foir_lib.memory.consistency import Properties, Semantic, default_checks
from foir_lib.memory.gate import Agreement
from foir_lib.memory.reflection import Reflector
from foir_lib.models.text_image import load_text_image


def rows(kind: str, experiment, columns) -> list[dict]:
    """Rows of what a memory is judged by, one of KINDS: metric (with the encoder and what is remembered), method (what is compared),
    ours (percent), low and high of the difference to the first method; a share has its own interval as a ``note``."""
    if kind not in KINDS:
        raise unknown("kind of judging", kind, KINDS)
    views, found = Views.of(experiment.corpus), []
    for column in columns:
        if missing := experiment.lacks(column.retriever):
            found.append({"method": column.name, "metric": curves.ACCURACY, "ours": None, "note": missing})
        else:
            found += KINDS[kind](experiment, views, column)
    return found


def _block(encoder, block, scores: dict[str, Score]) -> list[dict]:
    """A line for each score, with the interval of its difference to the first; shares have their own in a note."""
    metric = next(iter(next(iter(scores.values())).metrics))
    bounds = {} if metric in SHARES else against_first(scores, metric)
    found = []
    for name, one in scores.items():
        row = {"method": SAID.get(name, name), "metric": f"{metric} ({', '.join(filter(None, (encoder, block)))})", "ours": 100 * one.metrics[metric]}
        if name in bounds:
            row |= {"low": 100 * bounds[name].low, "high": 100 * bounds[name].high}
        if metric in SHARES:
            row["note"] = _interval(encoder, block if block != NOVEL else "", one)
        found.append(row)
    return found


def _interval(encoder, block, one: Score) -> str:
    """A share and its own interval, as a sentence."""
    (metric,) = one.metrics
    return _said(", ".join(filter(None, (encoder, block))), one.metrics[metric], *interval(one, metric))


def _said(about, share, low, high) -> str:
    """What is the share of what, with its interval, where there is one."""
    return f"{about}, {100 * share:.1f} %" + ("" if np.isnan(low) else f", 95 % interval {100 * low:.1f} to {100 * high:.1f}")


def _shares(encoder, blocks: dict[str, dict[str, Score]]) -> list[dict]:
    """Blocks whose first line has its own interval in a note."""
    found = []
    for block, scores in blocks.items():
        found += _block(encoder, block, scores)
        found[-len(scores)]["note"] = _interval(encoder, block, next(iter(scores.values())))
    return found


SAID = {"remembered": "views of remembered things", "right": "known ones by the right name", "new": "views of new things, a third of all", "left out": "views of each thing left out"}
APART, ALIKE, EVERY, NOVEL, ALL = "one of a family", "look-alikes too", "all things", "new things", ""
UNSAID = "nobody says a property, so that it says nothing"
ROUTES = "whose answer is taken"
SHARES = (curves.KNOWN, growth.WRONG, checks.RIGHT, checks.SPOILT, ROUTED)  # metrics that compare nothing


def _views(experiment, views, column):
    vectors, labels, seed = views.vectors(column.retriever), set(views.labels), experiment.corpus.seed
    blocks = {APART: False, ALIKE: True} if len({family(label) for label in labels}) < len(labels) else {EVERY: True}
    found = [row for block, alike in blocks.items() for row in _block(column.name, block, curves.after_views(views, vectors, alike, seed=seed))]
    return found + _block(column.name, NOVEL, curves.novelty(views, vectors, seed=seed))


def _checks(experiment, views, column):
    """Accuracy by each check and all, and what each puts right and spoils; the semantic one by mini-lmm, which asks for what it has words for."""
    some = _every_check(experiment)
    scores = checks.corrected(views, column.retriever, some, seed=experiment.corpus.seed)
    found = _block(column.name, ALL, scores)
    if mute := _mute(some[-1], views):
        found[-2]["note"] = f"{column.name}, {mute}"
    return found + [row for shares in checks.turned(scores).values() if shares for row in _block(column.name, ALL, shares)]


def _every_check(experiment):
    """Those that need no model, then the semantic one by mini-lmm."""
    return [*default_checks(), Semantic(Reflector("mini-lmm", device=experiment.model.device))]


def _mute(semantic, views):
    """Why the semantic check says nothing of a set's names, or ""."""
    return "" if any(semantic.words(label) for label in set(views.labels)) else "mini-lmm has no words for these names, so that it says nothing"


def _learning(experiment, views, column):
    kinds = [kind for kind in interactions.KINDS if kind != "mask" or views.masked]
    found = interactions.learning(views, column.retriever, kinds, seed=experiment.corpus.seed)
    return [row for kind, curve in found.items() for row in _block(column.name, f"by {kind}", curve)]


def _learning_checks(experiment, views, column):
    """Accuracy after interactions by box, without and with each check; against no check after as many, in a note."""
    some, found = _every_check(experiment), []
    some = [check for check in some if check is not some[-1] or not _mute(check, views)]
    curves_by = checks.learned(views, column.retriever, some, seed=experiment.corpus.seed)
    plain = curves_by[checks.NONE]
    for name, curve in curves_by.items():
        block = _block(column.name, f"by box, {name}", curve)
        for row, (after, one) in zip(block, curve.items(), strict=True):
            if name != checks.NONE:
                row["note"] = f"{column.name}, {name}, {UNSAID if name.startswith(Properties.name) else _against(one, plain[after])}"
        found += block
    return found


def _against(one: Score, plain: Score) -> str:
    """What a check changes, as a sentence."""
    (metric,) = one.metrics
    if one.per_query[metric].equals(plain.per_query[metric]):
        return "no answer is made right or wrong"
    low, high = difference(one, plain, metric)
    return f"{100 * (one.metrics[metric] - plain.metrics[metric]):+.1f} against no check, 95 % interval {100 * low:.1f} to {100 * high:.1f}"


def _growth(experiment, views, column):
    """Accuracy and machine views that are wrong, by what passes by; where families are remembered, look-alikes too."""
    vectors, agreement, found = views.vectors(column.retriever), Agreement(views.crop), []
    alike = len({family(label) for label in views.labels}) < len(set(views.labels))
    for passes in (growth.STRANGERS, growth.LOOKALIKES, growth.REMEMBERED) if alike else (growth.STRANGERS,):
        block = f"{passes} pass by" if passes != growth.REMEMBERED else "all are remembered"
        grown = growth.growth(views, vectors, passes, agreement, seed=experiment.corpus.seed)
        found += _block(column.name, block, growth.filled(grown.accuracy))
        ends = grown.table.set_index("name")["stopped"]
        for row in _block(column.name, block, grown.wrong) if grown.wrong else ():
            found.append(row | {"note": row["note"] + ("; taken back, growth ends" if ends[row["method"]] else "")})
    return found


def _reflection(experiment, views, column) -> list[dict]:
    """Accuracy before and after by mini-lmm, how well it verifies, and how well it names by itself."""
    reflector, seed = Reflector("mini-lmm", device=experiment.model.device), experiment.corpus.seed
    reflected = reflection.reflect(views, column.retriever, reflector, seed=seed)
    scores, said = reflection.scores(reflected)
    low, high = reflection.verifying(reflected)
    found = _block(column.name, ALL, scores)
    for name, value in said.items():
        row = {"method": "first answers verified", "metric": f"{name} ({column.name})", "ours": 100 * value}
        if name == "balanced accuracy":
            row["note"] = _said(column.name, value, low, high)
        found.append(row)
    return found + _named(column.name, naming.named(views, column.retriever, reflector, reflected, seed=seed))


def _named(encoder, blocks: dict[str, dict[str, naming.Line]]) -> list[dict]:
    """Blocks of naming, each line with its own interval in a note; one that nobody can be asked for has the reason there."""
    found = []
    for block, lines in blocks.items():
        rows = _block(encoder, block, {name: line.score for name, line in lines.items() if line.score})
        rows += [{"method": name, "metric": rows[0]["metric"], "ours": None} for name, line in lines.items() if not line.score]
        for row in rows:
            line = lines[row["method"]]
            row["note"] = "; ".join(filter(None, (line.score and _interval(encoder, block, line.score), line.note)))
        found += rows
    return found


def _change(experiment, views, column):
    """Accuracy under both conditions by each learner; what it took, in a note."""
    changed, found = change.change(views, column.retriever, seed=experiment.corpus.seed), []
    for (learner, condition), scores in changed.accuracy.items():
        found += _block(f"{column.name}, {learner}", f"{condition} condition", scores)
        if condition == "new":
            took = ", ".join(f"{one:.2f}" for one in changed.seconds[learner].values())
            found[-1]["note"] = f"{column.name}, {learner}: {took} s to learn and answer, by new views"
    return found


def _connector(experiment, views, column):
    answers, routes = routed(Connector.beside(views, column.retriever, experiment.corpus.seed), experiment.corpus.seed)
    return _shares(column.name, {ALL: answers, ROUTES: routes})


def _vqa(experiment, views, column):
    """Questions answered by mini-lmm, without and with the connector's names."""
    seed, model = experiment.corpus.seed, load_text_image("mini-lmm", experiment.model.device)
    return _shares(column.name, vqa.vqa(model, vqa.questions(views, seed=seed), Connector.beside(views, column.retriever, seed)))


def _replacement(experiment, views, column):
    """Words in the place of pictures, read by mini-lmm."""
    seed = experiment.corpus.seed
    return _shares(column.name, vqa.replacement(load_text_image("mini-lmm", experiment.model.device), vqa.questions(views, seed=seed), seed))


KINDS = {
    "views": _views, "checks": _checks, "learning": _learning, "learning-checks": _learning_checks, "growth": _growth, "change": _change,
    "reflection": _reflection, "connector": _connector, "vqa": _vqa, "replacement": _replacement,
}  # fmt: skip
