"""Growth without a human: what is taken in, what goes first, how drift is told, and that harm ends it."""

import numpy as np
import pytest

from foir_lib import load_model, load_set, registry
from foir_lib.bench.memory import growth
from foir_lib.bench.memory.curves import ACCURACY
from foir_lib.bench.memory.growth import Grown
from foir_lib.bench.memory.views import Views
from foir_lib.memory import control
from foir_lib.retrievers.corpus import Corpus


class Drawn:
    """Views without pictures: ``n`` things, ``k`` views each on pictures of their own, around directions ``spread`` apart from noise."""

    def __init__(self, n, k, spread, seed=0, d=24):
        self.labels = np.repeat([f"thing {i:02d}" for i in range(n)], k)
        self.pictures = np.arange(n * k)
        rng = np.random.default_rng(seed)
        x = np.repeat(rng.normal(size=(n, d)), k, 0) + spread * rng.normal(size=(n * k, d))
        self.vectors = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def at(*degrees):
    return np.stack([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], 1)


def test_the_machine_view_that_says_least_goes_first_and_humans_views_never():
    vectors = at(0, 40, 41, 90, 2)  # rows 0: a human's, 1 and 2: nearly the same, 3: far from all, 4: beside the human's
    grown = Grown(np.array([0, 1, 3]), np.zeros(3, int), np.array([True, False, False]))
    more = grown.with_view(2, 0, vectors, 3)
    assert sorted(more.rows.tolist()) in ([0, 1, 3], [0, 2, 3]), "one of the two that are nearly the same"
    assert sorted(grown.with_view(4, 0, vectors, 3).rows.tolist()) == [0, 1, 3], "what comes may say least itself"
    assert len(grown.with_view(2, 0, vectors, 4).rows) == 4 and grown.rows.tolist() == [0, 1, 3]
    humans = Grown(np.array([0, 1, 2]), np.zeros(3, int), np.ones(3, bool)).with_view(3, 0, vectors, 3)
    assert humans.rows.tolist() == [0, 1, 2] and humans.human.all(), "full of humans' views: the machine's goes"
    other = grown.with_view(2, 1, vectors, 3)
    assert len(other.rows) == 4, "the limit is each thing's own"


def test_drift_counts_machine_views_alone():
    grown = Grown(np.array([0, 1, 2, 3]), np.array([0, 1, 0, 1]), np.array([True, True, False, False]))
    assert grown.drift(np.array([1, 1, 0, 0])) == 0.5 and grown.drift(np.array([1, 1, 0, -1])) == 0.5
    assert Grown(np.array([0]), np.array([0]), np.array([True])).drift(np.array([1])) == 0.0


def test_only_what_is_known_and_agreed_on_comes_in():
    vectors = at(0, 90, 3, 45, 88)
    grown = Grown(np.array([0, 1]), np.array([0, 1]), np.ones(2, bool))
    thresholds = control.Thresholds(None, 0.5, 0.005, 0)  # a score of 0.9 and a margin of 0.05
    asked = []
    after = growth.taken_in(grown, np.array([2, 3, 4]), vectors, thresholds, lambda *rows: asked.append(rows) or rows[0] != 4, 8)
    assert after.rows.tolist() == [0, 1, 2] and after.owners.tolist() == [0, 1, 0] and after.human.tolist() == [True, True, False]
    assert asked == [(2, 0, 1), (4, 1, 2)], "the one in the middle isn't known, so nothing else is asked"


def test_things_that_are_easily_told_apart_grow_without_drift():
    views = Drawn(20, 24, 0.5)
    scores, table = growth.growth(views, views.vectors, alike=True)
    assert list(scores)[0] == "before" and len(scores) == len(table) == 1 + growth.PARTS and not table["stopped"].any()
    assert table["machine"].is_monotonic_increasing and table["machine"].iloc[-1] > 40 and table["drift"].max() == 0
    assert scores[list(scores)[-1]].metrics[ACCURACY] >= scores["before"].metrics[ACCURACY]
    assert table["seen"].tolist()[-1] == 20 * (24 - 3 - 6) and table["machine"].max() <= 20 * (growth.LIMIT - 3)


def test_growth_that_harms_is_taken_back_and_ends(monkeypatch):
    views = Drawn(20, 24, 0.5)
    monkeypatch.setattr(growth.control.Thresholds, "verdicts", lambda self, answers: np.full(len(answers.things), "known"))
    wrong = growth.Grown.with_view
    monkeypatch.setattr(growth.Grown, "with_view", lambda self, row, owner, *rest: wrong(self, row, (owner + 1) % 20, *rest))
    scores, table = growth.growth(views, views.vectors, alike=True)
    assert table["stopped"].tolist() == [False, True] and table["machine"].tolist() == [0, 0], "what a part brought is taken back"
    assert table["left_out"].nunique() == 1 and len({one.metrics[ACCURACY] for one in scores.values()}) == 1


@pytest.mark.slow
def test_a_drawn_set_grows_by_what_agrees_in_space(tmp_path):
    shelves = load_set("mini-needles", seed=5, n_things=24, n_queries=24, n_database=40)
    views = Views.of(Corpus(shelves, load_model("mini-vit", device="cpu"), cache=tmp_path, progress=False))
    vectors = views.vectors(registry.parse("retriever", "Crop"))
    (_, plain), (_, checked) = (growth.growth(views, vectors, agrees, most=80) for agrees in (None, growth.spatially(views)))
    assert 0 < checked["machine"].iloc[-1] <= plain["machine"].iloc[-1]
