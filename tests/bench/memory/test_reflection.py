"""Reflection on first answers: by hand, and with reflectors that know everything or nothing."""

import numpy as np
import pytest
from PIL import Image

from foir_lib.bench.memory import reflection
from foir_lib.bench.memory.curves import ACCURACY
from foir_lib.bench.memory.reflection import Reflected
from foir_lib.prompts import Box


def by_hand(**changes):
    names = np.array([["a", "b"], ["a", "b"], ["b", "a"], ["b", "a"]])
    odds = np.array([[2.0, -1.0], [-1.0, 3.0], [-2.0, -2.0], [np.nan, 1.0]])
    fields = {"names": names, "odds": odds, "truth": np.array(["a", "b", "b", "a"]), "sure": np.array([0.9, 0.2, 0.8, 0.3]), "unsure": np.array([0, 1, 1, 1], bool)}
    return Reflected(**fields | {"threshold": 0.0} | changes)


def test_a_no_moves_on_and_what_cannot_be_asked_is_not_denied():
    one = by_hand()
    assert one.first.tolist() == [True, False, True, False]
    assert one.reflected(np.ones(4, bool)).tolist() == [True, True, True, False], "all denied: the first stays; NaN stays"
    assert one.reflected(np.array([1, 0, 1, 1], bool)).tolist() == [True, False, True, False]


def test_a_controller_asks_at_most_half_and_those_least_sure():
    assert by_hand().controlled().tolist() == [False, True, False, True]
    assert by_hand(unsure=np.array([0, 0, 1, 0], bool)).controlled().tolist() == [False, False, True, False]


def test_verifying_by_hand():
    said = by_hand(odds=np.array([[2.0, 0], [-1.0, 0], [-2.0, 0], [1.0, 0]])).verified
    assert said["balanced accuracy"] == 0.5 and said["AUROC"] == 0.5


def test_thresholds_part_right_from_wrong_names():
    own = np.array([[3.0, 1.0], [2.5, 0.5], [4.0, 2.0]])
    assert reflection.threshold(own) == pytest.approx(2.25) and reflection.threshold(own[:0]) == 0
    assert reflection.threshold(np.full((2, 2), np.nan)) == 0


class Drawn:
    """Views whose pictures are of one colour that tells the thing."""

    def __init__(self, n=12, k=12, spread=1.6, seed=0):
        rng = np.random.default_rng(seed)
        self.labels, self.pictures = np.repeat([f"thing {i:02d}" for i in range(n)], k), np.arange(n * k)
        x = np.repeat(rng.normal(size=(n, 24)), k, 0) + spread * rng.normal(size=(n * k, 24))
        self.x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)

    def vectors(self, retriever):
        return self.x

    def picture(self, row):
        return Image.new("RGB", (8, 8), (int(self.labels[row][-2:]), 0, 0))

    def box(self, row):
        return Box(0, 0, 8, 8)


class Knows:
    """Says yes to the colour's own name; ``noise`` of it is chance."""

    def __init__(self, noise=0.0):
        self.noise, self.rng = noise, np.random.default_rng(0)

    def verify(self, look, names):
        truth = f"thing {look.getpixel((0, 0))[0]:02d}"
        return np.array([(2.0 if name == truth else -2.0) + self.noise * self.rng.normal() for name in names])


def test_who_knows_everything_puts_right_what_a_candidate_is_and_asks_at_most_half():
    reflected = reflection.reflect(Drawn(), None, Knows())
    values, said = reflection.scores(reflected)
    accuracy = {name: one.metrics[ACCURACY] for name, one in values.items()}
    among = (reflected.names == reflected.truth[:, None]).any(1).mean()
    assert accuracy["reflection on all"] == pytest.approx(among) and accuracy["encoder alone"] < among
    assert said["balanced accuracy"] == 1 and said["AUROC"] == 1 and 0 < said["share asked"] <= 0.5
    assert accuracy["encoder alone"] <= accuracy["reflection where unsure"] <= accuracy["reflection on all"]


def test_who_knows_nothing_is_found_out():
    said = reflection.scores(reflection.reflect(Drawn(), None, Knows(noise=1e3)))[1]
    assert abs(said["AUROC"] - 0.5) < 0.15


def test_intervals_of_verifying():
    everything = reflection.reflect(Drawn(), None, Knows())
    assert reflection.verifying(everything) == (1.0, 1.0)
    low, high = reflection.verifying(reflection.reflect(Drawn(), None, Knows(noise=1e3)))
    assert low < 0.5 < high and high - low < 0.4
