"""Judging a memory: views of a labelled set, curves over views, new things."""

import numpy as np
import pandas as pd
import pytest

from foir_lib import registry
from foir_lib.bench.memory import curves
from foir_lib.bench.memory.views import Views, family, score, split
from foir_lib.bench.metrics.intervals import against_first
from foir_lib.data import load_set
from foir_lib.models.zoo import load_model
from foir_lib.retrievers.corpus import Corpus


class Drawn:
    """Views without pictures: ``n`` things, ``k`` views each on pictures of their own."""

    def __init__(self, n, k, alike=1):
        self.labels = np.repeat([f"thing {i // alike:02d}{'abcd'[i % alike]}" for i in range(n)], k)
        self.pictures = np.arange(n * k)

    def vectors(self, spread, seed=0, d=24):
        rng = np.random.default_rng(seed)
        names, which = np.unique(self.labels, return_inverse=True)
        x = rng.normal(size=(len(names), d))[which] + spread * rng.normal(size=(len(which), d))
        return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def test_families_are_look_alikes():
    assert family("ball 06a") == family("ball 06d") == "ball 06" and family("red cup") == "red cup" and family("bottle 1") == "bottle 1"


def test_a_split_never_shares_a_picture_and_takes_one_of_a_family():
    views = Drawn(8, 9, alike=4)
    views.pictures[1] = views.pictures[0]  # two views of the first thing on one picture
    for seed in range(5):
        things = split(views, np.random.default_rng(seed), 5, 3, alike=True)
        assert len(things) == 8
        for label, memory, test in things:
            assert (views.labels[np.r_[memory, test]] == label).all() and len(memory) == 5 and 0 < len(test) <= 3
            assert not set(views.pictures[memory]) & set(views.pictures[test])
            assert len(set(views.pictures[np.r_[memory, test]])) == len(memory) + len(test)
        apart = split(views, np.random.default_rng(seed), 5, 3, alike=False)
        assert sorted(family(label) for label, *_ in apart) == ["thing 00", "thing 01"]
    assert split(views, np.random.default_rng(0), 9, 3, alike=True) == [], "nothing would be left to ask with"


def test_more_views_err_less_and_the_same_views_ask():
    views = Drawn(24, 12)
    scores = curves.after_views(views, views.vectors(1.0), alike=True, rounds=2)
    assert list(scores) == ["after 1 view", "after 2 views", "after 3 views", "after 5 views"]
    assert len({len(one.per_query) for one in scores.values()}) == 1
    first, last = curves.halved(scores)
    assert last < first and against_first(scores, curves.ACCURACY)["after 5 views"].low > 0
    exact = curves.after_views(views, views.vectors(0.0), alike=True, rounds=1)
    assert all(one.metrics[curves.ACCURACY] == 1 for one in exact.values())


def test_accuracy_by_a_loop():
    views = Drawn(6, 8)
    x = views.vectors(1.2)
    ours = curves.after_views(views, x, alike=True, after=(2,), rounds=1, seed=3)["after 2 views"].metrics[curves.ACCURACY]
    things = split(views, np.random.default_rng([3, 0]), 2, curves.TESTS, True)
    right = []
    for label, _, test in things:
        for row in test:
            best = max(((x[row] @ x[m]).item(), name) for name, memory, _ in things for m in memory[:2])
            right.append(best[1] == label)
    assert ours == np.mean(right)


def test_new_things():
    views = Drawn(60, 12)
    shares = curves.novelty(views, views.vectors(0.5), alike=True, rounds=3)
    values = {name: one.metrics[curves.KNOWN] for name, one in shares.items()}
    assert max(values["new"], values["left out"]) <= 0.05 and values["remembered"] > 0.8 and values["right"] > 0.95


def test_scores_are_drawn_by_things():
    one = score("accuracy", np.array([1, 0, 1, 1]), np.array(["a", "a", "b", "b"]))
    assert one.metrics == {"accuracy": 0.75} and isinstance(one.per_query, pd.DataFrame)
    assert one.per_query.groupby("unit")["accuracy"].mean().tolist() == [0.5, 1.0]


@pytest.mark.slow
def test_views_of_a_drawn_set(tmp_path):
    shelves = load_set("mini-needles", seed=5, n_things=24, n_queries=24, n_database=40)
    corpus = Corpus(shelves, load_model("mini-vit"), cache=tmp_path, progress=False)
    views = Views.of(corpus)
    x = views.vectors(registry.parse("retriever", "Crop"))
    assert x.shape == (len(views), 192) and np.allclose(np.linalg.norm(x, axis=1), 1, atol=1e-5)
    part = corpus.live(views.picture(7), [views.box(7)])
    alone = registry.parse("retriever", "Crop").describe(part).read("descriptor")[0]
    np.testing.assert_allclose(x[7], alone, atol=1e-5)
    first, last = curves.halved(curves.after_views(views, x, rounds=4))
    assert last < first
