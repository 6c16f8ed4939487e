"""The controller: thresholds of a memory, learned from its own views by leaving each out, and which encoder's answer counts.

The thesis prints no thresholds. Ours are learned from what humans said, and named here:

    leave one view out   a view asks all views on other pictures: is the best thing the right one?
    leave one thing out  a view asks all views of other things: whatever is best there is wrong, the thing is *new*

A logistic model of (best score, margin to the second thing) of both gives the confidence p that the best thing is right. A thing is
*known* from the confidence on that at most NEW_AS_KNOWN of the new ones reach, *new* below the one that all but MISSED of the right ones
reach, else *unsure*.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats
from sklearn.linear_model import LogisticRegression

NEW_AS_KNOWN = 0.01  # of new things left out, called known: far below the 5 % that are promised of others
MISSED = 0.02  # of known things, called new
LEAST = 8  # right answers, and wrong or new ones, from which a confidence can be learned
SAMPLE, FEW = 2000, 500  # views that ask, drawn with a seed: at most, and at least of a memory so large that it would take minutes
SCORES = 50_000_000  # that are computed in some seconds
CELLS = 5_000_000  # scores in memory at a time: some 200 MB with what is made of them
START = (0.9, 0.05, 0.6)  # before that: score and margin from which a thing is known, score below which it is new


@dataclass(frozen=True)
class First:
    """First answers to m regions: ``things`` (m, n) rows of things, best first, -1 for none; ``scores`` (m, n) their best views' cosines,
    -1 for none; ``views`` (m, n) those views' rows."""

    things: np.ndarray
    scores: np.ndarray
    views: np.ndarray

    @property
    def features(self) -> np.ndarray:
        """(m, 2): the best score, and how far it is above the second thing's (or above 0)."""
        second = np.maximum(self.scores[:, 1], 0.0) if self.scores.shape[1] > 1 else np.zeros(len(self.scores))
        return np.stack([self.scores[:, 0], self.scores[:, 0] - second], 1)


def first(scores: np.ndarray, owners: np.ndarray, n: int = 5) -> First:
    """The ``n`` best things by their best view of ``scores`` (m, v), cosines to v views of things ``owners`` (v,), rows from 0.

    Views that don't count have the score -inf.
    """
    n_things = int(owners.max(initial=-1)) + 1
    order = np.argsort(owners, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(owners[order]) > 0]) if len(owners) else np.zeros(0, int)
    best = np.full((len(scores), n_things), -np.inf)
    if len(owners):
        best[:, owners[order][starts]] = np.maximum.reduceat(scores[:, order], starts, axis=1)
    n = min(n, n_things)
    things = np.argsort(-best, axis=1, kind="stable")[:, :n]
    values = np.take_along_axis(best, things, 1)
    views = np.zeros(things.shape, int)
    for place in range(n):
        views[:, place] = np.where(owners[None] == things[:, place, None], scores, -np.inf).argmax(1) if len(owners) else 0
    none = ~np.isfinite(values)
    return First(np.where(none, -1, things), np.where(none, -1.0, values), np.where(none, -1, views))


@dataclass(frozen=True)
class Trial:
    """What leaving out says: first answers with the own view left out and with the own thing left out, ``rows`` (m,) of the views that
    asked, ``truth`` (m,) their things, ``again`` (m,) bool: whether the thing has a view on another picture."""

    rows: np.ndarray
    truth: np.ndarray
    known: First
    new: First
    again: np.ndarray

    @property
    def right(self) -> np.ndarray:
        """(m,) whether the best thing is the right one; False where it can't be."""
        return (self.known.things[:, 0] == self.truth) & self.again


def leave_out(vectors: np.ndarray, owners: np.ndarray, pictures: np.ndarray, said: np.ndarray, n: int = 5, seed: int = 0) -> Trial:
    """The :class:`Trial` of v views: unit vectors (v, d), owners (v,) rows of things, pictures (v,) labels, said (v,) bool: by a human.

    Views on the same picture are left out together. At most SAMPLE views of humans ask, drawn with ``seed``; of a large memory fewer.
    """
    rows, most = np.flatnonzero(said), max(FEW, min(SAMPLE, SCORES // max(len(vectors), 1)))
    if len(rows) > most:
        rows = np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))
    known, new, again = [], [], []
    for some in np.array_split(rows, max(1, len(rows) * len(vectors) // CELLS)):
        scores = (vectors[some] @ vectors.T).astype(np.float64)
        here, own = pictures[some, None] == pictures[None], owners[some, None] == owners[None]
        known.append(first(np.where(here, -np.inf, scores), owners, n))
        new.append(first(np.where(own, -np.inf, scores), owners, n))
        again.append((own & ~here).any(1))
    return Trial(rows, owners[rows], joined(known), joined(new), np.concatenate(again))


def joined(parts: Sequence[First]) -> First:
    """First answers one after another."""
    return First(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("things", "scores", "views")))


@dataclass(frozen=True)
class Thresholds:
    """Confidence and verdict of a first answer. ``weights`` (bias, score, margin), or None before there is enough to learn from."""

    weights: tuple[float, float, float] | None
    known: float
    new: float
    n: int

    def confidence(self, answers: First) -> np.ndarray:
        """(m,) the confidence that the best thing is right, 0 where there is none."""
        x = answers.features
        if self.weights is None:
            p = np.where(x[:, 0] < START[2], 0.0, np.clip(np.minimum(x[:, 0] / START[0], x[:, 1] / START[1]) / 2, 0.01, 1.0))
        else:
            bias, *weights = self.weights
            p = 1 / (1 + np.exp(-np.clip(bias + x @ np.array(weights), -500, 500)))
        return np.where(answers.things[:, 0] < 0, 0.0, p)

    def verdicts(self, answers: First) -> np.ndarray:
        """(m,) "known", "unsure" or "new"."""
        p = self.confidence(answers)
        return np.where(p >= self.known, "known", np.where(p < self.new, "new", "unsure"))

    def __str__(self) -> str:
        if self.weights is None:
            return f"not learned yet ({self.n} views): a first guess, known from a score of {START[0]} and a margin of {START[1]} on"
        return f"learned from {self.n} views: known from a confidence of {self.known:.2f} on, new below {self.new:.2f}"


def learn(trial: Trial) -> Thresholds:
    """The :class:`Thresholds` of a memory. Without LEAST right answers and as many wrong or new ones: those of START."""
    if not trial.known.things.size:
        return Thresholds(None, 0.5, 0.005, 0)
    answered = trial.again & (trial.known.things[:, 0] >= 0)
    others = trial.new.things[:, 0] >= 0
    x = np.concatenate([trial.known.features[answered], trial.new.features[others]])
    y = np.concatenate([trial.right[answered], np.zeros(others.sum(), bool)])
    if min(y.sum(), (~y).sum()) < LEAST:
        start = Thresholds(None, 0.5, 0.005, len(trial.rows))
        return replace(start, known=max(0.5, _above(start.confidence(trial.new)[others]))) if others.sum() >= LEAST else start
    model = LogisticRegression(C=100.0, class_weight="balanced").fit((x - x.mean(0)) / (x.std(0) + 1e-9), y)
    weights = model.coef_[0] / (x.std(0) + 1e-9)
    fitted = Thresholds((float(model.intercept_[0] - weights @ x.mean(0)), *map(float, weights)), 1.0, 0.0, len(trial.rows))
    p = fitted.confidence(trial.new)[others], fitted.confidence(trial.known)[answered & trial.right]
    known = _above(p[0], trial.truth[others])
    return replace(fitted, known=known, new=min(float(np.quantile(p[1], MISSED, method="lower")), known))


def _above(of_new, things=None):
    """The confidence above that of all but NEW_AS_KNOWN of the new ones' (n,). Of ``things`` (n,) also above where another thing's surest
    view is expected in three of four cases (normal in log-odds): views of a thing are alike, so that few things say little."""
    above = float(np.nextafter(np.quantile(of_new, 1 - NEW_AS_KNOWN, method="higher"), 2.0))
    if things is None or (n := len(np.unique(things))) < 3:
        return above
    clipped = np.clip(of_new, 1e-9, 1 - 1e-9)
    odds = np.log(clipped / (1 - clipped))
    surest = np.array([odds[things == thing].max() for thing in np.unique(things)])
    bound = surest.mean() + stats.t.ppf(0.75, n - 1) * surest.std(ddof=1) * np.sqrt(1 + 1 / n)
    return max(above, float(1 / (1 + np.exp(-bound))))


def chosen(confidences: np.ndarray, floor: float = 0.0) -> np.ndarray:
    """Which of e encoders answers each of m regions, from their confidences (e, m): the surest, -1 (none) below ``floor``."""
    best = confidences.argmax(0)
    return np.where(confidences.max(0) >= floor, best, -1)
