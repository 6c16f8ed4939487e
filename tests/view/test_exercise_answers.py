"""What the checks of the exercises call right: numbers worked by hand, and no answer in what they say before one is given."""

import numpy as np
import pytest
import torch

from foir_lib.search import inverted_file
from foir_lib.view.exercises import RIGHT, UNANSWERED, parts, retrieval


def test_gem_by_hand():
    x = torch.tensor([[[[1.0, 2.0], [0.0, 3.0]]]])
    assert retrieval.gem([(36 / 4) ** (1 / 3)], x, 3.0) == RIGHT
    assert "mean" in retrieval.gem([1.5], x, 3.0) and "root" in retrieval.gem([9.0], x, 3.0)
    assert retrieval.gem(..., x, 3.0) == UNANSWERED


def test_average_precision_without_junk():
    found = ["right", "junk", "wrong", "right", "right"]
    by_hand = (1 + (1 / 2 + 2 / 3) / 2 + (2 / 3 + 3 / 4) / 2) / 3
    assert retrieval.precision_with_junk(by_hand, found) == RIGHT
    assert "taken out" in retrieval.precision_with_junk((1 + (1 / 3 + 2 / 4) / 2 + (2 / 4 + 3 / 5) / 2) / 3, found)
    assert "textbook" in retrieval.precision_with_junk((1 + 2 / 3 + 3 / 4) / 3, found)


def test_weights_and_score_of_two_clusters():
    query, clusters = torch.tensor([1.0, 0.0]), torch.eye(2)
    a = np.array([np.e, 1]) / (np.e + 1)
    said = retrieval.score(a, a[0] / np.hypot(*a), query, clusters, 1.0)
    assert said == f"a: {RIGHT}\nscore: {RIGHT}"
    assert "cosines" in retrieval.score([1, 0], ..., query, clusters, 1.0)


@pytest.mark.parametrize(
    ("gain", "right"), [([0.1, 0.2, 0.1], "A"), ([0.1, 0.2, -0.1], "B"), ([-0.1, -0.2, 0.3], "C"), ([0.1, -0.3, 0.2], "C")]
)
def test_whom_expansion_helps(gain, right):
    said = {letter: retrieval.expansion(letter, np.array([0.8, 1.0, 0.2]), np.array(gain)) for letter in "ABC"}
    assert [letter for letter, words in said.items() if words.startswith(RIGHT)] == [right]
    assert retrieval.expansion(..., np.array([0.8, 0.2]), np.array([0.1, -0.1])) == UNANSWERED


def test_candidates_share_a_word():
    file = inverted_file.build([[0, 2], [4], [3], [0, 4]], 5)
    assert retrieval.candidates({0, 1, 3}, 25, file, [0, 4]) == f"rows: {RIGHT}\nskipped: {RIGHT}"
    said = retrieval.candidates({3}, 75, file, [0, 4])
    assert "one word in common" in said and "share of candidates" in said


def test_tails_are_counted_once_for_each_set_of_heads():
    heads = np.array([[1, 0], [1, 0], [0, 1]], bool)
    assert parts.tails(20, heads, 10) == f"{RIGHT}\n2 head sets for 3 queries"
    assert "share their tails" in parts.tails(30, heads, 10)
    assert parts.tails(..., heads, 10) == UNANSWERED
