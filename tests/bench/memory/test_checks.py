"""Learning curves with checks: what the memory holds after n interactions, and when a check is followed."""

import numpy as np
import pytest
from PIL import Image
from small_memory import Colours

from foir_lib.bench.memory import checks
from foir_lib.bench.memory.curves import ACCURACY, TESTS
from foir_lib.memory.consistency import Check
from foir_lib.prompts import Box

THINGS, EACH = 6, 12


class Pictured:
    """Views of things that look alike two by two: a view a picture, of a colour that is that of the pair, and noise."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.labels = np.repeat([f"thing {i}" for i in range(THINGS)], EACH)
        self.pictures = np.arange(THINGS * EACH)
        pair = rng.integers(40, 215, (THINGS // 2, 3)).repeat(2 * EACH, 0)
        self._seen = [Image.fromarray(rng.normal(colour, 20, (9, 9, 3)).clip(0, 255).astype(np.uint8)) for colour in pair]
        self.corpus = type("Corpus", (), {"model": None, "batch_size": 32})

    def picture(self, m):
        return self._seen[m]

    def box(self, m):
        return Box(0, 0, 9, 9)


class Seeing(Colours):
    """An encoder without patches."""

    model = None


class Knows(Check):
    """Knows the thing of every crop."""

    name = "all-knowing"

    def __init__(self, views):
        self.of = {views.picture(m).tobytes(): label for m, label in enumerate(views.labels)}

    def evidence(self, look, candidates, known, memory, without=None):
        return np.array([float(candidate.thing.name == self.of[look.tobytes()]) for candidate in candidates])


@pytest.fixture
def views(monkeypatch):
    monkeypatch.setattr(checks, "Encoder", lambda *_: Seeing())
    return Pictured()


def test_the_memory_holds_a_view_of_each_thing_and_what_was_told_and_nothing_of_what_asks(views, monkeypatch):
    held, asked = [], []

    def accuracy(self, memory, some):
        held.append([view.picture for thing in memory.things() for view in thing.views])
        asked.append([memory.add("asked", *region).views[-1].picture for region in self.regions])
        memory.undo(len(self.regions))
        return len(held[-1])

    monkeypatch.setattr(checks.Tests, "accuracy", accuracy)
    found = checks.learned(views, None, [Knows(views)], after=(0, 1, 5))
    curve = {"after 0 interactions a thing": THINGS, "after 1 interaction a thing": 2 * THINGS, "after 5 interactions a thing": 6 * THINGS}
    assert found == {"no check": curve, "all-knowing check": curve}
    assert set(held[0]) < set(held[2]) < set(held[4]) and held[0] == held[1]
    assert all(len(set(rows)) == THINGS * TESTS and not set(rows) & set(held[-1]) for rows in asked)


def test_a_check_that_knows_is_followed_as_soon_as_the_memory_can_see_that(views):
    found = checks.learned(views, None, [Knows(views)], after=(0, 2))
    plain, checked = ([one.metrics[ACCURACY] for one in curve.values()] for curve in found.values())
    assert checked[0] == plain[0], "of one view of each thing nothing can be learned"
    assert checked[1] == 1 and plain[1] < 0.7, "all are unsure, and of two that look alike every other first answer is wrong"
