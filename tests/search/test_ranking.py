"""Ranking: it can't be born wrong, and comes back from disk as it went."""

import numpy as np
import pytest

from foir_lib.errors import InputError, IntegrityError, MissingError
from foir_lib.search.ranking import Ranking, without

ROWS = np.array([4, 0])
IDS = np.array([[2, 0, 9], [1, 2, 3]])
SCORES = np.array([[0.9, 0.5, 0.5], [0.3, 0.2, -0.1]])


def test_holds_what_it_was_given():
    ranking = Ranking(ROWS, IDS, SCORES, 10)
    assert (
        len(ranking) == 2 and ranking.ids.dtype == np.int64 and ranking.scores.dtype == np.float32
    )
    assert ranking.top(0, 2).tolist() == [1, 2]  # by row of the queries table, not by position
    assert ranking.top(4).tolist() == [2, 0, 9]
    with pytest.raises(InputError, match="Query 1 isn't in this ranking"):
        ranking.top(1)


def test_is_a_read_only_copy():
    ids = IDS.copy()
    ranking = Ranking(ROWS, ids, SCORES, 10)
    ids[0, 0] = 5
    assert ranking.ids[0, 0] == 2
    with pytest.raises(ValueError, match="read-only"):
        ranking.ids[0, 0] = 5
    with pytest.raises(AttributeError):
        ranking.ids = ids


@pytest.mark.parametrize(
    "change, message",
    [
        ({"ids": [[2, 0, 2], [1, 2, 3]]}, "query 4 names a database row twice"),
        ({"ids": [[2, 0, 10], [1, 2, 3]]}, "Database row 10 is ranked, but rows run from 0 to 9"),
        ({"ids": [[2, 0, 9], [1, 2, -2]]}, "Database row -2"),
        ({"ids": IDS * 1.0}, "ids of a ranking can't be of type float64"),
        ({"ids": IDS[:, :2]}, r"not \(2,\), \(2, 2\) and \(2, 3\)"),
        ({"ids": IDS[0], "scores": SCORES[0]}, "a ranking needs|A ranking needs"),
        ({"query_rows": [4, 0, 1]}, "A ranking needs"),
        ({"query_rows": [4, -4]}, "rows from 0 on"),
        ({"query_rows": [4, -1]}, "from 0 on"),
        ({"scores": [[0.9, 0.5, 0.5], [0.3, 0.2, 0.4]]}, "query 0 has scores that rise"),
        ({"scores": [[0.9, np.nan, 0.5], [0.3, 0.2, 0.1]]}, "query 4 holds a NaN"),
        ({"scores": [[np.inf, 0.6, 0.5], [0.3, 0.2, 0.1]]}, "query 4 holds a NaN or infinite"),
        ({"query_rows": ROWS[:0], "ids": IDS[:0], "scores": SCORES[:0]}, "none empty"),
        ({"ids": IDS[:, :0], "scores": SCORES[:, :0]}, "none empty"),
    ],
)
def test_wrong_ones_are_refused(change, message):
    parts = {"query_rows": ROWS, "ids": IDS, "scores": SCORES, "n_database": 10, **change}
    with pytest.raises(InputError, match=message):
        Ranking(**parts)


def test_round_trip(tmp_path):
    ranking = Ranking(ROWS, IDS, SCORES, 10)
    ranking.save(tmp_path / "deep" / "r.npz")
    again = Ranking.load(tmp_path / "deep" / "r.npz")
    for name in ("query_rows", "ids", "scores"):
        np.testing.assert_array_equal(getattr(again, name), getattr(ranking, name))
    assert again.n_database == 10
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["r.npz"]


def test_damaged_missing_and_foreign_files(tmp_path):
    path = tmp_path / "r.npz"
    with pytest.raises(MissingError, match="no ranking at"):
        Ranking.load(path)
    Ranking(ROWS, IDS, SCORES, 10).save(path)
    whole = path.read_bytes()
    for content in (b"", whole[:200], b"x" * 50):
        path.write_bytes(content)
        with pytest.raises(IntegrityError, match="can't be read"):
            Ranking.load(path)
    np.savez(path, ids=IDS)
    with pytest.raises(IntegrityError, match="can't be read"):
        Ranking.load(path)
    np.savez(
        path, query_rows=ROWS, ids=np.array([["a"], [None]], object), scores=SCORES, n_database=3
    )
    with pytest.raises(IntegrityError, match="Python objects"):
        Ranking.load(path)


def test_clicks_repeat_a_query_and_what_is_not_retrieved_may_repeat():
    ranking = Ranking([4, 4], [[2, 0, -1], [1, -1, -1]], SCORES, 10)
    assert ranking.ids[1].tolist() == [1, -1, -1] and ranking.query_rows.tolist() == [4, 4]


def test_own_rows_are_left_out_and_lists_stay_equally_long():
    scores = np.array([[0.9, 0.8, 0.7], [0.9, 0.8, 0.7], [0.9, 0.8, 0.7]])
    ids = np.array([[3, 1, 2], [1, 3, 2], [1, 2, 0]])
    left = without(scores, ids, np.array([3, -1, 3]), 2)
    assert left[1].tolist() == [[1, 2], [1, 3], [1, 2]] and left[0].tolist() == [[0.8, 0.7], [0.9, 0.8], [0.9, 0.8]]
    with pytest.raises(InputError, match="nothing but the query"):
        without(scores[:, :1], ids[:, :1], np.array([3, 1, 1]), 0)
