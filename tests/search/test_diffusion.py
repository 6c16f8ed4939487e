"""Diffusion against the dense solution, on a chain, and on graphs that fall apart."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from foir_lib.errors import InputError
from foir_lib.search.knn import knn
from foir_lib.search.rerank import diffusion


def unit(*shape, seed=0, shift=0.0):
    x = np.random.default_rng(seed).normal(size=shape) + shift
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)


def neighbours(x, k):
    """(scores, ids) of each row's k nearest others."""
    return knn(x, x, k, exclude=np.arange(len(x)))


def looped(scores, ids, gamma=3):
    """The affinity, entry by entry."""
    n, a = len(ids), np.zeros((len(ids), len(ids)))
    s = {
        (i, int(j)): max(v, 0) ** gamma
        for i in range(n)
        for j, v in zip(ids[i], scores[i].astype(float))
        if j not in (i, -1)
    }
    for i, j in s:
        a[i, j] = min(s[i, j], s.get((j, i), 0))
    return a


def dense(a, y, alpha):
    """f by numpy's own solver, degrees of 0 left alone."""
    d = a.sum(1)
    root = np.diag(np.divide(1, np.sqrt(d), out=np.zeros_like(d), where=d > 0))
    return np.linalg.solve(np.eye(len(a)) - alpha * root @ a @ root, y.T).T


def test_the_graph_by_hand():
    """0 and 1 are mutual, 2 names 1 in vain, 3 is similar to nobody."""
    ids = np.array([[1, 2], [0, 3], [1, 2], [0, -1]])
    scores = np.array([[0.5, 0.9], [0.4, -0.2], [0.8, 1.0], [-0.1, 9.0]])
    a = diffusion.graph(scores, ids)
    want = np.zeros((4, 4))
    want[0, 1] = want[1, 0] = 0.4**3  # the smaller of two one-way similarities
    np.testing.assert_allclose(a.toarray(), want)
    np.testing.assert_allclose(diffusion.graph(scores, ids, gamma=1).toarray(), np.cbrt(want))
    s = diffusion.normalised(a).toarray()
    assert s[0, 1] == s[1, 0] == pytest.approx(1) and np.count_nonzero(s) == 2


@settings(max_examples=40)
@given(st.integers(0, 999), st.integers(2, 25), st.integers(1, 8), st.floats(0, 0.99), st.floats(-0.5, 1))
def test_it_is_the_dense_solution(seed, n, k, alpha, shift):
    scores, ids = neighbours(unit(n, 6, seed=seed, shift=shift), k)
    a = diffusion.graph(scores, ids)
    np.testing.assert_allclose(a.toarray(), looped(scores, ids), atol=1e-12)
    assert abs(a - a.T).max() == 0 and not a.diagonal().any()
    y = np.random.default_rng(seed).random((2, n))
    result = diffusion.diffuse(diffusion.normalised(a), y, alpha, tolerance=1e-10)
    np.testing.assert_allclose(result, dense(a.toarray(), y, alpha), rtol=1e-6, atol=1e-6)


def test_the_default_tolerance_ranks_as_the_dense_solution_does():
    x, q = unit(60, 6, seed=5, shift=0.4), unit(3, 6, seed=6, shift=0.4)
    a = diffusion.graph(*neighbours(x, 10))
    scores, ids = knn(q, x, 60)
    y = np.zeros((3, 60))
    np.put_along_axis(y, ids[:, :5], scores[:, :5].astype(float) ** 3, 1)
    f, new_ids = diffusion.rerank(a, scores, ids, n_query=5)
    want = dense(a.toarray(), y, 0.99)
    np.testing.assert_allclose(f, np.take_along_axis(want, new_ids, 1), rtol=1e-3, atol=1e-5 * want.max())
    assert [sorted(row) for row in new_ids.tolist()] == [list(range(60))] * 3
    assert (np.diff(f, axis=1) <= 0).all() and f.dtype == np.float32


def test_two_hops_along_a_chain_beat_a_stray():
    """Pictures every 20 degrees form a chain; a stray is nearer to the query than the chain's end is."""
    angle = np.radians([0, 20, 40, 60, -55])
    x = np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)
    scores, ids = knn(x[:1], x, 5)
    assert ids.tolist() == [[0, 1, 2, 4, 3]]
    f, new = diffusion.rerank(diffusion.graph(*neighbours(x, 2)), scores, ids, n_query=1)
    assert new[0].tolist()[-1] == 4 and f[0, -1] == 0 and set(new[0, :4]) == {0, 1, 2, 3}


def test_what_no_path_joins_keeps_the_order_of_the_first_ranking():
    ids = np.array([[1], [0], [3], [2], [-1]])
    a = diffusion.graph(np.ones((5, 1)), ids)
    f, new = diffusion.rerank(a, [[0.5, 0.4, 0.3, 0.2]], [[0, 4, 3, 2]], n_query=2)
    # 0 and 1 share, 4 is alone and keeps its y; 3 and 2 aren't reached; none is left out
    assert new.tolist() == [[0, 1, 4, 3, 2]] and f[0, 3:].tolist() == [0, 0]
    s, start = 0.99, 0.5**3
    np.testing.assert_allclose(f[0, :3], [start / (1 - s * s), s * start / (1 - s * s), 0.4**3], rtol=1e-4)
    f, new = diffusion.rerank(a, [[-0.5]], [[3]])  # no similarity at all
    assert new.tolist() == [[3, 0, 1, 2, 4]] and not f.any()


def test_one_picture_and_equal_pictures():
    f, new = diffusion.rerank(diffusion.graph([[0.0]], [[-1]]), [[0.7]], [[0]])
    assert new.tolist() == [[0]] and f[0, 0] == pytest.approx(0.343)
    assert diffusion.graph(np.zeros((1, 0)), np.zeros((1, 0), int)).nnz == 0
    x = np.tile(unit(1, 4), (6, 1))
    a = diffusion.graph(*neighbours(x, 5))
    f, new = diffusion.rerank(a, [[0.5] * 6], [[2, 0, 1, 3, 4, 5]], n_query=6)
    np.testing.assert_allclose(f, 0.125 / (1 - 0.99), rtol=1e-4)


def test_the_numbers_of_pictures_mean_nothing():
    x, q = unit(30, 6, seed=1, shift=0.3), unit(2, 6, seed=2, shift=0.3)
    order = np.random.default_rng(0).permutation(30)
    result = []
    for y in (x, x[order]):
        scores, ids = knn(q, y, 30)
        result.append(diffusion.rerank(diffusion.graph(*neighbours(y, 6)), scores, ids, tolerance=1e-9))
    np.testing.assert_allclose(result[0][0], result[1][0], rtol=1e-5, atol=1e-9)
    np.testing.assert_array_equal(result[0][1], order[result[1][1]])


def test_bad_input_is_told():
    a = diffusion.graph([[0.5], [0.5]], [[1], [0]])
    with pytest.raises(InputError, match="symmetric"):
        diffusion.normalised(sparse.csr_array([[0, 1.0], [0.5, 0]]))
    with pytest.raises(InputError, match="symmetric"):
        diffusion.normalised(sparse.csr_array([[0, -1.0], [-1.0, 0]]))
    with pytest.raises(InputError, match="square"):
        diffusion.normalised(sparse.csr_array((2, 3)))
    for alpha in (1, -0.1):
        with pytest.raises(InputError, match="alpha"):
            diffusion.rerank(a, [[1]], [[0]], alpha=alpha)
    with pytest.raises(InputError, match="NaN"):
        diffusion.graph([[0.5], [np.nan]], [[1], [0]])
    with pytest.raises(InputError, match="no graph"):
        diffusion.graph([[0.5], [0.5]], [[2], [0]])
    with pytest.raises(InputError, match="Start values"):
        diffusion.diffuse(diffusion.normalised(a), np.zeros((1, 3)))
    with pytest.raises(InputError, match="first ranking"):
        diffusion.rerank(a, [[1, 0]], [[0, 2]])
