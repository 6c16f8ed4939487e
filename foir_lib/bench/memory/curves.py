"""What a memory gains by views: accuracy after 1, 2, 3 and 5 of them, and what it says of things that it doesn't know."""

import numpy as np

from foir_lib.bench.memory.views import Views, score, split, task
from foir_lib.bench.metrics.scores import Score
from foir_lib.memory import control

AFTER = (1, 2, 3, 5)
TESTS, ROUNDS, TURNS = 6, 8, 2  # views of a thing that ask; memories drawn; those of which each thing is left out
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
    """What is "called known" at the threshold that a memory learns. Of two thirds of the things: "remembered" things' views, those among
    them that are called by the "right" name, and "new" things' views, those of the last third; of all things but one, each in turn
    (in TURNS of the rounds): views of the one "left out". Units: things."""
    said = {"remembered": [], "right": [], "new": [], "left out": []}
    for turn in range(rounds):
        rng = np.random.default_rng([seed, turn])
        things = split(views, rng, n_views, TESTS, alike)
        things = [things[i] for i in rng.permutation(len(things))]
        held, rest = things[: int(HELD * len(things))], things[int(HELD * len(things)) :]
        called = _called(views, vectors, rest)
        for t, (label, _, test) in enumerate(rest):
            known, best = called(test)
            said["remembered"].append((label, known))
            said["right"].append((label, np.where(known, best == t, np.nan)))
        said["new"] += [(label, called(np.concatenate(rows))[0]) for label, *rows in held]
        if turn < TURNS:
            for t, (label, *rows) in enumerate(things):
                said["left out"].append((label, _called(views, vectors, things[:t] + things[t + 1 :])(np.concatenate(rows))[0]))
    labels = {name: np.array([label for label, values in found for _ in values]) for name, found in said.items()}
    return {name: score(KNOWN, np.concatenate([values for _, values in found]).astype(float), labels[name]) for name, found in said.items()}


def _called(views, vectors, things):
    """What a memory of ``things`` says of rows (m,): whether each is called known, and as which of them."""
    one = task(things)
    rows, owners = one.rows, one.owners
    thresholds = control.learn(control.leave_out(vectors[rows], owners, views.pictures[rows], np.ones(len(rows), bool)))

    def called(some):
        answers = control.first(vectors[some] @ vectors[rows].T, owners)
        return thresholds.verdicts(answers) == "known", answers.things[:, 0]

    return called
