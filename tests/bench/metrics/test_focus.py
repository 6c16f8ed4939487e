"""Metrics: worked by hand, derived a second time without numpy, and against public numbers."""

import pickle
import types
from collections import defaultdict

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from foir_lib.bench import metrics
from foir_lib.bench.metrics import (
    average,
    average_precision,
    focus_precision,
    precision_at_k,
    revisited,
    score,
)
from foir_lib.data import Protocol
from foir_lib.data.readers.pickles import load_plain
from foir_lib.errors import InputError, IntegrityError, MissingError
from foir_lib.search.ranking import Ranking

# --- AP of one list ---


@pytest.mark.parametrize(
    "ranks, n_positive, textbook, trapezoid",
    [
        ([1, 4], 2, 0.45, 0.2875),  # (1/2 + 2/5)/2; ((0/1 + 1/2)/2 + (1/4 + 2/5)/2)/2
        (
            [0, 3, 7],
            5,
            0.375,
            (1 + (1 / 3 + 2 / 4) / 2 + (2 / 7 + 3 / 8) / 2) / 5,
        ),  # not .625 = 1.875/3
        ([0, 1, 2], 3, 1.0, 1.0),
        ([2], 1, 1 / 3, 1 / 6),
        ([], 4, 0.0, 0.0),
    ],
)
def test_average_precision_by_hand(ranks, n_positive, textbook, trapezoid):
    assert average_precision(ranks, n_positive) == pytest.approx(textbook)
    assert average_precision(ranks[::-1], n_positive, "trapezoid") == pytest.approx(trapezoid)


@given(relevance=st.lists(st.booleans(), min_size=1, max_size=40))
def test_textbook_is_scikit_learns(relevance):
    assume(any(relevance))
    want = average_precision_score(relevance, -np.arange(len(relevance)))
    got = average_precision(np.flatnonzero(relevance), sum(relevance))
    assert got == pytest.approx(want)
    # the trapezoid never exceeds it: each precision is averaged with the smaller one just before
    assert average_precision(np.flatnonzero(relevance), sum(relevance), "trapezoid") <= got + 1e-12


@given(ranks=st.sets(st.integers(0, 60), min_size=1), extra=st.integers(0, 5))
def test_moving_a_positive_up_helps(ranks, extra):
    ranks = sorted(ranks)
    free = [r for r in range(ranks[-1]) if r not in ranks]
    assume(free)
    for definition in ("textbook", "trapezoid"):
        before = average_precision(ranks, len(ranks) + extra, definition)
        assert 0 <= before < average_precision(ranks[:-1] + free[:1], len(ranks) + extra, definition) <= 1


@pytest.mark.parametrize(
    "arguments, message",
    [
        (([1, 1], 2), "each once"),
        (([-1], 2), "from 0 on"),
        (([0.5], 2), "whole numbers"),
        (([[0]], 2), "whole numbers"),
        (([0, 1], 1), "n_positive = 1 is too few for 2"),
        (([], 0), "n_positive = 0"),
        (([0], 1, "found"), "'found' is unknown"),
    ],
)
def test_average_precision_refuses(arguments, message):
    with pytest.raises(InputError, match=message):
        average_precision(*arguments)


# --- P@k ---


def test_precision_by_hand():
    relevance = np.array([[1, 0, 1, 1], [0, 0, 0, 1]], bool)
    np.testing.assert_allclose(precision_at_k(relevance, 2), [0.5, 0])
    np.testing.assert_allclose(precision_at_k(relevance, 3), [2 / 3, 0])
    assert precision_at_k([True, False], 1) == 1
    with pytest.warns(UserWarning, match="Only 4 images are ranked: scores are at k = 4, not 100"):
        np.testing.assert_allclose(precision_at_k(relevance, 100), [0.75, 0.25])
    with pytest.raises(InputError, match="k = 0"):
        precision_at_k(relevance, 0)
    with pytest.raises(InputError, match="True and False"):
        precision_at_k([0.2, 0.7], 1)


# --- MP@k and MAP@k ---


def test_focus_precision_by_hand():
    """Image 7: two cats and a dog; image 8: one cat; k = 4."""
    relevance = [
        [1, 0, 1, 0],  # 7 cat: P 1/2, AP (1 + 2/3)/2 = 5/6
        [0, 0, 0, 1],  # 7 cat: P 1/4, AP 1/4
        [0, 0, 0, 0],  # 7 dog: P 0, AP 0
        [1, 1, 1, 1],  # 8 cat: P 1, AP 1
    ]
    result = focus_precision(relevance, [7, 7, 7, 8], ["cat", "cat", "dog", "cat"], k=4)
    cat_p, cat_ap = ((1 / 2 + 1 / 4) / 2 + 1) / 2, ((5 / 6 + 1 / 4) / 2 + 1) / 2
    want = pd.DataFrame({
        "label": ["cat", "dog"], "n_images": [2, 1], "n_queries": [3, 1],
        "precision": [cat_p, 0], "average_precision": [cat_ap, 0],
    })  # fmt: skip
    pd.testing.assert_frame_equal(result.per_category, want, check_dtype=False)
    assert (result.mp, result.map, result.k) == (
        pytest.approx(cat_p / 2),
        pytest.approx(cat_ap / 2),
        4,
    )
    np.testing.assert_allclose(result.per_query["precision"], [0.5, 0.25, 0, 1])
    np.testing.assert_allclose(result.per_query["average_precision"], [5 / 6, 1 / 4, 0, 1])
    assert list(result.per_query["label"]) == ["cat", "cat", "dog", "cat"]


def plain(relevance, image_ids, labels, k):
    """Equations A1-A8 once more, term by term, in plain Python."""
    n_c, images = defaultdict(int), defaultdict(set)
    for image, label in zip(image_ids, labels, strict=True):
        n_c[image, label] += 1
        images[label].add(image)
    mp = mean_ap = 0.0
    for row, image, label in zip(relevance, image_ids, labels, strict=True):
        share = [sum(row[:kk]) / kk for kk in range(1, k + 1)]  # A2
        correct = [kk for kk in range(1, k + 1) if row[kk - 1]]  # A6
        ap = sum(share[kk - 1] for kk in correct) / len(correct) if correct else 0  # A5
        weight = 1 / n_c[image, label] / len(images[label]) / len(images)  # A3, A4
        mp += weight * share[-1]
        mean_ap += weight * ap
    return mp, mean_ap


queries = st.integers(1, 9).flatmap(
    lambda k: st.lists(
        st.tuples(
            st.lists(st.booleans(), min_size=k, max_size=k),
            st.integers(0, 3),
            st.sampled_from("abc"),
        ),
        min_size=1, max_size=12,
    )
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(queries=queries, data=st.data())
def test_focus_precision_equals_the_equations_and_ignores_order(queries, data):
    relevance, image_ids, labels = zip(*queries, strict=True)
    k = data.draw(st.integers(1, len(relevance[0])))
    result = focus_precision(relevance, image_ids, labels, k)
    assert (result.mp, result.map) == pytest.approx(plain(relevance, image_ids, labels, k))
    order = data.draw(st.permutations(range(len(queries))))
    shuffled = focus_precision(*(np.array(part)[list(order)] for part in (relevance, image_ids, labels)), k)
    assert (shuffled.mp, shuffled.map) == pytest.approx((result.mp, result.map))
    for row, p, ap in zip(relevance, result.per_query["precision"], result.per_query["average_precision"], strict=True):
        assert 0 <= p <= 1 and 0 <= ap <= 1
        if any(row[:k]):  # AP@k is scikit-learn's AP of the list cut at k
            assert ap == pytest.approx(average_precision_score(row[:k], -np.arange(k)))


def test_repeating_an_object_changes_nothing():
    once = focus_precision([[1, 0], [0, 1]], [1, 2], ["a", "a"], 2)
    often = focus_precision([[1, 0], [0, 1], [0, 1], [0, 1]], [1, 2, 2, 2], ["a"] * 4, 2)
    assert (once.mp, once.map) == (often.mp, often.map) == (0.5, 0.75)


def test_small_database_says_so():
    with pytest.warns(UserWarning, match="Only 3 images"):
        result = focus_precision([[1, 1, 0]], [1], ["a"], 100)
    assert (result.mp, result.map, result.k) == (pytest.approx(2 / 3), 1.0, 3)


@pytest.mark.parametrize("image_ids, labels", [([1], ["a", "b"]), ([1, 2], ["a"]), ([], [])])
def test_focus_precision_refuses(image_ids, labels):
    with pytest.raises(InputError, match="don't belong together"):
        focus_precision(np.ones((2, 3), bool), image_ids, labels, 3)


def test_average_of_a_subset():
    result = focus_precision([[1, 1], [0, 0], [1, 0]], [1, 1, 2], ["a", "a", "b"], 2)
    assert average(result.per_query[result.per_query["image_id"] == 1], 2).mp == 0.5
    assert average(result.per_query.drop(index=1), 2).mp == 0.75


# --- a Ranking under a protocol ---


def small_set(ignored=(), metric="focus"):
    """Three queries, four database images; cats in 0 and 2, a dog in 3."""
    rules = Protocol(("cat", "dog", "cat"), {"cat": [0, 2], "dog": [3]}, {"cat": list(ignored)}, metric=metric)
    return types.SimpleNamespace(
        name="small", protocols={"contains": rules}, units=np.array([0, 0, 1]),
        database=pd.DataFrame({"image_id": list("wxyz")}),
        queries=pd.DataFrame({"image_id": ["q1", "q1", "q2"], "label": ["cat", "dog", "cat"]}),
        n_objects={"q1": 2, "q2": 1}.get,
    )  # fmt: skip


def ranking(rows, ids, n_database=4):
    return Ranking(np.array(rows), np.array(ids), -np.arange(len(ids[0]))[None].repeat(len(ids), 0), n_database)


def test_score_by_hand():
    result = score(ranking([0, 1, 2], [[0, 1, 2], [0, 3, 1], [1, 3, 0]]), small_set(), k=2)
    want = pd.DataFrame({
        "image_id": ["q1", "q1", "q2"], "label": ["cat", "dog", "cat"], "query": [0, 1, 2], "unit": [0, 0, 1],
        "n_objects": [2, 2, 1], "precision": [0.5, 0.5, 0.0], "average_precision": [1.0, 0.5, 0.0],
    })  # fmt: skip
    pd.testing.assert_frame_equal(result.per_query, want)
    assert result.metrics == {"MP@2": result.mp, "MAP@2": result.map}
    assert metrics.scored(ranking([0, 1, 2], [[0, 1, 2], [0, 3, 1], [1, 3, 0]]), small_set(), 2)["contains"].metrics == result.metrics
    assert (result.mp, result.map) == ((0.25 + 0.5) / 2, (0.5 + 0.5) / 2)


def test_score_of_some_queries_in_other_order():
    result = score(ranking([2, 0], [[1, 0], [0, 2]]), small_set(), k=2)
    assert dict(zip(result.per_query["query"], result.per_query["precision"])) == {2: 0.5, 0: 1.0}
    assert result.mp == 0.75


def test_score_of_map_by_hand():
    """Cats, query 0: ranks 0 and 2 of 0 1 2 3; the dog, query 1: rank 1; query 2 as query 0, but its list is 1 2 0 3."""
    lists = ranking([0, 1, 2], [[0, 1, 2, 3], [0, 3, 1, 2], [1, 2, 0, 3]])
    result = score(lists, small_set(metric="mAP"))
    trapezoid = [(1 + (1 / 2 + 2 / 3) / 2) / 2, (0 + 1 / 2) / 2, ((0 + 1 / 2) / 2 + (1 / 2 + 2 / 3) / 2) / 2]
    assert result.per_query["average_precision"].tolist() == pytest.approx(trapezoid)
    assert result.metrics == {"mAP contains": pytest.approx(sum(trapezoid) / 3)} and result.map == result.metrics["mAP contains"]


def test_score_of_a_small_database_warns():
    with pytest.warns(UserWarning, match="Only 4 images"):
        assert score(ranking([0], [[0, 2, 1, 3]]), small_set(), k=100).k == 4


@pytest.mark.parametrize(
    "arguments, options, message",
    [
        (([0], [[0, 2]]), {"k": 100}, "has 2 of 4 images per query: search with k=100"),
        (([0], [[0, 2]], 5), {"k": 2}, "is of 5 images .* not of small with 4 images"),
        (([3], [[0, 2]]), {"k": 2}, "query rows up to 3"),
        (([0], [[0, 2]]), {"protocol": "hard"}, "no protocol of small 'hard': known are contains"),
    ],
)
def test_score_refuses(arguments, options, message):
    with pytest.raises(InputError, match=message):
        score(ranking(*arguments), small_set(), **options)
    with pytest.raises(InputError, match="ignores images, unknown to P@k"):
        score(ranking([0], [[0, 2]]), small_set(ignored=[1]), k=2)


# --- Revisited Oxford and Paris ---

TRUTH = [{"easy": [3], "hard": [5, 1], "junk": [0]}, {"easy": [], "hard": [2], "junk": []}]
LISTS = [[0, 5, 3, 4, 1, 2], [2, 0, 1, 3, 4, 5]]


def test_revisited_by_hand():
    # query 0, easy: 0, 5 and 1 go -> 3 4 2: rank 0 of 1; query 1 has no easy positives and doesn't count
    assert revisited(LISTS, TRUTH, "easy") == 1
    # medium: 0 goes -> 5 3 4 1 2: ranks 0, 1, 3; hard: 0 and 3 go -> 5 4 1 2: ranks 0, 2
    medium = (1 + 1 + (2 / 3 + 3 / 4) / 2) / 3
    hard = (1 + (1 / 2 + 2 / 3) / 2) / 2
    assert revisited(LISTS, TRUTH, "medium") == pytest.approx((medium + 1) / 2)
    assert revisited(LISTS, TRUTH, "hard") == pytest.approx((hard + 1) / 2)
    assert revisited(LISTS, TRUTH, "hard", "textbook") == pytest.approx(((1 + 2 / 3) / 2 + 1) / 2)


def test_revisited_takes_rows_columns_and_short_lists():
    want = revisited(LISTS, TRUTH, "medium")
    assert revisited(np.array(LISTS), TRUTH, "medium") == revisited(np.array(LISTS).T, TRUTH, "medium") == want
    assert revisited([[5], [0, 2]], TRUTH, "hard") == pytest.approx((1 / 2 + (0 + 1 / 2) / 2) / 2)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((LISTS, TRUTH, "hrad"), "no level 'hrad': did you mean hard"),
        ((LISTS[:1], TRUTH, "easy"), "of 1 queries, the ground truth of 2"),
        (([[0, 0], [1, 2]], TRUTH, "easy"), "query 0 names a database row twice"),
        ((LISTS, [TRUTH[0], {"easy": [1], "hard": []}], "easy"), "query 1 lacks the list 'junk'"),
        ((LISTS, [TRUTH[0], {"easy": [1], "hard": [1], "junk": []}], "easy"), "query 1 lists image 1 twice"),
        ((LISTS[1:], TRUTH[1:], "easy"), "No query has positives"),
    ],
)
def test_revisited_refuses(arguments, message):
    with pytest.raises(InputError, match=message):
        revisited(*arguments)


PUBLIC = [
    ("roxford5k", {"easy": 0.009226, "medium": 0.017295, "hard": 0.009986}),
    ("rparis6k", {"easy": 0.017006, "medium": 0.040614, "hard": 0.025370}),
]


@pytest.mark.real
@pytest.mark.parametrize("name, numbers", PUBLIC)
def test_revisited_on_the_true_ground_truth(foir_data, name, numbers):
    truth = load_plain(foir_data / "landmarks" / f"gnd_{name}.pkl")
    n, gnd = len(truth["imlist"]), truth["gnd"]
    chance = np.stack([np.random.default_rng(q).permutation(n) for q in range(len(gnd))])
    for level, number in numbers.items():
        assert revisited(chance, gnd, level) == pytest.approx(number, abs=5e-7)
        keys = {"easy": ["easy"], "medium": ["easy", "hard"], "hard": ["hard"]}[level]
        perfect = [np.concatenate([g["junk"], *(g[key] for key in keys)]).astype(int) for g in gnd]
        assert revisited(perfect, gnd, level) == 1


# --- pickles ---


def test_plain_pickles_open_and_nothing_else(tmp_path):
    path = tmp_path / "gnd.pkl"
    content = {"gnd": [{"easy": [1, 2], "bbx": (0.5, 1.0)}], "imlist": ["a"], "none": None}
    path.write_bytes(pickle.dumps(content))
    assert load_plain(path) == content
    for bad in (
        pickle.dumps(pytest.raises),
        b"cos\nsystem\n(S'touch hurt'\ntR.",
        pickle.dumps(content)[:-9],
        b"",
    ):
        path.write_bytes(bad)
        with pytest.raises(IntegrityError, match="isn't plain data or is damaged"):
            load_plain(path)
    with pytest.raises(MissingError, match="no ground truth at"):
        load_plain(tmp_path / "none.pkl")
