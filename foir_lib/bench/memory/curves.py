"""What a memory gains by views: accuracy after 1, 2, 3 and 5 of them, and what it says of things that it doesn't know."""

import numpy as np

from foir_lib.bench.memory.views import Views, score, split, task
from foir_lib.bench.metrics.scores import Score
from foir_lib.memory import control

AFTER = (1, 2, 3, 5)
TESTS, ROUNDS = 6, 8  # views of a thing that ask; memories drawn
HELD = 1 / 3  # of the things are new
ACCURACY, KNOWN = "accuracy", "called known"


def after_views(views: Views, vectors: np.ndarray, alike: bool = False, after=AFTER, rounds: int = ROUNDS, seed: int = 0) -> dict[str, Score]:
    """"after 1 view", "after 2 views", ... -> accuracy of the first answer among all things remembered; the same test views each time.

    ``alike``: all things of the set are remembered, look-alikes too; else one of a family. Units: things.
    """
    right, labels = {k: [] for k in after}, []
    for turn in range(rounds):
        rng = np.random.default_rng([seed, turn])
        things = split(views, rng, max(after), TESTS, alike)
        for k in after:
            one = task(things, k)
            answers = control.first(vectors[one.tests] @ vectors[one.rows].T, one.owners, 2)
            right[k] += (answers.things[:, 0] == one.truth).tolist()
        labels += one.labels[one.truth].tolist()
    labels = np.array(labels)
    return {f"after {k} view{'s' * (k > 1)}": score(ACCURACY, np.array(right[k]), labels) for k in after}


def halved(scores: dict[str, Score]) -> tuple[float, float]:
    """The errors (first, last) of :func:`after_views`."""
    values = [1 - one.metrics[ACCURACY] for one in scores.values()]
    return values[0], values[-1]


def novelty(views: Views, vectors: np.ndarray, alike: bool = False, n_views: int = 4, rounds: int = ROUNDS, seed: int = 0) -> dict[str, Score]:
    """What is "called known" at the threshold that a memory of two thirds of the things learns: "remembered" things' views, those among
    them that are called by the "right" name, and "new" things' views: those of the last third. Units: things."""
    shares = {"remembered": [], "right": [], "new": []}
    labels = {name: [] for name in shares}
    for turn in range(rounds):
        rng = np.random.default_rng([seed, turn])
        things = split(views, rng, n_views, TESTS, alike)
        things = [things[i] for i in rng.permutation(len(things))]
        held, one = things[: int(HELD * len(things))], task(things[int(HELD * len(things)) :])
        rows, owners = one.rows, one.owners
        trial = control.leave_out(vectors[rows], owners, views.pictures[rows], np.ones(len(rows), bool))
        thresholds = control.learn(trial)
        answers = control.first(vectors[one.tests] @ vectors[rows].T, owners)
        known = thresholds.verdicts(answers) == "known"
        others = np.concatenate([np.concatenate(parts) for _, *parts in held])
        strange = thresholds.verdicts(control.first(vectors[others] @ vectors[rows].T, owners)) == "known"
        names = one.labels[one.truth]
        for name, values, of in (
            ("remembered", known, names), ("right", np.where(known, answers.things[:, 0] == one.truth, np.nan), names),
            ("new", strange, [label for label, *parts in held for _ in np.concatenate(parts)]),
        ):  # fmt: skip
            shares[name] += np.asarray(values, float).tolist()
            labels[name] += list(of)
    return {name: score(KNOWN, np.array(values), np.array(labels[name])) for name, values in shares.items()}
