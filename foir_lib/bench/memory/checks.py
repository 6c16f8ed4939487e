"""What each consistency check does to first answers: corrected by itself without anybody, at margins learned from the memory alone;
and learning curves with each check: a memory of what a simulated user said so far, see :mod:`.interactions`, recognised with it."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from foir_lib.bench.memory.curves import ACCURACY, TESTS
from foir_lib.bench.memory.interactions import told
from foir_lib.bench.memory.views import Views, score, split, task
from foir_lib.bench.metrics.scores import Score
from foir_lib.memory.consistency import default_checks
from foir_lib.memory.encoding import Encoder
from foir_lib.memory.recogniser import Recogniser
from foir_lib.memory.things import Memory

VIEWS = 4  # of each thing that are remembered
MOST = 24  # things
AFTER = (0, 2, 5)  # interactions a thing
FIRST, RIGHT, SPOILT, NONE = "first answers", "put right", "spoilt", "no check"


def remembered(views: Views, things, encoder: Encoder, path: Path) -> Memory:
    """A new memory at ``path`` of the rows to remember of ``things``, see :func:`split`."""
    memory = Memory(path, encoder)
    for label, rows, _ in things:
        for row in rows:
            memory.add(label, views.picture(row), views.box(row))
    return memory


@dataclass(frozen=True)
class Tests:
    """What is asked of memories: regions (m,), (picture, box), their vectors (m, d) and labels (m,)."""

    regions: list
    vectors: np.ndarray
    labels: np.ndarray

    @classmethod
    def of(cls, views: Views, things, encoder: Encoder) -> "Tests":
        """The rows to ask with of ``things``, see :func:`split`."""
        tests = [(label, row) for label, _, test in things for row in test]
        regions = [(views.picture(row), views.box(row)) for _, row in tests]
        return cls(regions, encoder.embed(regions), np.array([label for label, _ in tests]))

    def accuracy(self, memory: Memory, checks) -> Score:
        """How many first candidates are right when unsure answers are corrected by ``checks``, one after another. Units: things."""
        recogniser = Recogniser(memory, checks=checks)
        answers = recogniser.answered([self.vectors], recogniser.crops(self.regions), [box for _, box in self.regions])
        right = np.array([one.candidates[0].thing.name == label for one, label in zip(answers, self.labels, strict=True)])
        return score(ACCURACY, right, self.labels)


def corrected(views: Views, retriever, checks=None, alike: bool = True, n_things: int = MOST, seed: int = 0) -> dict[str, Score]:
    """"first answers", then with each check and with all of them -> accuracy on the same test views. Units: things.

    ``alike``: look-alikes are remembered too, whole families of them, so that there is something to correct.
    """
    rng = np.random.default_rng([seed, 0])
    things = split(views, rng, VIEWS, TESTS, alike)[:n_things]
    checks = default_checks() if checks is None else checks
    encoder = Encoder(views.corpus.model, retriever, views.corpus.batch_size)
    tests = Tests.of(views, things, encoder)
    columns = {FIRST: []} | {f"{check.name} check": [check] for check in checks} | {"all checks": list(checks)}
    with tempfile.TemporaryDirectory() as folder:
        memory = remembered(views, things, encoder, Path(folder) / "things.db")
        found = {name: tests.accuracy(memory, some) for name, some in columns.items()}
        memory.journal.engine.dispose()
    return found


def learned(
    views: Views, retriever, checks=None, after=AFTER, alike: bool = True, n_things: int = MOST, seed: int = 0
) -> dict[str, dict[str, Score]]:
    """"no check", then each check -> "after n interactions a thing" -> accuracy on the same test views. Units: things.

    It begins with a view of each thing; each interaction is a box and a name. What a check must say is learned anew after each n.
    """
    rng = np.random.default_rng([seed, 0])
    things = split(views, rng, 1 + max(after), TESTS, alike)[:n_things]
    begin = [(label, rows[:1], test) for label, rows, test in things]
    comes = task([(label, rows[1:], test) for label, rows, test in things])
    order = rng.permutation(len(comes.rows))
    stream, owners = comes.rows[order], comes.owners[order]
    checks = default_checks() if checks is None else checks
    columns = {NONE: []} | {f"{check.name} check": [check] for check in checks}
    encoder = Encoder(views.corpus.model, retriever, views.corpus.batch_size)
    tests, found, done = Tests.of(views, things, encoder), {name: {} for name in columns}, 0
    with tempfile.TemporaryDirectory() as folder:
        memory = remembered(views, begin, encoder, Path(folder) / "things.db")
        for n in after:
            until = n * len(things)
            for row, owner in zip(stream[done:until], owners[done:until], strict=True):
                memory.add(comes.labels[owner], views.picture(row), views.box(row))
            done = until
            for name, some in columns.items():
                found[name][told(n)] = tests.accuracy(memory, some)
        memory.journal.engine.dispose()
    return found


def turned(scores: dict[str, Score]) -> dict[str, dict[str, Score]]:
    """"put right" and "spoilt" -> each check's share of the wrong, and of the right, first answers that it turned, of :func:`corrected`. Units: things."""
    tables = {name: one.per_query for name, one in scores.items()}
    first, found = tables[FIRST][ACCURACY].to_numpy() > 0, {RIGHT: {}, SPOILT: {}}
    for name, table in tables.items():
        now = table[ACCURACY].to_numpy() > 0
        for kind, of, turns in ((RIGHT, ~first, now), (SPOILT, first, ~now)):
            if name != FIRST and of.any():
                found[kind][name] = score(kind, turns[of], table["label"].to_numpy()[of])
    return found
