"""Hypergraph propagation, community selection and topological verification, on graphs and matches worked by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foir_lib.errors import InputError
from foir_lib.search.rerank import community, hypergraph, lists, topological
from foir_lib.search.rerank.hypergraph import Edge
from foir_lib.search.rerank.spatial import Keypoints

WHOLE = np.float32([0, 0, 100, 100])


def edge(row, here, there, inliers=None):
    return Edge(row, np.float32(here), np.float32(there), inliers or len(here))


# ---- hypergraph propagation

# Picture 0 shows a church (left half) and a tower (right half); 1 the church alone, 2 the tower alone, 3 the church again, known to 1
# alone, and 4, known to 3 alone. Where a landmark stands is where its matches lie.
GRAPH = {
    0: [edge(1, [(10, 10), (40, 50)], [(20, 30), (60, 80)]), edge(2, [(70, 10), (90, 60), (80, 20)], [(5, 5), (50, 90), (30, 30)])],
    1: [edge(3, [(40, 50), (90, 90)], [(33, 44), (1, 1)]), edge(0, [(20, 30), (60, 80)], [(10, 10), (40, 50)])],
    2: [edge(4, [(6, 7)], [(9, 9)])],
    3: [edge(4, [(33, 44), (34, 45)], [(70, 70), (72, 75)])],
    4: [],
}


def test_what_is_reached_is_told_breadth_first_most_inliers_first():
    reached = hypergraph.propagate(GRAPH.get, 0, WHOLE)
    assert [(one.row, one.parent, one.hop) for one in reached] == [(0, -1, 0), (2, 0, 1), (1, 0, 1), (4, 2, 2), (3, 1, 2)]


def test_a_region_is_the_box_of_the_inliers_inside_the_one_before():
    by_row = {one.row: one for one in hypergraph.propagate(GRAPH.get, 0, np.float32([0, 0, 50, 100]))}  # the church's half
    assert sorted(by_row) == [0, 1, 3], "the tower isn't carried along, nor 4: 3's inlier (33, 44) is a box of nothing"
    assert by_row[1].region.tolist() == [20, 30, 60, 80]
    assert by_row[3].region.tolist() == [33, 44, 33, 44], "(90, 90) lies outside of the church in 1, so (1, 1) doesn't count"


@pytest.mark.parametrize(("hops", "rows"), [(1, {0, 1, 2}), (2, {0, 1, 2, 3, 4})])
def test_hops_are_counted(hops, rows):
    assert {one.row for one in hypergraph.propagate(GRAPH.get, 0, WHOLE, hops)} == rows


def test_a_point_on_the_border_is_not_inside():
    assert hypergraph.inside(np.float32([(0, 5), (5, 5), (10, 5), (5, 10)]), np.float32([0, 0, 10, 10])).tolist() == [False, True, False, False]
    (alone,) = hypergraph.propagate({0: [edge(1, [(0, 50), (100, 3)], [(1, 1), (2, 2)])]}.get, 0, WHOLE)
    assert alone.row == 0


def test_a_circle_ends():
    ring = {i: [edge((i + 1) % 3, [(5, 5), (50, 50), (90, 90)], [(5, 5), (50, 50), (90, 90)])] for i in range(3)}
    assert [one.row for one in hypergraph.propagate(ring.get, 1, WHOLE, hops=50)] == [1, 2, 0]


def test_what_is_reached_comes_first_and_the_rest_stays_in_order():
    ids, scores = np.array([[3, 0, 1, 2, 4], [4, 3, 2, 1, 0]]), np.tile(np.float32([0.9, 0.8, 0.7, 0.6, 0.5]), (2, 1))
    new, rows = hypergraph.rerank(GRAPH.get, [0, 4], [WHOLE, WHOLE], scores, ids, 5, hops=1)
    assert rows.tolist() == [[0, 2, 1, 3, 4], [4, 3, 2, 1, 0]]
    np.testing.assert_allclose(new[0], [3.9, 2.9, 1.9, 0.9, 0.5])
    np.testing.assert_allclose(new[1], [1.9, 0.8, 0.7, 0.6, 0.5])
    _, short = hypergraph.rerank(GRAPH.get, [0], [WHOLE], scores[:1, :2], ids[:1, :2], 5)
    assert short.tolist() == [[0, 3]], "what the first ranking doesn't name isn't added"
    with pytest.raises(InputError, match="hops=0"):
        hypergraph.rerank(GRAPH.get, [0], [WHOLE], scores[:1], ids[:1], 5, hops=0)


@given(st.integers(0, 10**6))
def test_other_numbers_of_the_pictures_give_the_same_pictures(seed):
    rng = np.random.default_rng(seed)
    n = 9
    graph = {}
    for i in range(n):
        others = rng.permutation(np.delete(np.arange(n), i))[: rng.integers(4)]
        counts = rng.permutation(np.arange(1, 9))
        graph[i] = [edge(int(j), rng.uniform(0, 100, (k, 2)), rng.uniform(0, 100, (k, 2))) for j, k in zip(others, counts)]
    new = rng.permutation(n)  # picture i is called new[i]
    renamed = {int(new[i]): [one._replace(row=int(new[one.row])) for one in edges] for i, edges in graph.items()}
    first = hypergraph.propagate(graph.get, 0, WHOLE)
    again = hypergraph.propagate(renamed.get, int(new[0]), WHOLE)
    assert [int(new[one.row]) for one in first] == [one.row for one in again]
    for one, other in zip(first, again):
        np.testing.assert_array_equal(one.region, other.region)


@given(st.lists(st.lists(st.integers(0, 6), unique=True), min_size=1, max_size=4))
def test_a_ranking_with_some_in_front_holds_each_picture_once_best_first(fronts):
    ids = np.tile(np.arange(7), (len(fronts), 1))
    scores = np.tile(np.linspace(1, -1, 7, dtype=np.float32), (len(fronts), 1))
    new, rows = lists.in_front(scores, ids, fronts)
    assert (np.sort(rows, 1) == np.arange(7)).all() and (np.diff(new, axis=1) <= 0).all()
    for front, row in zip(fronts, rows.tolist()):
        assert row == front + [i for i in range(7) if i not in front]


# ---- community selection


def test_components_are_numbered_by_their_first_picture_whoever_knows_the_edge():
    known = {8: [3], 3: [], 5: [99], 7: [5], 1: []}  # 99 is no result
    labels = community.communities([8, 5, 3, 7, 1], known.get)
    assert labels.tolist() == [0, 1, 0, 1, 2]
    assert community.communities([4], lambda row: []).tolist() == [0]


def test_uncertainty_is_an_entropy_in_nats():
    assert community.uncertainty(np.zeros(20, int)) == 0
    assert community.uncertainty(np.arange(20)) == pytest.approx(math.log(20))
    assert community.uncertainty(np.array([0, 0, 1, 1])) == pytest.approx(math.log(2))
    shares = (0.6, 0.3, 0.1)  # 12, 6 and 2 of 20
    assert community.uncertainty(np.repeat([0, 1, 2], (12, 6, 2))) == pytest.approx(-sum(p * math.log(p) for p in shares)) == pytest.approx(0.898, abs=1e-3)


@pytest.mark.parametrize(
    ("inliers", "seed", "verified"),
    [
        ({7: 20, 8: 99}, 7, [7]),  # as many as are enough: it stays, and nothing else is verified
        ({7: 19, 8: 20, 9: 21, 5: 99}, 9, [7, 8, 9]),  # the first with more than 20, not the one with most
        ({7: 0, 8: 3, 9: 20}, 7, [7, 8, 9]),  # none has more: the first stays
    ],
)
def test_a_list_in_doubt_begins_with_the_first_that_is_verified(inliers, seed, verified):
    calls = []

    def inliers_of(row):
        calls.append(row)
        return inliers[row]

    assert community.seed_of(list(inliers), inliers_of) == seed and calls == verified


# ---- topological verification


def test_cells_by_hand():
    box = np.float32([0, 0, 30, 60])
    points = np.float32([(0, 0), (9, 19), (10, 0), (29, 0), (0, 20), (15, 30), (30, 60), (20, 40)])
    assert topological.cells_of(points, box).tolist() == [0, 0, 1, 2, 3, 4, 8, 8]
    assert topological.cells_of(points[:2], np.float32([5, 5, 5, 5])).tolist() == [0, 8], "a box of nothing"
    assert topological.cells_of(np.float32([(7, 3)]), np.float32([7, 0, 7, 9])).tolist() == [3], "a line: its first column"


def lattice(n=4, step=10.0):
    """Points (n * n, 2) on a square lattice, row by row, and matches of each to itself."""
    y, x = np.divmod(np.arange(n * n), n)
    return np.float32(np.stack([x, y], 1) * step + 5), np.repeat(np.arange(n * n)[:, None], 2, 1)


def test_the_share_that_stays_in_its_cell():
    points, pairs = lattice()  # 16 points at 5, 15, 25, 35: cells of 10 pixels, so 5 | 15 | 25, 35
    windows = (np.float32([0, 0, 40, 40]),) * 2
    assert topological.agreeing(points, points, pairs, windows).tolist() == list(range(16))
    swapped = pairs.copy()
    swapped[[0, 5], 1] = [5, 0]  # (5, 5) and (15, 15) swap their places: two of 16 leave their cells
    assert topological.agreeing(points, points, swapped, windows).tolist() == [i for i in range(16) if i not in (0, 5)]
    assert len(topological.agreeing(points, points, swapped, windows, share=14 / 16)) == 14
    assert len(topological.agreeing(points, points, swapped, windows, share=14.5 / 16)) == 0
    assert len(topological.agreeing(points, points, pairs, windows, features=16)) == 16
    assert len(topological.agreeing(points, points, pairs, windows, features=17)) == 0
    few = (np.float32([0, 0, 40, 10]),) * 2  # a row of four features
    assert len(topological.agreeing(points, points, pairs, few)) == 0 and len(topological.agreeing(points, points, pairs, few, features=4)) == 4


def test_a_match_whose_other_end_lies_outside_is_not_counted():
    points, pairs = lattice()
    far = points.copy()
    far[3] += 500
    windows = (np.float32([0, 0, 40, 40]),) * 2
    assert topological.agreeing(points, far, pairs, windows, share=1.0).tolist() == [i for i in range(16) if i != 3]


def test_a_region_grows_over_what_agrees_and_no_further():
    points, pairs = lattice(8)  # 64 points, 10 pixels apart
    b = points + np.float32([300, 40])
    whole = topological.largest(points, b, pairs, window=16, grow=12, features=9)
    assert len(whole.matches) == 64
    seed = 27  # (35, 35): the nine around it first
    first = topological.grown(points, b, pairs, seed, window=11, grow=0, features=9)
    assert len(first.matches) == 9 and first.a.tolist() == [24, 24, 46, 46] and first.b.tolist() == [324, 64, 346, 86]
    b[32:] = np.random.default_rng(0).permutation(b[32:])  # the lower half in disorder
    half = topological.largest(points, b, pairs, window=16, grow=12, share=0.8, features=9)
    assert 24 <= len(half.matches) < 48 and (points[half.matches, 1] < 50).mean() > 0.75


def test_seeds_inside_a_region_are_skipped(monkeypatch):
    points, pairs = lattice(6)
    seeds, real = [], topological.grown
    monkeypatch.setattr(topological, "grown", lambda a, b, pairs, seed, **o: seeds.append(seed) or real(a, b, pairs, seed, **o))
    assert len(topological.largest(points, points, pairs).matches) == 36 and seeds == [0]


def test_the_hull_has_its_border():
    square = np.float32([(0, 0), (10, 0), (10, 10), (0, 10), (5, 5)])
    assert topological.in_hull(np.float32([(0, 5), (9, 9), (11, 5), (10, 10)]), square).tolist() == [True, True, False, True]
    assert topological.in_hull(np.float32([(5, 5), (5, 6)]), np.float32([(5, 5)])).tolist() == [True, False]
    assert topological.in_hull(np.float32([(5, 5), (5, 6)]), np.float32([(0, 0), (10, 10)])).tolist() == [True, False]


@pytest.mark.parametrize("turn", ["mirrored", "rotated", "upside down"])
def test_a_mirrored_or_rotated_picture_keeps_its_middle_alone(turn):
    """It knows no rotation: of an even lattice cut into 3 x 3 cells, a column (mirrored) or a cell (rotated) stays."""
    points, pairs = lattice(9)
    x, y = points.T
    other = {"mirrored": (90 - x, y), "rotated": (90 - y, x), "upside down": (90 - x, 90 - y)}[turn]
    turned = np.float32(np.stack(other, 1))
    windows = (np.float32([0, 0, 90, 90]),) * 2
    same = topological.agreeing(points, turned, pairs, windows, share=0.0)
    column, row = np.abs(x - 45) < 12, np.abs(y - 45) < 12
    assert 0 < len(same) and set(same) <= set(np.flatnonzero(column if turn == "mirrored" else column & row))
    upright = len(topological.largest(points, points, pairs).matches)
    assert len(topological.largest(points, turned, pairs).matches) < 0.4 * upright
    assert len(topological.largest(points, turned, pairs, share=0.5).matches) == 0, "0 agreement is allowed"


def test_scale_of_the_whole_is_known_to_the_box_alone():
    points, pairs = lattice(6)
    assert len(topological.largest(points, 1.5 * points, pairs).matches) == 36, "all of both within 50 pixels of a seed in the middle"


NONE = Keypoints(np.zeros((0, 2), np.float32), np.zeros((0, 128), np.uint8))


def test_without_features_or_matches_there_is_no_region():
    points, pairs = lattice()
    for a, b, matches in ((NONE.points, points, pairs[:0]), (points, NONE.points, pairs[:0]), (points, points, pairs[:0])):
        assert topological.largest(a, b, matches) is topological.NOWHERE
    scores, ids = np.float32([[0.9, 0.8]]), np.array([[1, 0]])
    new, rows = topological.rerank([NONE], [NONE, NONE].__getitem__, scores, ids)
    assert rows.tolist() == [[1, 0]] and new.tolist() == [[0, 0]]


@given(st.integers(0, 10**6))
def test_a_region_is_of_given_matches_and_the_same_when_both_pictures_are_moved(seed):
    rng = np.random.default_rng(seed)
    a, b = np.float32(rng.integers(0, 200, (40, 2))), np.float32(rng.integers(0, 200, (50, 2)))
    pairs = np.stack([rng.permutation(40)[:25], rng.permutation(50)[:25]], 1)
    region = topological.largest(a, b, pairs)
    assert len(set(region.matches.tolist())) == len(region.matches) <= 25
    moved = topological.largest(a + np.float32(64), b - np.float32(32), pairs)
    np.testing.assert_array_equal(moved.matches, region.matches)
    if len(region.matches):
        assert topological.within(a[pairs[region.matches, 0]], region.a).all() and topological.within(b[pairs[region.matches, 1]], region.b).all()
