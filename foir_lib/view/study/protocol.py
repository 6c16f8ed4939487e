"""Questions of the user study: 16 queries, 12 candidates each, three of them true, half with outlines, by four counterbalanced groups.

Source: thesis, section 2.3. **Ours**: which queries, their order, and how groups balance: with outlines first or last, on one half of the
questions or the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from foir_lib.errors import InputError

QUESTIONS, CANDIDATES, TRUE, GROUPS = 16, 12, 3, 4


@dataclass(frozen=True)
class Question:
    """query: a row of the set's queries; candidates: database rows as they are shown; drawn_for: the query that each is true for."""

    query: int
    candidates: tuple[int, ...]
    drawn_for: tuple[int, ...]

    @property
    def true(self) -> frozenset[int]:
        """Positions of the true candidates."""
        return frozenset(at for at, query in enumerate(self.drawn_for) if query == self.query)


def questions(
    positives: Sequence[np.ndarray], labels: Sequence[str], ignored: Sequence[np.ndarray] | None = None, n: int = QUESTIONS, seed: int = 0
) -> list[Question]:
    """``n`` questions about queries of different labels: three of its positives and nine of other queries', shuffled.

    positives, ignored: database rows that are right for each query, and that are neither; no wrong candidate is one of them, and
    none is shown twice. Raises InputError where there are too few queries or positives.
    """
    rng, labels = np.random.default_rng(seed), np.asarray(labels)
    ignored = [()] * len(labels) if ignored is None else ignored
    enough = [query for query in rng.permutation(len(labels)).tolist() if len(set(positives[query])) >= TRUE]
    chosen = list({labels[query]: query for query in reversed(enough)}.values())[::-1][:n]
    if len(chosen) < n:
        raise InputError(f"{len(chosen)} things have {TRUE} pictures that show them, the study asks about {n}: take a larger set.")
    result = []
    for query in chosen:
        shown = {int(row): query for row in rng.choice(np.unique(positives[query]), TRUE, replace=False)}
        barred = set(np.asarray(positives[query]).tolist()) | set(np.asarray(ignored[query]).tolist())
        for other in rng.permutation(len(labels)).tolist():
            free = [int(row) for row in np.unique(positives[other]) if int(row) not in barred and int(row) not in shown]
            if len(shown) < CANDIDATES and labels[other] != labels[query] and free:
                shown[free[rng.integers(len(free))]] = other
        if len(shown) < CANDIDATES:
            raise InputError(f"Query {query} has {len(shown)} candidates, the study shows {CANDIDATES}: take a set of more things.")
        order = rng.permutation(CANDIDATES)
        rows = np.array(list(shown))[order].tolist()
        result.append(Question(query, tuple(rows), tuple(shown[row] for row in rows)))
    return result


def plan(group: int, n: int = QUESTIONS) -> list[tuple[int, bool]]:
    """Of a group, 0 to 3, the questions in their order, each with whether outlines are shown.

    Groups 0 and 1 begin with outlines, 2 and 3 without; 0 and 3 see outlines on the first half of the questions, 1 and 2 on the second:
    every question is asked equally often either way, and either way equally often first.
    """
    if group not in range(GROUPS):
        raise InputError(f"Group {group!r} is none of the study's: choose 0 to {GROUPS - 1}.")
    halves = [list(range(n // 2)), list(range(n // 2, n))]
    first = halves[group % 2]
    second = halves[1 - group % 2]
    outlined_first = group < 2
    return [(one, outlined_first) for one in first] + [(one, not outlined_first) for one in second]
