"""Learning curves by a simulated user, seeded: accuracy after 0, 1, 2, 5 and 10 interactions a thing, by kind of feedback.

Everything begins with one view of each thing, marked by a box. Then views come by that nobody asks with later, and each interaction is about one:

    box, mask, point    the user marks it so and says its name
    sentence            the system says what it is; where that is wrong, the user says the right name, and only then is it kept
    yes/no              the system says what it is and asks; it is kept after a yes, and after a no nothing is
    quiz                as a sentence, but the system chooses the view that it is least sure of
"""

import numpy as np

from foir_lib.bench.memory.curves import ACCURACY, TESTS
from foir_lib.bench.memory.views import Views, score, split, task
from foir_lib.bench.metrics.scores import Score
from foir_lib.memory import control

AFTER = (0, 1, 2, 5, 10)  # interactions a thing
KINDS = ("box", "mask", "point", "sentence", "yes/no", "quiz")
ROUNDS = 4


def learning(
    views: Views, retriever, kinds=KINDS, after=AFTER, alike: bool = False, rounds: int = ROUNDS, seed: int = 0
) -> dict[str, dict[str, Score]]:
    """kind -> "after n interactions a thing" -> accuracy of the first answer on the same test views. Units: things."""
    marks = {kind: views.vectors(retriever, kind if kind in ("mask", "point") else "box") for kind in kinds}
    tests_by = views.vectors(retriever)
    right, labels = {kind: {n: [] for n in after} for kind in kinds}, []
    for turn in range(rounds):
        rng = np.random.default_rng([seed, turn])
        things = split(views, rng, 1 + TESTS, max(after), alike)  # first: one to begin with and the tests; then what comes by
        begin, comes = task([(label, rows[:1], rows[1:]) for label, rows, _ in things]), task(things)
        order = rng.permutation(len(comes.tests))
        labels += begin.labels[begin.truth].tolist()
        for kind in kinds:
            user = User(kind, marks[kind], tests_by[begin.rows], comes.tests[order], comes.truth[order])
            for n in after:
                user.interact(n * len(things))
                answers = control.first(tests_by[begin.tests] @ user.vectors.T, user.owners, 2)
                right[kind][n] += (answers.things[:, 0] == begin.truth).tolist()
    labels = np.array(labels)
    return {
        kind: {told(n): score(ACCURACY, np.array(values), labels) for n, values in curve.items()}
        for kind, curve in right.items()
    }


def told(n: int) -> str:
    """The name of a line: "after 2 interactions a thing"."""
    return f"after {n} interaction{'s' * (n != 1)} a thing"


class User:
    """A memory that grows by one kind of feedback, and how many interactions it has had."""

    def __init__(self, kind, marks, begin, stream, owner):
        self.kind, self.marks, self.stream, self.owner = kind, marks, list(stream), list(owner)
        self.vectors, self.owners, self.done = begin, np.arange(len(begin)), 0

    def interact(self, until):
        """Have interactions until there were so many, or nothing comes by any more."""
        while self.done < until and self.stream:
            at = self._next()
            row, truth = self.stream.pop(at), self.owner.pop(at)
            said = control.first(self.marks[row][None] @ self.vectors.T, self.owners, 2).things[0, 0]
            keep = {"sentence": said != truth, "quiz": said != truth, "yes/no": said == truth}.get(self.kind, True)
            if keep:
                self.vectors, self.owners = np.concatenate([self.vectors, self.marks[row][None]]), np.append(self.owners, truth)
            self.done += 1

    def _next(self):
        """Which of the views that come by: the first; in a quiz the one with the smallest margin."""
        if self.kind != "quiz":
            return 0
        answers = control.first(self.marks[self.stream] @ self.vectors.T, self.owners, 2)
        return int(answers.features[:, 1].argmin())
