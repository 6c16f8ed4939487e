"""Query expansion by hand, SuperGlobal against loops, and what must hold for any database."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foir_lib.errors import InputError
from foir_lib.search.knn import knn
from foir_lib.search.rerank import expansion, lists
from foir_lib.search.rerank.superglobal import superglobal

S = math.sqrt(0.5)


def unit(*shape, seed=0, shift=0.0):
    x = np.random.default_rng(seed).normal(size=shape) + shift
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)


# --- query expansion -------------------------------------------------------------------------------


def test_the_nearest_are_read_from_a_ranking():
    database = np.float32([[1, 0], [0, 1], [S, S]])
    result = lists.nearest(database, [[2, 0, 1], [1, -1, -1]], 2)
    assert result.tolist() == torch.tensor([[[S, S], [1, 0]], [[0, 1], [0, 0]]]).tolist()
    assert lists.nearest(database, [[2, 0]], 9).shape == (1, 2, 2)
    assert lists.nearest(torch.from_numpy(database), [[2, 0]], 0).shape == (1, 0, 2)


def test_average_by_hand():
    q = np.float32([[1, 0]])
    assert expansion.average_expansion(q, np.zeros((1, 0, 2))).tolist() == [[1, 0]]  # n = 0
    np.testing.assert_allclose(expansion.average_expansion(q, [[[0.0, 1]]]), [[S, S]], rtol=1e-6)  # one neighbour
    np.testing.assert_allclose(
        expansion.average_expansion(q, [[[0.6, 0.8], [-0.6, 0.8]]]), [[1 / 3.56**0.5, 1.6 / 3.56**0.5]], rtol=1e-6
    )
    np.testing.assert_allclose(expansion.average_expansion(q, [[[0.0, 1], [0, 0]]]), [[S, S]], rtol=1e-6)  # nothing found


def test_alpha_by_hand():
    q = np.float32([[1, 0]])
    for alpha, weight in [(1, 0.6), (3, 0.216), (0, 1)]:
        want = np.array([1 + weight * 0.6, weight * 0.8])
        got = expansion.alpha_expansion(q, [[[0.6, 0.8]]], alpha)
        np.testing.assert_allclose(got, [want / np.linalg.norm(want)], rtol=1e-6)
    assert expansion.alpha_expansion(q, np.zeros((1, 0, 2))).tolist() == [[1, 0]]
    for behind in ([-0.6, 0.8], [0, 1], [0, 0]):  # negative and zero similarities weigh nothing, for any alpha
        assert expansion.alpha_expansion(q, [[behind]], 3).tolist() == [[1, 0]]
        assert expansion.alpha_expansion(q, [[behind]], 0).tolist() == [[1, 0]]


@given(st.integers(0, 99), st.integers(0, 4), st.floats(0, 5))
def test_expansion_forgets_the_order_of_neighbours_and_stays_on_the_sphere(seed, n, alpha):
    q, x = unit(3, 5, seed=seed, shift=0.5), unit(3, 5, 5, seed=seed + 1, shift=0.5)[:, :n]
    for expanded in (expansion.average_expansion, lambda *a: expansion.alpha_expansion(*a, alpha)):
        result = expanded(q, x)
        np.testing.assert_allclose(np.linalg.norm(result, axis=1), 1, rtol=1e-5)
        np.testing.assert_allclose(expanded(q, x[:, ::-1].copy()), result, atol=1e-5)


def test_identical_neighbours_pull_and_a_large_alpha_keeps_the_query():
    q, v = np.float32([[1, 0]]), np.float32([0.8, 0.6])
    many = expansion.average_expansion(q, np.tile(v, (1, 500, 1)))
    np.testing.assert_allclose(many, [v], atol=3e-3)
    np.testing.assert_allclose(expansion.alpha_expansion(q, np.tile(v, (1, 5, 1)), 200), q, atol=1e-6)
    assert expansion.alpha_expansion(q, np.tile(q, (1, 5, 1))).tolist() == [[1, 0]]


def test_expansion_finds_the_neighbours_neighbour():
    angle = np.radians([0, 40, 75, -60])
    database = np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)
    query = np.float32([[1, 0]])
    assert knn(query, database, 4)[1].tolist() == [[0, 1, 3, 2]]
    expanded = expansion.average_expansion(query, lists.nearest(database, [[0, 1]], 2))
    assert knn(expanded, database, 4)[1].tolist() == [[0, 1, 2, 3]]


def test_bad_expansions_are_told():
    q = unit(2, 4)
    with pytest.raises(InputError, match="don't fit queries"):
        expansion.average_expansion(q, np.zeros((1, 3, 4)))
    with pytest.raises(InputError, match="NaN"):
        expansion.alpha_expansion(q, np.full((2, 1, 4), np.nan))
    for alpha in (-1, math.nan, math.inf):
        with pytest.raises(InputError, match="alpha"):
            expansion.alpha_expansion(q, np.zeros((2, 1, 4)), alpha)
    with pytest.raises(InputError, match="row 5"):
        lists.nearest(q, [[5]], 1)
    with pytest.raises(InputError, match="n=-1"):
        lists.nearest(q, [[0]], -1)


# --- SuperGlobal -----------------------------------------------------------------------------------


def looped(query, database, ids, scores, m, k, beta):
    """SuperGlobal re-ranking of one query in plain loops and float64."""
    top = [int(i) for i in ids[:m]]
    x = {i: database[i].astype(float) for i in top}
    refined = {}
    for i in top:
        others = sorted((j for j in top if j != i), key=lambda j: (-(x[i] @ x[j]), top.index(j)))[:k]
        total, vector = 1.0, x[i].copy()
        for j in others:
            weight = beta * max(x[i] @ x[j], 0)
            total, vector = total + weight, vector + weight * x[j]
        refined[i] = vector / total
    first = {i: query.astype(float) @ refined[i] for i in top}
    best = sorted(top, key=lambda i: (-first[i], top.index(i)))[: k + 1]
    expanded = [max(refined[i][d] for i in best) for d in range(len(query))]
    final = {i: (first[i] + refined[i] @ np.array(expanded)) / 2 for i in top}
    return sorted(top, key=lambda i: (-final[i], top.index(i))) + list(ids[m:]), final


@settings(max_examples=40)
@given(st.integers(0, 999), st.integers(1, 30), st.integers(1, 35), st.integers(0, 12), st.floats(0, 1))
def test_superglobal_is_its_loops(seed, n, m, k, beta):
    database, queries = unit(n, 8, seed=seed, shift=0.2), unit(2, 8, seed=seed + 1, shift=0.2)
    database *= np.random.default_rng(seed).uniform(0.5, 1, (n, 1)).astype(np.float32)  # self comes first all the same
    scores, ids = knn(queries, database, n)
    new_scores, new_ids = superglobal(queries, database, scores, ids, m, k, beta)
    assert (np.diff(new_scores, axis=1) <= 0).all() and np.isfinite(new_scores).all()
    for q in range(2):
        want, final = looped(queries[q], database, ids[q], scores[q], m, k, beta)
        for i, j, place in zip(new_ids[q], want, range(n)):
            assert i == j or final[i] == pytest.approx(final[j], abs=1e-5), place
        head = [final[i] for i in new_ids[q, :m]]
        np.testing.assert_allclose(new_scores[q, : len(head)], head, atol=1e-5)


def test_superglobal_by_hand():
    """Two pictures of three: M = 2, K = 1, beta 1/2, S = 0.6."""
    database, query = np.float32([[1, 0], [0.6, 0.8], [0, -1]]), np.float32([[0.8, 0.6]])
    ids, scores = np.array([[1, 0, 2]]), np.float32([[0.96, 0.8, -0.6]])
    first = np.array([[1 + 0.3 * 0.6, 0.3 * 0.8], [0.6 + 0.3, 0.8]]) / 1.3
    s1 = first @ [0.8, 0.6]
    final = (s1 + first @ first.max(0)) / 2
    new_scores, new_ids = superglobal(query, database, scores, ids, n_top=2, n_neighbours=1, beta=0.5)
    assert new_ids.tolist() == [[1, 0, 2]]
    np.testing.assert_allclose(new_scores[0], [final[1], final[0], -0.6], rtol=1e-6)


def test_superglobal_numbers_the_database_as_it_likes():
    database, queries = unit(25, 8, seed=3), unit(3, 8, seed=4)
    scores, ids = knn(queries, database, 25)
    want = superglobal(queries, database, scores, ids, 12)
    order = np.random.default_rng(0).permutation(25)
    got = superglobal(queries, database[order], scores, np.argsort(order)[ids], 12)
    np.testing.assert_array_equal(order[got[1]], want[1])
    np.testing.assert_allclose(got[0], want[0], atol=1e-6)


def test_superglobal_of_one_picture_and_of_equal_ones():
    query, one = unit(1, 4), unit(1, 4, seed=1)
    similarity = query @ one.T
    scores, ids = superglobal(query, one, similarity, [[0]])
    np.testing.assert_allclose(scores, (similarity + 1) / 2, rtol=1e-5)
    same = np.tile(one, (6, 1))
    scores, ids = superglobal(query, same, np.tile(similarity, (1, 6)), [[3, 1, 0, 2, 4, 5]])
    assert ids.tolist() == [[3, 1, 0, 2, 4, 5]]
    np.testing.assert_allclose(scores, np.tile((similarity + 1) / 2, (1, 6)), rtol=1e-5)


def test_opposite_pictures_have_no_say():
    """Nine opposite neighbours would outweigh a picture: 1 - 9 x 0.15 < 0."""
    e = np.float32([1, 0, 0, 0])
    database = np.stack([e, *[-e] * 9])
    scores, ids = superglobal(e[None], database, [[1] + [-1] * 9], [list(range(10))])
    assert ids[0, 0] == 0 and scores[0, 0] == pytest.approx((1 + 1) / 2) and np.isfinite(scores).all()


def test_what_stays_behind_never_scores_more_than_the_head():
    scores, ids = lists.head_first(np.float32([[9, 8, 7, 5]]), np.array([[4, 5, 6, 7]]), np.array([[1.0, 2.0]]))
    assert ids.tolist() == [[5, 4, 6, 7]] and scores.tolist() == [[2, 1, 1, -1]]
    scores, ids = lists.head_first(np.float32([[9, 8, 7, 5]]), np.array([[4, 5, 6, 7]]), np.array([[30, 30]]))
    assert ids.tolist() == [[4, 5, 6, 7]] and scores.tolist() == [[30, 30, 7, 5]]


def test_bad_rankings_are_told():
    database, query = unit(3, 4), unit(1, 4)
    for ids, scores in [([[0, 3]], [[1, 0]]), ([[0, -1]], [[1, 0]]), ([[0, 1]], [[1]]), ([0, 1], [1, 0])]:
        with pytest.raises(InputError, match="first ranking"):
            superglobal(query, database, scores, ids)
    with pytest.raises(InputError, match="n_top=0"):
        superglobal(query, database, [[1]], [[0]], n_top=0)
