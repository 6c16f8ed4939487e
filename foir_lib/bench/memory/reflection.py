"""What reflection does to an encoder's own first answers (thesis 3.2): verified one by one, a "no" moves to the next candidate."""

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from foir_lib.bench.memory.curves import ACCURACY
from foir_lib.bench.memory.views import Task, Views, score, split, task
from foir_lib.bench.metrics.scores import Score
from foir_lib.draws import DRAWS, LEVELS, weights
from foir_lib.memory import control
from foir_lib.memory.recogniser import CANDIDATES, UNSURE, seen

VIEWS, TESTS = 3, 20  # of a thing that are remembered; that ask
MOST_ASKED = 0.5  # of the pictures, where a controller decides


@dataclass(frozen=True)
class Reflected:
    """First answers and what a reflector says of them. names (m, n) of candidates, best first, odds (m, n) log-odds of yes, truth (m,),
    sure (m,): the first's confidence; threshold of yes, learned from the memory's own views; rows (m,) of the views that asked."""

    names: np.ndarray
    odds: np.ndarray
    truth: np.ndarray
    sure: np.ndarray
    unsure: np.ndarray
    threshold: float
    rows: np.ndarray | None = None

    @property
    def first(self) -> np.ndarray:
        """(m,) whether the first answer is right."""
        return self.names[:, 0] == self.truth

    def answers(self, asked: np.ndarray) -> np.ndarray:
        """(m,) names after reflection on those ``asked`` (m,) bool: the first candidate that isn't denied, else the first."""
        yes = ~(self.odds <= self.threshold)  # what can't be asked isn't denied
        place = np.where(asked & yes.any(1), yes.argmax(1), 0)
        return self.names[np.arange(len(place)), place]

    def reflected(self, asked: np.ndarray) -> np.ndarray:
        """(m,) whether :meth:`answers` are right."""
        return self.answers(asked) == self.truth

    def controlled(self) -> np.ndarray:
        """(m,) bool: whom a controller asks: the unsure ones, of more than half of all the least sure."""
        asked = self.unsure.copy()
        order = np.argsort(self.sure, kind="stable")
        over = order[np.flatnonzero(asked[order])[int(MOST_ASKED * len(order)) :]] if asked.sum() > MOST_ASKED * len(order) else []
        asked[over] = False
        return asked

    @property
    def verified(self) -> dict[str, float]:
        """Balanced accuracy and AUROC of rejecting wrong first answers and keeping right ones."""
        odds = np.nan_to_num(self.odds[:, 0], nan=0.0)
        return {
            "balanced accuracy": float(balanced_accuracy_score(self.first, odds > self.threshold)),
            "AUROC": float(roc_auc_score(self.first, odds)),
        }


def verifying(reflected: Reflected, draws: int = DRAWS, seed: int = 0) -> tuple[float, float]:
    """95 % interval of the balanced accuracy of verifying, things drawn anew."""
    right, yes = reflected.first, np.nan_to_num(reflected.odds[:, 0], nan=0.0) > reflected.threshold
    _, thing = np.unique(reflected.truth, return_inverse=True)
    counts = [np.bincount(thing, weights=of, minlength=thing.max() + 1) for of in (right & yes, right, ~right & ~yes, ~right)]
    drawn = weights(thing.max() + 1, draws, seed).astype(float)
    kept, there, denied, wrong = (drawn @ one for one in counts)
    with np.errstate(invalid="ignore", divide="ignore"):
        low, high = np.nanpercentile((kept / there + denied / wrong) / 2, LEVELS)
    return float(low), float(high)


def drawn(views: Views, alike: bool = True, n_views: int = VIEWS, seed: int = 0) -> Task:
    """Which views are remembered, and which ask."""
    return task(split(views, np.random.default_rng([seed, 0]), n_views, TESTS, alike))


def reflect(views: Views, retriever, reflector, alike: bool = True, n_views: int = VIEWS, seed: int = 0) -> Reflected:
    """First answers of a memory of the set's things on views of other pictures, each candidate asked of ``reflector``.

    ``reflector``: an object with ``verify(picture, names) -> log-odds (n,)``. The names that are asked for are the set's labels.
    """
    vectors, one = views.vectors(retriever), drawn(views, alike, n_views, seed)
    labels, rows, owners, tests, truth = one.labels, one.rows, one.owners, one.tests, one.truth
    trial = control.leave_out(vectors[rows], owners, views.pictures[rows], np.ones(len(rows), bool))
    thresholds = control.learn(trial)
    answers = control.first(vectors[tests] @ vectors[rows].T, owners, CANDIDATES)
    odds = np.array([_asked(views, reflector, row, labels[of]) for row, of in zip(tests, answers.things)])
    own = np.array([_asked(views, reflector, rows[m], labels[[t, other]]) for m, t, other in _own(trial)])
    cut = threshold(own)
    unsure = thresholds.verdicts(answers) == UNSURE
    return Reflected(labels[answers.things], odds, labels[truth], thresholds.confidence(answers), unsure, cut, tests)


def _asked(views, reflector, row, names):
    return np.asarray(reflector.verify(seen(views.picture(row), views.box(row)), list(names)), float)


def _own(trial):
    """(row, its own thing, the best other thing) of each view that was left out."""
    for m, (own, others) in enumerate(zip(trial.truth, trial.known.things, strict=True)):
        yield m, own, next((t for t in others if t not in (own, -1)), own)


def threshold(own: np.ndarray) -> float:
    """The log-odds that part right names (first column) from the best wrong ones (second) with the highest balanced accuracy; 0 of none."""
    own = own[np.isfinite(own).all(1)]
    if not len(own):
        return 0.0
    at = np.sort(own.ravel())
    cuts = np.r_[at[0] - 1, (at[1:] + at[:-1]) / 2]
    accuracy = [((own[:, 0] > cut).mean() + (own[:, 1] <= cut).mean()) / 2 for cut in cuts]
    return float(cuts[int(np.argmax(accuracy))])


def scores(reflected: Reflected) -> tuple[dict[str, Score], dict[str, float]]:
    """"encoder alone", "reflection on all", "reflection where unsure" -> accuracy; and what is said of verifying, with the share asked.
    Units: things."""
    asked = reflected.controlled()
    right = {
        "encoder alone": reflected.first,
        "reflection on all": reflected.reflected(np.ones(len(asked), bool)),
        "reflection where unsure": reflected.reflected(asked),
    }
    said = reflected.verified | {"share asked": float(asked.mean())}
    return {name: score(ACCURACY, values, reflected.truth) for name, values in right.items()}, said
