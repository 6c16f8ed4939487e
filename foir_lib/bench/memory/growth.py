"""Growth of a memory over an unlabelled stream without any human: what it takes in, how much of it is wrong, and when it must stop.

A view of the stream becomes a *machine view* of the thing that it is called where the answer is known, at thresholds learned from humans' views
alone, and what else is asked agrees. A thing has at most ``limit`` views: the machine view that says least goes first, humans' views never. After
each part of the stream the humans' views are asked again, each left out: where fewer of them are right than before anything came in, the part is
taken back and the growth ends.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from foir_lib.bench.memory.curves import ACCURACY, TESTS
from foir_lib.bench.memory.views import Views, score, split
from foir_lib.bench.metrics.scores import Score
from foir_lib.memory import control
from foir_lib.memory.consistency import keypoints
from foir_lib.memory.recogniser import seen
from foir_lib.search.rerank import spatial

LIMIT, PARTS = 8, 4  # views of a thing; parts of the stream
Agrees = Callable[[int, int, int], bool]  # (row that asks, row of the best view, row of the second thing's best view or -1)


@dataclass(frozen=True)
class Grown:
    """A memory: ``rows`` (n,) of a set's views, ``owners`` (n,) things they are remembered as, ``human`` (n,) bool: who said so."""

    rows: np.ndarray
    owners: np.ndarray
    human: np.ndarray

    def with_view(self, row: int, owner: int, vectors: np.ndarray, limit: int) -> "Grown":
        """The memory with a machine view more, and within ``limit`` views of that thing as far as machine views can go."""
        grown = Grown(np.append(self.rows, row), np.append(self.owners, owner), np.append(self.human, False))
        mine = np.flatnonzero(grown.owners == owner)
        machine = mine[~grown.human[mine]]
        if len(mine) <= limit or not len(machine):
            return grown
        alike = vectors[grown.rows[machine]] @ vectors[grown.rows[mine]].T
        alike[machine[:, None] == mine] = -np.inf
        keep = np.arange(len(grown.rows)) != machine[alike.max(1).argmax()]
        return Grown(grown.rows[keep], grown.owners[keep], grown.human[keep])

    def left_out(self, vectors: np.ndarray, pictures: np.ndarray) -> control.Trial:
        """The humans' views asked again, each left out."""
        return control.leave_out(vectors[self.rows], self.owners, pictures[self.rows], self.human)

    def drift(self, truth: np.ndarray) -> float:
        """Share of machine views that show another thing than they are remembered as; ``truth``: things of all rows. 0 without any."""
        wrong = (truth[self.rows] != self.owners)[~self.human]
        return float(wrong.mean()) if len(wrong) else 0.0


def spatially(views: Views, least: int = 0) -> Agrees:
    """What agrees where the crop has more matches in one motion with the best view than ``least``, and than with the second thing's."""

    def inliers(row, other):
        return spatial.verify(*(keypoints(seen(views.picture(m), views.box(m))) for m in (row, other))).inliers

    def agrees(row, best, second):
        matched = inliers(row, best)
        return matched > least and (second < 0 or matched > inliers(row, second))

    return agrees


def taken_in(grown: Grown, part: np.ndarray, vectors: np.ndarray, thresholds: control.Thresholds, agrees: Agrees | None, limit: int) -> Grown:
    """The memory after the rows ``part`` of a stream, one after another."""
    for row in part.tolist():
        answer = control.first(vectors[[row]] @ vectors[grown.rows].T, grown.owners, 2)
        if thresholds.verdicts(answer)[0] != "known":
            continue
        best, *others = (int(grown.rows[v]) if v >= 0 else -1 for v in answer.views[0])
        if agrees is None or agrees(row, best, others[0] if others else -1):
            grown = grown.with_view(row, int(answer.things[0, 0]), vectors, limit)
    return grown


def growth(
    views: Views, vectors: np.ndarray, agrees: Agrees | None = None, n_views: int = 3, alike: bool = False,
    limit: int = LIMIT, parts: int = PARTS, most: int | None = None, seed: int = 0,
) -> tuple[dict[str, Score], pd.DataFrame]:  # fmt: skip
    """"before", "after 40 views", ... -> accuracy of the first answer on the same test views (units: things), and a row for each of them:
    seen, machine (views), drift, left_out (accuracy of humans' views), stopped.

    The stream: all other views of the set, those of things that nobody named too, in random order, at most ``most``.
    """
    rng = np.random.default_rng([seed, 0])
    things = split(views, rng, n_views, TESTS, alike)
    number = {label: t for t, (label, *_) in enumerate(things)}
    truth = np.array([number.get(label, -1) for label in views.labels])
    tests = np.concatenate([test for *_, test in things])
    rows = np.concatenate([rows for _, rows, _ in things])
    stream = rng.permutation(np.setdiff1d(np.arange(len(views.labels)), np.r_[rows, tests]))[:most]
    grown = Grown(rows, truth[rows], np.ones(len(rows), bool))
    begin = grown.left_out(vectors, views.pictures)
    thresholds, floor, scores, table, n = control.learn(begin), begin.right.mean(), {}, [], 0

    def judge(name, stopped=False):
        answers = control.first(vectors[tests] @ vectors[grown.rows].T, grown.owners, 2)
        scores[name] = score(ACCURACY, answers.things[:, 0] == truth[tests], views.labels[tests])
        left_out = grown.left_out(vectors, views.pictures).right.mean()
        table.append({"seen": n, "machine": int((~grown.human).sum()), "drift": grown.drift(truth), "left_out": left_out, "stopped": stopped})

    judge("before")
    for part in np.array_split(stream, parts):
        after, n = taken_in(grown, part, vectors, thresholds, agrees, limit), n + len(part)
        harmed = after.left_out(vectors, views.pictures).right.mean() < floor
        grown = grown if harmed else after
        judge(f"after {n} views", harmed)
        if harmed:
            break
    return scores, pd.DataFrame(table)
