"""Learning curves by a simulated user: what each kind of feedback keeps."""

import numpy as np
import pytest

from foir_lib.bench.memory import interactions
from foir_lib.bench.memory.curves import ACCURACY


class Drawn:
    """Views without pictures; marked by a point they are noisier."""

    def __init__(self, n=20, k=20, spread=1.1, seed=0, d=24):
        rng = np.random.default_rng(seed)
        self.labels = np.repeat([f"thing {i}" for i in range(n)], k)
        self.pictures = np.arange(n * k)
        x = np.repeat(rng.normal(size=(n, d)), k, 0) + spread * rng.normal(size=(n * k, d))
        self._by = {"box": x, "mask": x, "point": x + 3 * rng.normal(size=x.shape)}

    def vectors(self, retriever, kind="box"):
        x = self._by[kind]
        return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def curves():
    found = interactions.learning(Drawn(), None, rounds=2)
    return {kind: [one.metrics[ACCURACY] for one in curve.values()] for kind, curve in found.items()}


def test_all_begin_alike_and_boxes_teach(curves):
    assert list(curves) == list(interactions.KINDS) and len({values[0] for values in curves.values()}) == 1
    assert curves["box"][-1] > curves["box"][0] + 0.1 and curves["box"] == curves["mask"]


def test_what_is_marked_badly_teaches_less(curves):
    assert curves["point"][-1] < curves["box"][-1]


def test_yes_and_no_teach_less_than_names(curves):
    assert curves["yes/no"][-1] < curves["box"][-1]


def user(kind, **options):
    """One thing at (1, 0), one at (0, 1); what comes by: a view of each, then one of the first that looks like the second."""
    marks = np.array([[1, 0], [0, 1], [0.9, 0.44], [0.1, 0.99], [0.45, 0.89]], np.float32)
    return interactions.User(kind, marks, marks[:2], np.array([2, 3, 4]), np.array([0, 1, 0]))


@pytest.mark.parametrize(("kind", "owners"), [("box", [0, 1, 0, 1, 0]), ("sentence", [0, 1, 0]), ("yes/no", [0, 1, 0, 1])])
def test_what_is_kept_by_hand(kind, owners):
    one = user(kind)
    one.interact(3)
    assert one.owners.tolist() == owners and one.done == 3
    one.interact(9)
    assert one.done == 3, "nothing comes by any more"


def test_a_quiz_asks_first_about_what_is_least_sure():
    one = user("quiz")
    one.interact(1)
    assert one.stream == [2, 3] and one.owners.tolist() == [0, 1, 0], "the view that looks like both"
