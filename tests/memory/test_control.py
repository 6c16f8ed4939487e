"""Thresholds learned by leaving out: by hand, and on drawn clusters."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foir_lib.memory import control


def test_first_answers_by_hand():
    owners = np.array([0, 1, 0, 2])
    scores = np.array([[0.1, 0.9, 0.8, 0.3], [0.2, -np.inf, 0.1, -np.inf]])
    answers = control.first(scores, owners, n=3)
    assert answers.things.tolist() == [[1, 0, 2], [0, -1, -1]]
    assert answers.views.tolist() == [[1, 2, 3], [0, -1, -1]]
    np.testing.assert_allclose(answers.scores, [[0.9, 0.8, 0.3], [0.2, -1, -1]])
    np.testing.assert_allclose(answers.features, [[0.9, 0.1], [0.2, 0.2]], atol=1e-12)


@given(st.integers(0, 2**32 - 1))
def test_first_answers_are_those_of_a_loop(seed):
    rng = np.random.default_rng(seed)
    owners, scores = rng.integers(0, 4, 9), rng.random((3, 9))
    answers = control.first(scores, owners, n=2)
    for row in range(3):
        best = {t: scores[row][owners == t].max() for t in set(owners.tolist())}
        expected = sorted(best, key=best.get, reverse=True)[:2]
        assert [t for t in answers.things[row].tolist() if t >= 0] == expected
        assert answers.scores[row, 0] == max(best.values()) and scores[row, answers.views[row, 0]] == answers.scores[row, 0]


def test_views_on_the_same_picture_are_left_out_together():
    vectors = np.array([[1, 0], [1, 0], [0.8, 0.6], [0, 1]], dtype=np.float32)
    owners, pictures = np.array([0, 0, 1, 1]), np.array(["a", "a", "b", "c"])
    trial = control.leave_out(vectors, owners, pictures, np.ones(4, bool))
    assert trial.known.things[0, 0] == 1, "its own picture's other view would have answered"
    assert trial.again.tolist() == [False, False, True, True]
    assert (trial.new.things[:, 0] != owners).all()


def clusters(rng, n_things=20, k=4, spread=0.5, d=32):
    centres = rng.normal(size=(n_things, d))
    x = np.repeat(centres, k, 0) + spread * rng.normal(size=(n_things * k, d))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x.astype(np.float32), np.repeat(np.arange(n_things), k), np.arange(n_things * k)


@pytest.mark.parametrize(("n", "most"), [(10, 0.08), (30, 0.06), (60, 0.05)])  # few things can't tell five percent
def test_new_things_are_called_known_in_at_most_five_percent(n, most):
    shares = []
    for seed in range(12):
        x, owners, pictures = clusters(np.random.default_rng(seed), n + 100)
        inside = owners < n
        thresholds = control.learn(control.leave_out(x[inside], owners[inside], pictures[inside], np.ones(inside.sum(), bool)))
        assert thresholds.weights is not None and f"learned from {4 * n} views" in str(thresholds)
        verdicts = thresholds.verdicts(control.first(x[~inside] @ x[inside].T, owners[inside]))
        shares.append([(verdicts == "known").mean(), (verdicts == "new").mean()])
    known, new = np.mean(shares, axis=0)
    assert known <= most and new > 0.5


def test_things_that_are_remembered_are_known():
    x, owners, pictures = clusters(np.random.default_rng(1), 30, k=6)
    inside = pictures % 6 < 4
    thresholds = control.learn(control.leave_out(x[inside], owners[inside], pictures[inside], np.ones(inside.sum(), bool)))
    answers = control.first(x[~inside] @ x[inside].T, owners[inside])
    known = thresholds.verdicts(answers) == "known"
    assert known.mean() > 0.9 and (answers.things[:, 0] == owners[~inside])[known].all()


def test_before_there_is_enough_to_learn_from_nothing_similar_to_two_is_known():
    one = control.Thresholds(None, 0.5, 0.005, 2)
    answers = control.first(np.array([[0.95, 0.94], [0.95, 0.7], [0.4, 0.1]]), np.array([0, 1]))
    assert one.verdicts(answers).tolist() == ["unsure", "known", "new"] and "not learned yet" in str(one)
    assert control.learn(control.leave_out(np.eye(2, dtype=np.float32), np.arange(2), np.arange(2), np.ones(2, bool))).weights is None


def test_in_blocks_as_at_once(monkeypatch):
    x, owners, pictures = clusters(np.random.default_rng(2), 6)
    said = np.ones(len(x), bool)
    whole = control.leave_out(x, owners, pictures, said)
    monkeypatch.setattr(control, "CELLS", 50)
    parts = control.leave_out(x, owners, pictures, said)
    for one, other in ((whole.known, parts.known), (whole.new, parts.new)):
        np.testing.assert_array_equal(one.things, other.things)
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-6)
    np.testing.assert_array_equal(whole.again, parts.again)


def test_views_of_machines_don_t_ask_but_answer():
    x, owners, pictures = clusters(np.random.default_rng(0), 4)
    said = np.arange(len(x)) % 4 < 3
    trial = control.leave_out(x, owners, pictures, said)
    assert trial.rows.tolist() == np.flatnonzero(said).tolist() and trial.known.views.max() >= 3


def test_the_surest_encoder_answers_or_none():
    sure = np.array([[0.9, 0.2, 0.1], [0.4, 0.8, 0.05]])
    assert control.chosen(sure).tolist() == [0, 1, 0] and control.chosen(sure, floor=0.3).tolist() == [0, 1, -1]
