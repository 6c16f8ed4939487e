"""mAP under a protocol: hand-worked values, the revisited protocol derived again, ignored and own pictures, every fault."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foir_lib.bench.metrics import average_precision, mean_average_precision, revisited
from foir_lib.data import Protocol, ground_truth
from foir_lib.errors import InputError
from foir_lib.search.ranking import Ranking


def one(positive, ignored=(), own=-1):
    return Protocol(("q",), {"q": np.array(positive, int)}, {"q": np.array(ignored, int)}, np.array([own]))


@pytest.mark.parametrize(
    "ids, protocol, trapezoid, textbook",
    [
        ([3, 1, 0, 2], one([3, 1]), 1.0, 1.0),
        ([0, 1, 2, 3, 4], one([1, 4]), 0.2875, 0.45),  # ranks 1 and 4: METHODS' example
        ([5, 1, 6, 2, 3, 4], one([1, 4], ignored=[5, 6]), (1 + (1 / 3 + 2 / 4) / 2) / 2, (1 + 2 / 4) / 2),
        ([7, 1], one([1], own=7), 1.0, 1.0),
        ([7, 1], one([1, 7], own=7), 1.0, 1.0),  # the query itself is neither retrieved nor missed
        ([0, 1], one([1, 3]), 0.125, 0.25),  # 3 was not retrieved: (0 + 1/2) / 2 over two positives
        ([-1, -1, 1], one([1]), 1 / 6, 1 / 3),
        ([-1, 2], one([1]), 0.0, 0.0),
    ],
)
def test_by_hand(ids, protocol, trapezoid, textbook):
    for definition, want in (("trapezoid", trapezoid), ("textbook", textbook)):
        result = mean_average_precision([ids], protocol, definition)
        assert result.map == pytest.approx(want) and result.average_precision == pytest.approx([want])
    assert mean_average_precision(np.array([ids]), protocol).map == pytest.approx(trapezoid), "trapezoid by default"


def test_map_at_100_by_hand():
    rs = Protocol((0, 1, 2), {0: [0, 9], 1: np.arange(1000, 1150), 2: [0]}, definition="textbook@100")
    ranking = [np.r_[0, 1, 9], np.r_[1000, np.arange(99), 1001], np.r_[1:101, 0]]
    result = mean_average_precision(ranking, rs)
    want = [(1 + 2 / 3) / 2, 1 / 100, 0]  # of 150 positives 100 can be had; a right answer at place 101 is too late
    assert result.average_precision == pytest.approx(want) and result.map == pytest.approx(sum(want) / 3)
    whole = mean_average_precision(ranking, rs, "textbook").average_precision
    assert whole == pytest.approx([5 / 6, (1 + 2 / 101) / 150, 1 / 101])
    assert (
        mean_average_precision([np.arange(1000, 1100)], Protocol((1,), {1: np.arange(1000, 1150)}), "textbook@100").map
        == 1
    )


def test_map_at_1k_is_cut_there_and_other_cuts_are_none():
    """Positives at places 1 and 1,001 of a list: (1/1) / 2; at places 1 and 1,000: (1/1 + 2/1000) / 2; of 1,500 all first: 1."""
    ranking = [np.r_[1, 3:1002, 2], np.r_[1, 3:1001, 2, 1002]]
    rs = Protocol((0, 1), {0: [1, 2], 1: [1, 2]}, definition="textbook@1000")
    assert mean_average_precision(ranking, rs).average_precision == pytest.approx([1 / 2, (1 + 2 / 1000) / 2])
    assert mean_average_precision([np.arange(1500)], one(np.arange(1500)), "textbook@1000").map == 1
    for strange in ("textbook@0", "textbook@", "textbook@1k", "mean@1000"):
        with pytest.raises(InputError, match="AP definition .* is unknown"):
            mean_average_precision(ranking, rs, strange)


def test_queries_without_positives_are_left_out():
    protocol = Protocol((0, 1), {0: [0], 1: []})
    result = mean_average_precision([[1, 0], [0, 1]], protocol, "textbook")
    assert result.map == 0.5 and result.average_precision[0] == 0.5 and np.isnan(result.average_precision[1])
    with pytest.raises(InputError, match="No query has positives"):
        mean_average_precision([[0]], one([]))


@given(
    st.integers(0, 2**32 - 1), st.sampled_from(["easy", "medium", "hard"]), st.sampled_from(["trapezoid", "textbook"])
)
def test_it_is_the_revisited_evaluation_read_off_the_lists(seed, level, definition):
    rng = np.random.default_rng(seed)
    truth = [
        dict(zip(("easy", "hard", "junk", "-"), np.split(rng.permutation(30), np.sort(rng.integers(0, 30, 3)))))
        for _ in range(4)
    ]
    truth[0] = {"easy": np.array([3]), "hard": np.array([4]), "junk": np.array([])}
    ranking = [rng.permutation(30)[: rng.integers(1, 31)] for _ in range(4)]
    keys = {
        "easy": (["easy"], ["hard", "junk"]),
        "medium": (["easy", "hard"], ["junk"]),
        "hard": (["hard"], ["easy", "junk"]),
    }
    want = []
    for ids, lists in zip(ranking, truth):
        positive, ignored = ({row for key in part for row in lists[key].tolist()} for part in keys[level])
        left = [row for row in ids.tolist() if row not in ignored]
        ranks = [rank for rank, row in enumerate(left) if row in positive]
        want.append(average_precision(ranks, len(positive), definition) if positive else np.nan)
    got = mean_average_precision(ranking, ground_truth.protocols(truth, 30)[level], definition)
    np.testing.assert_array_equal(got.average_precision, want)
    assert got.map == revisited(ranking, truth, level, definition) == pytest.approx(np.nanmean(want))


def test_a_ranking_in_another_order_of_queries():
    protocol = Protocol((0, 1), {0: [0], 1: [1]})
    ids, scores = np.array([[0, 1], [1, 0]]), np.array([[2.0, 1.0]] * 2)
    right, wrong = (Ranking(np.array(rows), ids, scores, 2) for rows in ([0, 1], [1, 0]))
    assert mean_average_precision(right, protocol, "textbook").map == 1
    assert mean_average_precision(wrong, protocol, "textbook").average_precision.tolist() == [0.5, 0.5]


def test_faults():
    protocol = Protocol((0, 1), {0: [0], 1: [1]})
    with pytest.raises(InputError, match="of 1 queries, the ground truth of 2"):
        mean_average_precision([[0, 1]], protocol)
    with pytest.raises(InputError, match="of 1 queries, the ground truth of 2: rank all"):
        mean_average_precision(Ranking(np.array([1]), np.array([[0]]), np.ones((1, 1)), 2), protocol)
    for strange in ([0.2, 0.1], [np.nan, 1.0], ["a", "b"]):
        with pytest.raises(InputError, match="^The ranking of query 1 is .* give database rows, whole numbers.$"):
            mean_average_precision([[0, 1], strange], protocol)
    with pytest.raises(InputError, match="query 1 names a database row twice"):
        mean_average_precision([[0, 1], [1, 1]], protocol)
    with pytest.raises(InputError, match="AP definition 'mean'"):
        mean_average_precision([[0, 1], [1, 0]], protocol, "mean")
