"""Exact search: the same neighbours as by faiss and by sorting everything."""

import faiss
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from foir_lib.errors import InputError
from foir_lib.search import knn as module
from foir_lib.search.knn import knn


def naive(queries, database, k, exclude=None):
    """Python's own sort by (-score, id), one query at a time, in float64."""
    scores = queries.astype(np.float64) @ database.astype(np.float64).T
    rows = []
    for q, row in enumerate(scores):
        allowed = [i for i in range(len(row)) if exclude is None or i != exclude[q]]
        rows.append(sorted(allowed, key=lambda i: (-row[i], i))[:k])
    width = min(map(len, rows))
    ids = np.array([row[:width] for row in rows])
    return np.take_along_axis(scores, ids, 1), ids


def pieces(database, size):
    return ((start, database[start : start + size]) for start in range(0, len(database), size))


def test_by_hand():
    database = np.array([[1, 0], [0, 1], [0.6, 0.8], [-1, 0]], np.float32)
    scores, ids = knn(np.array([[1, 0], [0, 2]], np.float32), database, 3)
    assert ids.tolist() == [[0, 2, 1], [1, 2, 0]] and ids.dtype == np.int64
    np.testing.assert_allclose(scores, [[1, 0.6, 0], [2, 1.6, 0]], rtol=1e-6)
    assert scores.dtype == np.float32


small = st.integers(-2, 2).map(float)  # inner products are exact and full of ties


@settings(max_examples=150, deadline=None)
@given(
    data=st.data(), size=st.integers(1, 12), k=st.integers(1, 14)
)
def test_equals_sorting_everything_with_ties(data, size, k):
    d = data.draw(st.integers(1, 3))
    queries = data.draw(arrays(np.float32, (data.draw(st.integers(1, 5)), d), elements=small))
    database = data.draw(arrays(np.float32, (data.draw(st.integers(2, 12)), d), elements=small))
    exclude = None
    if data.draw(st.booleans()):
        exclude = data.draw(
            arrays(np.int64, len(queries), elements=st.integers(-1, len(database) - 1))
        )
    scores, ids = knn(queries, pieces(database, size), k, exclude=exclude)
    want_scores, want_ids = naive(queries, database, k, exclude)
    np.testing.assert_array_equal(ids, want_ids)
    np.testing.assert_array_equal(scores, want_scores)


@pytest.mark.parametrize("k", [1, 10, 100, 150])
def test_blocks_faiss_and_sorting_agree(monkeypatch, k):
    monkeypatch.setattr(module, "QUERY_BLOCK", 7)
    monkeypatch.setattr(module, "DATABASE_BLOCK", 64)
    rng = np.random.default_rng(k)
    queries, database = (rng.standard_normal((n, 32)).astype(np.float32) for n in (40, 300))
    want_scores, want_ids = naive(queries, database, k)
    by_faiss = faiss.knn(queries, database, k, faiss.METRIC_INNER_PRODUCT)[1]
    for source in (database, pieces(database, 90)):
        scores, ids = knn(queries, source, k)
        np.testing.assert_allclose(scores, want_scores, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(ids, want_ids)
        np.testing.assert_array_equal(ids, by_faiss)


def test_duplicates_come_by_rising_id():
    database = np.tile(np.eye(4, dtype=np.float32), (50, 1))
    _, ids = knn(np.eye(4, dtype=np.float32)[:2], database, 20)
    np.testing.assert_array_equal(ids, [np.arange(20) * 4, np.arange(20) * 4 + 1])


def test_k_larger_than_database():
    eye = np.eye(3, dtype=np.float32)
    assert knn(eye, eye, 100)[1].shape == (3, 3)
    scores, ids = knn(eye, eye, 100, exclude=[0, -1, 2])
    assert ids.tolist() == [[1, 2], [1, 0], [0, 1]] and scores[1, 0] == 1


def test_accepts_half_precision_tensors_and_read_only_views():
    database = np.random.default_rng(0).standard_normal((20, 8)).astype(np.float32)
    want = knn(database[:4], database, 5)[1]
    frozen = np.asfortranarray(database)
    frozen.flags.writeable = False
    for given_ in (torch.from_numpy(database), frozen, database.astype(np.float64)):
        np.testing.assert_array_equal(knn(given_[:4], given_, 5)[1], want)
    half = database.astype(np.float16)
    np.testing.assert_array_equal(knn(half[:4], half, 5)[1], naive(half[:4], half, 5)[1])


def test_score_matrix_is_never_whole(monkeypatch):
    """Blocks bound the work: no product larger than QUERY_BLOCK x DATABASE_BLOCK."""
    monkeypatch.setattr(module, "QUERY_BLOCK", 16)
    monkeypatch.setattr(module, "DATABASE_BLOCK", 32)
    shapes, real = [], module._top

    def spy(scores, *rest):
        shapes.append(tuple(scores.shape))
        return real(scores, *rest)

    monkeypatch.setattr(module, "_top", spy)
    data = np.ones((100, 2), np.float32)
    knn(data, data, 3)
    assert max(shapes) == (16, 32) and sum(a * b for a, b in shapes) == 100 * 100


ONES = np.ones((3, 4), np.float32)
NAN = np.where(np.arange(12).reshape(3, 4) == 9, np.nan, 1)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((NAN, ONES, 1), "Query descriptors hold a NaN or infinite number in row 2"),
        ((ONES, np.concatenate([ONES, NAN]), 1), "Database descriptors hold a NaN .* row 5"),
        ((ONES, [(0, ONES), (3, NAN)], 1), "row 5"),
        ((ONES * np.inf, ONES, 1), "infinite"),
        ((ONES, ONES[:, :3], 1), "4 dimensions, the database has 3"),
        ((ONES[:0], ONES, 1), r"Query descriptors have shape \(0, 4\)"),
        ((ONES[0], ONES, 1), r"shape \(4,\)"),
        ((ONES, ONES[:0], 1), "database is empty"),
        ((ONES, [], 1), "database is empty"),
        ((ONES, ONES, 0), "k = 0"),
        ((ONES, [(0, ONES), (4, ONES)], 1), "starts at row 4, row 3 is next"),
    ],
)
def test_bad_input_is_one_sentence(arguments, message):
    with pytest.raises(InputError, match=message):
        knn(*arguments)


@pytest.mark.parametrize(
    "exclude, message",
    [([0, 1], "exclude has shape"), ([0, 1, 3], "names database row 3, the last one is 2")],
)
def test_bad_exclude(exclude, message):
    with pytest.raises(InputError, match=message):
        knn(ONES, ONES, 1, exclude=exclude)


def test_nothing_but_the_excluded():
    with pytest.raises(InputError, match="nothing but the query.s own, excluded"):
        knn(ONES, ONES[:1], 1, exclude=[0, 0, 0])


def test_products_that_overflow_are_told():
    large = np.full((2, 4), 3e38, np.float32)
    with pytest.raises(InputError, match="overflow: scale the descriptors"):
        knn(large, large, 1)
    assert knn(ONES, np.full((60, 4), 2e37, np.float32), 1)[1].tolist() == [[0]] * 3, "a sum of scores may overflow"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_gpu_gives_what_the_cpu_gives():
    rng = np.random.default_rng(0)
    queries, database = (rng.standard_normal((n, 64)).astype(np.float32) for n in (2000, 40000))
    want_scores, want_ids = knn(queries, database, 100)
    scores, ids = knn(queries, database, 100, device="cuda")
    np.testing.assert_allclose(scores, want_scores, rtol=1e-4, atol=1e-4)
    assert (ids == want_ids).mean() > 0.999  # neighbours closer than rounding may change places
