"""Growth without a human: what is taken in, what goes first, how drift is told, and that harm ends it."""

from types import SimpleNamespace

import numpy as np
import pytest

from foir_lib import load_model, load_set, registry
from foir_lib.bench.memory import growth
from foir_lib.bench.memory.curves import ACCURACY
from foir_lib.bench.memory.views import Views
from foir_lib.memory import gate
from foir_lib.memory.gate import Gate, Grown
from foir_lib.retrievers.corpus import Corpus


class Drawn:
    """Views without pictures: ``n`` things, ``k`` views each on pictures of their own, around directions ``spread`` apart from noise."""

    def __init__(self, n, k, spread, seed=0, d=24):
        self.labels = np.repeat([f"thing {i:02d}" for i in range(n)], k)
        self.pictures = np.arange(n * k)
        rng = np.random.default_rng(seed)
        x = np.repeat(rng.normal(size=(n, d)), k, 0) + spread * rng.normal(size=(n * k, d))
        self.vectors = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


class Details:
    """Agreement of views without pictures: the encoder can't see which of its family a thing is, this can; ``seen``: how well."""

    checks = (SimpleNamespace(name="details"),)

    def __init__(self, views, seen=1.0, seed=0):
        self.labels, self.seed, self.seen = views.labels, seed, seen

    def __call__(self, check, a, b):
        a, b = sorted((int(a), int(b)))
        alike = self.labels[a][:-1] == self.labels[b][:-1]
        mean = 30 if self.labels[a] == self.labels[b] else alike * (30 - 18 * self.seen)
        return np.random.default_rng([self.seed, a, b]).poisson(mean)


def families(seed=0, **options):
    """Fifteen families of four; the vectors of a family differ by noise alone."""
    views = Drawn(60, 20, 0.35, seed)
    views.labels = np.repeat([f"thing {i // 4:02d}{'abcd'[i % 4]}" for i in range(60)], 20)
    rng = np.random.default_rng([seed, 1])
    x = np.repeat(rng.normal(size=(15, 24)), 80, 0) + 0.35 * rng.normal(size=(1200, 24))
    views.vectors = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    return views, Details(views, **options)


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


def test_only_machine_views_can_be_wrong_ones():
    grown = Grown(np.array([0, 1, 2, 3]), np.array([0, 1, 0, 1]), np.array([True, True, False, False]))
    assert grown.wrong(np.array([1, 1, 0, 0])).tolist() == [False, True] and grown.wrong(np.array([1, 1, 0, -1])).tolist() == [False, True]
    assert not len(Grown(np.array([0]), np.array([0]), np.array([True])).wrong(np.array([1])))


def by_hand(matches):
    """Two things of two humans' views, rows 0 to 3; pairs of rows have so many ``matches``, else 10."""
    vectors = at(0, 2, 90, 88, 1, 89)
    one = SimpleNamespace(checks=(SimpleNamespace(name="by hand"),))
    agreement = type("ByHand", (), {"checks": one.checks, "__call__": lambda self, check, a, b: matches.get((a, b), matches.get((b, a), 10))})()
    humans = Grown(np.arange(4), np.array([0, 0, 1, 1]), np.ones(4, bool))
    return Gate(humans, vectors, np.arange(6), agreement)


def test_agreement_by_hand():
    of = by_hand({(4, 0): 4, (4, 1): 8, (2, 3): 20, (5, 2): 20, (5, 3): 10})
    grown = of.humans.with_view(4, 0, of.vectors, 8).with_view(5, 1, of.vectors, 8)
    ratio, low, high = of.agrees(grown)
    assert ratio == pytest.approx((6 + 15) / (10 + 20)) and low == pytest.approx(6 / 10) and high == pytest.approx(15 / 20)
    assert of.harmed(grown), "both things agree less with their machine view than their humans' views do with each other"
    assert of.agrees(of.humans) == (1.0, 0.0, float("inf")) and not of.harmed(of.humans)
    assert not by_hand({}).harmed(grown), "equal agreement is no harm"
    assert gate.ratio(np.array([[1.0, 2.0]]))[2] == float("inf"), "one thing tells nothing"


def test_humans_views_that_are_no_longer_right_are_harm_too():
    """Machine views of each thing that lie on the other's: every human's view, left out, is nearest to one."""
    views = Drawn(20, 6, 0.3)
    rows, owners, same = np.flatnonzero(np.arange(120) % 6 < 2), np.repeat(np.arange(20), 2), lambda *_: 10
    of = Gate(Grown(rows, owners, np.ones(40, bool)), views.vectors, views.pictures, type("Same", (), {"checks": Details.checks, "__call__": same})())
    assert of.forgets(of.humans) == (0.0, 0.0, 0.0) and of.trial.right.mean() > 0.9
    wrong = Grown(np.r_[rows, rows + 2], np.r_[owners, (owners + 1) % 20], np.r_[np.ones(40, bool), np.zeros(40, bool)])
    gained, low, high = of.forgets(wrong)
    assert gained < 0 and high < 0 and low <= gained <= high and of.harmed(wrong)
    assert of.agrees(wrong)[0] == 1, "in space they agree"


def test_what_the_margin_or_a_check_refuses_stays_out():
    views, details = families()
    things, stream = growth.streamed(views, growth.LOOKALIKES, np.random.default_rng(0))
    one = growth.task(things)
    humans = Grown(one.rows, one.owners, np.ones(len(one.rows), bool))
    asked = Gate(humans, views.vectors, views.pictures, details)
    let = np.array([asked.lets_in(row, humans) for row in stream[:200]])
    own = np.array([one.labels[t] == views.labels[row] for t, row in zip(let, stream[:200], strict=True) if t >= 0])
    never = Gate(humans, views.vectors, views.pictures, type("None", (), {"checks": Details.checks, "__call__": lambda *_: 0})())
    assert 0 < len(own) < 200 and all(never.lets_in(row, humans) == -1 for row in stream[:50]), "no match agrees with nothing"


@pytest.mark.parametrize("seed", range(3))
def test_a_good_stream_goes_on_and_look_alikes_are_stopped_and_taken_back(seed):
    views, details = families(seed)
    good, bad = (growth.growth(views, views.vectors, passes, details, seed=seed) for passes in (growth.STRANGERS, growth.LOOKALIKES))
    assert not good.table["stopped"].any() and len(good.table) == 1 + growth.PARTS and good.table["machine"].iloc[-1] > 15
    assert good.table["wrong"].max() < 0.1 and bad.table["wrong"].max() > 0.4
    assert bad.table["stopped"].iloc[-1] and len(set(bad.accuracy)) == len(bad.table)
    first, last = (bad.accuracy[name].metrics[ACCURACY] for name in (list(bad.accuracy)[0], list(bad.accuracy)[-1]))
    assert first == last, "what came in is taken back"
    filled = growth.filled(bad.accuracy)
    assert list(filled) == list(growth.filled(good.accuracy)) and filled[growth.after(growth.PARTS)] is bad.accuracy[list(bad.accuracy)[-1]]
    on = growth.growth(views, views.vectors, growth.LOOKALIKES, details, seed=seed, stops=False)
    assert not on.table["stopped"].any() and on.table["wrong"].iloc[-1] > 0.4


def test_look_alikes_that_are_no_different_cannot_be_told():
    views, details = families(seen=0.0)
    grown = growth.growth(views, views.vectors, growth.LOOKALIKES, details)
    assert grown.table["machine"].max() == 0 or not grown.table["stopped"].any()


def test_streams_hold_what_they_say():
    views, _ = families()
    for passes in (growth.STRANGERS, growth.LOOKALIKES, growth.REMEMBERED):
        things, stream = growth.streamed(views, passes, np.random.default_rng(1))
        used = np.concatenate([np.concatenate(rows) for _, *rows in things])
        own, labels = {label for label, *_ in things}, set(views.labels[stream])
        assert not set(stream) & set(used) and own & labels
        families_of = {growth.family(label) for label in own}
        alike = {label for label in labels - own if growth.family(label) in families_of}
        assert bool(alike) == (passes == growth.LOOKALIKES) and bool(labels - own - alike) == (passes != growth.REMEMBERED)


@pytest.mark.slow
def test_a_drawn_set_grows_by_what_agrees(tmp_path):
    shelves = load_set("mini-needles", seed=5, n_things=48, n_queries=48, n_database=60)
    views = Views.of(Corpus(shelves, load_model("mini-vit-needles", device="cpu"), cache=tmp_path, progress=False))
    vectors = views.vectors(registry.parse("retriever", "Crop"))
    plain, checked = (growth.growth(views, vectors, growth.LOOKALIKES, gate.Agreement(views.crop, checks), stops=False, most=150) for checks in ((), gate.CHECKS))
    assert 0 < checked.table["machine"].iloc[-1] < plain.table["machine"].iloc[-1]
