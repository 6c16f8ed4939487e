"""What reflection is set against (thesis 3.2): the image-text model names the thing itself, from a list, step by step, by rank, label by label.

To name is to choose one of n labels, by chance right once in n; a yes or no is right once in two by chance. Shares of right names and of
right yes and no don't compare; what each way of asking does to the accuracy on the same views does.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from foir_lib.bench.memory.curves import ACCURACY
from foir_lib.bench.memory.reflection import VIEWS, Reflected, drawn
from foir_lib.bench.memory.views import Views, score
from foir_lib.bench.memory.vqa import plain
from foir_lib.bench.metrics.scores import Score
from foir_lib.errors import InputError
from foir_lib.memory import control
from foir_lib.memory.recogniser import CANDIDATES, seen
from foir_lib.memory.reflection import Reflector
from foir_lib.methods.memory.reflection import CHOOSE, RANK, STEPS, WHAT

SAMPLE = 80  # views that ask, drawn with the seed: each of them asks for every label
CUTS = (100, 20)  # labels that stay, the true one among them, where there are more


class Way(NamedTuple):
    """``question`` with {names} for the list; the answer, of ``words`` at most, is the first label that it names, or the ``last``."""

    question: str
    words: int = 20
    last: bool = False


WAYS = {
    "model names alone, without a list": Way(WHAT),
    "model names alone, from a list": Way(CHOOSE),
    "model names alone, from a list, step by step": Way(STEPS, 60, last=True),  # what it concludes
    "model ranks the list": Way(RANK),
}
EACH = "model, probability of each label"  # by the log-odds of yes to each


class Line(NamedTuple):
    """A score, None where nobody can be asked, and what is to be said of it."""

    score: Score | None
    note: str = ""


def match(answer: str, names: Sequence[str], last: bool = False) -> int:
    """Which of ``names`` an answer holds word by word: the first that it names, or the ``last``; of two that begin together the longer;
    -1 for none."""
    spelt = [plain(name) for name in names]
    some = "|".join(re.escape(name) for name in sorted(filter(None, spelt), key=len, reverse=True))
    held = re.findall(rf"(?<!\S)(?:{some})(?!\S)", plain(answer)) if some else []
    return spelt.index(held[-1 if last else 0]) if held else -1


def cut(truth: np.ndarray, n: int, k: int, rng: np.random.Generator) -> np.ndarray:
    """(m, k) of n labels in random order for each of ``truth`` (m,), the true one always among them."""
    others = [rng.permutation(np.delete(np.arange(n), true))[: k - 1] for true in truth]
    return np.array([rng.permutation(np.r_[true, some]) for true, some in zip(truth, others, strict=True)], int).reshape(len(truth), k)


def named(views: Views, retriever, reflector: Reflector, reflected: Reflected, alike=True, n_views: int = VIEWS, seed: int = 0) -> dict[str, dict[str, Line]]:
    """Views and labels -> who names -> :class:`Line`: the encoder and ``reflected`` (of the same arguments), then the model in each of WAYS and by
    EACH; on SAMPLE of the views, with all labels and with each of CUTS. Units: things."""
    one, rng, vectors = drawn(views, alike, n_views, seed), np.random.default_rng([seed, 4]), views.vectors(retriever)
    at = np.sort(rng.permutation(len(one.tests))[:SAMPLE])
    tests, truth, labels, n = one.tests[at], one.truth[at], one.labels, len(one.labels)
    order = control.first(vectors[tests] @ vectors[one.rows].T, one.owners, n).things
    looks = [seen(views.picture(row), views.box(row)) for row in tests]
    odds = np.array([reflector.verify(look, labels.tolist()) for look in looks], float)
    here = replace(reflected, truth=labels[truth], sure=reflected.sure[at], unsure=reflected.unsure[at], rows=tests)
    lines = {}
    for k in (n, *(k for k in CUTS if k < n)):
        choices = cut(truth, n, k, rng)
        best = np.array([row[np.isin(row, few)][:CANDIDATES] for row, few in zip(order, choices, strict=True)])
        checked = replace(here, names=labels[best], odds=np.take_along_axis(odds, best, 1))
        block = f"{len(at)} views" + (f", labels cut to {k}" if k < n else "")
        lines[block] = _checked(checked, reflected.controlled()[at]) | _alone(reflector, looks, labels[choices], labels[truth])
        lines[block][EACH] = _each(np.take_along_axis(odds, choices, 1), labels[choices], labels[truth])
    return lines


def _checked(reflected, unsure):
    """The encoder's lines, without and with reflection."""
    right = {
        "encoder alone": reflected.first,
        "reflection on all": reflected.reflected(np.ones(len(unsure), bool)),
        "reflection where unsure": reflected.reflected(unsure),
    }
    return {name: Line(score(ACCURACY, values, reflected.truth)) for name, values in right.items()}


def _alone(reflector, looks, choices, truth):
    """The lines of the model's own words, ``choices`` (m, k) of labels for each look."""
    lines = {}
    for name, way in WAYS.items():
        questions = [way.question.format(names=", ".join(some)) for some in choices]
        try:
            reflector.model.check_length(looks[0], max(questions, key=len), way.words)
        except InputError as error:
            lines[name] = Line(None, f"with {choices.shape[1]} labels: {error}".rstrip("."))
            continue
        said = [reflector.say(look, question, way.words) for look, question in zip(looks, questions, strict=True)]
        rows = np.array([match(answer, some, way.last) for answer, some in zip(said, choices, strict=True)])
        lacking = ", ".join(dict.fromkeys(word.strip(" ,.?") for word in reflector.model.lacks(way.question.format(names=""))))
        lines[name] = _line(rows, choices, truth, f"unknown words: {lacking}" if lacking.strip(", ") else "")
    return lines


def _each(odds, choices, truth):
    """The line of the likeliest label, by ``odds`` (m, k) of yes to each."""
    rows = np.where(np.isnan(odds).all(1), -1, np.nan_to_num(odds, nan=-np.inf).argmax(1))
    unknown = len(np.unique(choices[np.isnan(odds)]))
    return _line(rows, choices, truth, f"{unknown} labels have unknown words" if unknown else "")


def _line(rows, choices, truth, *said):
    """Names ``rows`` (m,) of ``choices`` (m, k), -1 for none, as a line."""
    right = (rows >= 0) & (choices[np.arange(len(rows)), rows] == truth)
    none = f"{(rows < 0).sum()} of {len(rows)} answers name no label" if (rows < 0).any() else ""
    return Line(score(ACCURACY, right, truth), "; ".join(filter(None, (f"by chance {100 / choices.shape[1]:.1f} %", none, *said))))
