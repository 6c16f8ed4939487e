"""What each consistency check does to first answers: corrected by itself without anybody, at margins learned from the memory alone."""

import tempfile
from pathlib import Path

import numpy as np

from foir_lib.bench.memory.curves import ACCURACY, TESTS
from foir_lib.bench.memory.views import Views, score, split
from foir_lib.bench.metrics.scores import Score
from foir_lib.memory.consistency import default_checks
from foir_lib.memory.encoding import Encoder
from foir_lib.memory.recogniser import Recogniser
from foir_lib.memory.things import Memory

VIEWS = 4  # of each thing that are remembered
MOST = 24  # things
FIRST, RIGHT, SPOILT = "first answers", "put right", "spoilt"


def remembered(views: Views, things, encoder: Encoder, path: Path) -> Memory:
    """A new memory at ``path`` of the rows to remember of ``things``, see :func:`split`."""
    memory = Memory(path, encoder)
    for label, rows, _ in things:
        for row in rows:
            memory.add(label, views.picture(row), views.box(row))
    return memory


def corrected(views: Views, retriever, checks=None, alike: bool = True, n_things: int = MOST, seed: int = 0) -> dict[str, Score]:
    """"first answers", then with each check and with all of them -> accuracy on the same test views. Units: things.

    ``alike``: look-alikes are remembered too, whole families of them, so that there is something to correct.
    """
    rng = np.random.default_rng([seed, 0])
    things = split(views, rng, VIEWS, TESTS, alike)[:n_things]
    checks = default_checks() if checks is None else checks
    encoder = Encoder(views.corpus.model, retriever, views.corpus.batch_size)
    tests = [(label, row) for label, _, test in things for row in test]
    labels = np.array([label for label, _ in tests])
    regions = [(views.picture(row), views.box(row)) for _, row in tests]
    with tempfile.TemporaryDirectory() as folder:
        memory = remembered(views, things, encoder, Path(folder) / "things.db")
        columns = {FIRST: []} | {f"{check.name} check": [check] for check in checks} | {"all checks": list(checks)}
        vectors, found = [encoder.embed(regions)], {}
        for name, some in columns.items():
            recogniser = Recogniser(memory, checks=some)
            answers = recogniser.answered(vectors, recogniser.crops(regions), [box for _, box in regions])
            right = np.array([one.candidates[0].thing.name == label for one, label in zip(answers, labels, strict=True)])
            found[name] = score(ACCURACY, right, labels)
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
