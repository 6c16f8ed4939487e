"""Streamed co-attention search: the same as scoring everything at once, with candidates, paddings and ties."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foir_lib.errors import InputError
from foir_lib.methods import coattention as ca
from foir_lib.search import clusters
from foir_lib.store import features

N, K, D = 37, 4, 6


def unit(*shape, seed=0):
    x = np.random.default_rng(seed).normal(size=shape)
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)


def stored(root, x, count, shard=8):
    x = np.where(np.arange(x.shape[1])[None, :, None] < count[:, None, None], x, 0)
    arrays = {"clusters": x.astype(np.float16), "count": count.astype(np.int32)}
    key = {"test": "clusters", "sum": float(np.abs(x).sum()), "n": len(x)}
    return features.build(key, len(x), lambda a, b: {k: v[a:b] for k, v in arrays.items()}, root, shard, False)


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    count = np.random.default_rng(1).integers(1, K + 1, N)
    return stored(tmp_path_factory.mktemp("store"), unit(N, K, D, seed=2), count)


def whole(queries, database, **options):
    """Scores (Q, n) in one piece, each picture's own clusters alone, in float64."""
    x, count = database.read("clusters").astype(np.float64), database.read("count")
    q = torch.from_numpy(queries).double()
    return torch.cat(
        [ca.scores(q, torch.from_numpy(x[i : i + 1, :c]), **options) for i, c in enumerate(count)], 1
    ).numpy()


def by_score(scores):
    order = np.lexsort((np.broadcast_to(np.arange(scores.shape[1]), scores.shape), -scores), axis=1)
    return np.take_along_axis(scores, order, 1), order


@pytest.mark.parametrize("chunk", [1, 7, 8, 100])
@pytest.mark.parametrize("k", [1, 5, N, N + 9, None])
def test_streaming_is_scoring_in_one_piece(database, chunk, k):
    queries = unit(3, D)
    want, order = by_score(whole(queries, database))
    scores, ids = clusters.search(queries, database, k, chunk=chunk)
    width = min(k or N, N)
    assert scores.shape == ids.shape == (3, width) and scores.dtype == np.float32 and ids.dtype == np.int64
    np.testing.assert_array_equal(ids, order[:, :width])
    np.testing.assert_allclose(scores, want[:, :width], atol=2e-6)


def test_it_never_holds_more_than_a_chunk(database, monkeypatch):
    read, rows_read = features.Features.read, []
    monkeypatch.setattr(
        features.Features, "read", lambda self, name, rows=None: rows_read.append(len(rows)) or read(self, name, rows)
    )
    clusters.search(unit(1, D), database, 3, chunk=5)
    assert max(rows_read) == 5 and sum(rows_read) == 2 * N


def test_options_reach_the_score(database):
    queries = unit(2, D)
    for options in ({"temperature": 1.0}, {"normalised": False}):
        np.testing.assert_array_equal(
            clusters.search(queries, database, **options)[1], by_score(whole(queries, database, **options))[1]
        )
    x, count = database.read("clusters").astype(np.float32), database.read("count")
    best = np.where(
        np.arange(K) < count[:, None], x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-9) @ queries[0], -9
    )
    scores, ids = clusters.search(queries[:1], database, score=ca.one_to_many, how="max")
    np.testing.assert_allclose(scores[0], best.max(1)[ids[0]], atol=1e-5)


def test_queries_with_clusters_of_their_own(database):
    queries = [torch.from_numpy(unit(m, D, seed=m)) for m in (1, 3)]
    scores, ids = clusters.search(queries, database, 4, score=ca.many_to_many, chunk=9)
    x, count = database.read("clusters"), database.read("count")
    for q, row, result in zip(queries, ids, scores):
        want = ca.many_to_many(q, x, count=count).numpy()
        assert row.tolist() == np.argsort(-want, kind="stable")[:4].tolist()
        np.testing.assert_allclose(result, want[row], atol=1e-6)


@settings(max_examples=30)
@given(st.data())
def test_who_is_no_candidate_scores_zero_behind_the_positive_and_before_the_negative(database, data):
    n_queries, queries = 2, unit(2, D, seed=data.draw(st.integers(0, 5)))
    rows = [data.draw(st.lists(st.integers(0, N - 1), max_size=N)) for _ in range(n_queries)]
    want = whole(queries, database)
    for query, row in enumerate(rows):
        want[query, np.setdiff1d(np.arange(N), row)] = 0
    expected, order = by_score(want)
    k = data.draw(st.sampled_from([3, None]))
    scores, ids = clusters.search(queries, database, k, candidates=rows, chunk=data.draw(st.sampled_from([4, 64])))
    np.testing.assert_array_equal(ids, order[:, :k])
    np.testing.assert_allclose(scores, expected[:, :k], atol=2e-6)


def test_no_candidates_at_all_cost_nothing(database, monkeypatch):
    monkeypatch.setattr(features.Features, "read", lambda *_: pytest.fail("read"))
    scores, ids = clusters.search(unit(1, D), database, 5, candidates=[[]])
    assert scores.tolist() == [[0] * 5] and ids.tolist() == [[0, 1, 2, 3, 4]]


def test_only_candidates_are_read(database, monkeypatch):
    read, rows_read = features.Features.read, []
    monkeypatch.setattr(
        features.Features, "read", lambda self, name, rows=None: rows_read.extend(rows) or read(self, name, rows)
    )
    clusters.search(unit(2, D), database, 5, candidates=[[30, 2], [2, 11]], chunk=10)
    assert sorted(set(rows_read)) == [2, 11, 30]


def test_ties_go_to_the_lower_row(tmp_path):
    same = stored(tmp_path, np.tile(unit(1, 2, 3), (9, 1, 1)), np.full(9, 2))
    query = unit(2, 3, seed=4)
    for chunk in (2, 50):
        assert clusters.search(query, same, 4, chunk=chunk)[1].tolist() == [[0, 1, 2, 3]] * 2
        for k in (4, 9, None):
            assert clusters.search(query, same, k, chunk=chunk)[1].tolist() == [list(range(k or 9))] * 2


def test_one_cluster_is_the_plain_cosine(tmp_path):
    x, query = unit(5, 1, D), unit(1, D, seed=3)
    scores, ids = clusters.search(query, stored(tmp_path, x, np.ones(5, int)))
    np.testing.assert_allclose(scores[0], (x[:, 0] @ query[0])[ids[0]], atol=1e-3)


@pytest.mark.parametrize("temperature", [1.0, 10.0])
def test_float16_moves_a_score_by_no_more_than_stated(tmp_path, temperature):
    n, d = 300, 512
    x = unit(n, 10, d, seed=7) + 0.5 * unit(1, 1, d, seed=8)
    x /= np.linalg.norm(x, axis=-1, keepdims=True)
    query, exact = unit(2, d, seed=9) + unit(1, d, seed=8), torch.from_numpy(x).double()
    q = torch.from_numpy(query).double()
    want = ca.scores(q, exact, temperature).numpy()
    scores, ids = clusters.search(query, stored(tmp_path, x, np.full(n, 10)), temperature=temperature)
    result = np.empty_like(want)
    np.put_along_axis(result, ids, scores.astype(np.float64), 1)
    a = torch.stack([ca.weights(one, exact, temperature) for one in q])
    length = torch.einsum("qnk,nkd->qnd", a, exact).norm(dim=-1).numpy()
    moved = np.abs(result - want)
    turn = 2.0**-11
    bound = 2 * (turn + math.expm1(2 * temperature * turn)) / length
    assert (moved <= bound).all() and moved.max() > 0
    assert moved.max() < 1e-3


def test_the_vectors_a_query_sees(database):
    queries, ids = unit(2, D), np.array([[3, 0, -1], [5, 36, 3]])
    result = clusters.coattended(queries, database, ids).numpy()
    assert result.shape == (2, 3, D) and not result[0, 2].any()
    want = whole(queries, database)
    for query in range(2):
        for place, row in enumerate(ids[query]):
            if row >= 0:
                assert result[query, place] @ queries[query] == pytest.approx(want[query, row], abs=1e-5)
                assert np.linalg.norm(result[query, place]) == pytest.approx(1, abs=1e-5)


def test_bad_input_is_told(database, tmp_path):
    other = features.build({"other": 1}, 3, lambda a, b: {"descriptor": np.ones((b - a, 4))}, tmp_path, 8, False)
    for call, words in [
        (lambda: clusters.search(unit(1, D), other, 3), '"clusters"'),
        (lambda: clusters.search(unit(1, D + 1), database, 3), "doesn't fit"),
        (lambda: clusters.search(unit(1, D), database, 0), "k = 0"),
        (lambda: clusters.search(unit(1, D), database, 3, temprature=3), "'temprature' is unknown"),
        (lambda: clusters.search(unit(2, D), database, 3, candidates=[[1]]), "2 queries"),
        (lambda: clusters.search(unit(1, D), database, 3, candidates=[[N]]), f"{N} rows"),
        (lambda: clusters.search(np.full((1, D), np.nan, np.float32), database, 3), "NaN"),
    ]:
        with pytest.raises(InputError, match=words):
            call()
