"""Labels carried by patches: worked by hand, by a loop, and where a picture is shifted, mirrored or of one colour."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from foir_lib.errors import InputError
from foir_lib.methods.pixels import correspondence

pytestmark = pytest.mark.usefixtures("one_thread")


def tokens(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_similarity_is_the_cosine_and_zeros_are_like_none():
    cosines = correspondence.similarity(torch.tensor([[3.0, 4.0], [0.0, 0.0]]), torch.tensor([[2.0, 0.0], [0.0, -5.0]]))
    torch.testing.assert_close(cosines, torch.tensor([[0.6, -0.8], [0.0, 0.0]]))
    with pytest.raises(InputError, match="of 2 numbers can't be compared with the query's of 3"):
        correspondence.similarity(torch.ones(1, 2), torch.ones(1, 3))


def test_carried_by_hand():
    """Of three query patches the two nearest count: cosines 0.5 and 0.43, weights e and 1 in the proportion of one temperature."""
    cosines = torch.tensor([[0.5, 0.1, 0.43]])
    share = torch.tensor([[1.0], [0.9], [0.0]])
    result = correspondence.carried(cosines, share, k=2, temperature=0.07)
    torch.testing.assert_close(result, torch.tensor([[math.e / (math.e + 1)]]))
    torch.testing.assert_close(correspondence.carried(cosines, share, k=1), torch.tensor([[1.0]]))
    many = correspondence.carried(cosines, share, k=99, temperature=1e6)  # all alike
    torch.testing.assert_close(many, torch.tensor([[1.9 / 3]]), atol=1e-5, rtol=0)


@given(st.integers(0, 10_000), st.integers(1, 8), st.integers(1, 12))
def test_carried_is_a_loop_over_patches(seed, k, n):
    cosines = correspondence.similarity(tokens(2, 5, 4, seed=seed), tokens(n, 4, seed=seed + 1))
    labels = torch.rand(n, 2, dtype=torch.float64)
    result = correspondence.carried(cosines, labels, k, 0.2)
    assert result.shape == (2, 5, 2) and (result >= labels.min() - 1e-9).all() and (result <= labels.max() + 1e-9).all()
    for b in range(2):
        for i in range(5):
            nearest = sorted(range(n), key=lambda j: -cosines[b, i, j])[:k]
            weights = [math.exp(cosines[b, i, j] / 0.2) for j in nearest]
            mean = sum(w * labels[j] for w, j in zip(weights, nearest, strict=True)) / sum(weights)
            torch.testing.assert_close(result[b, i], mean)


def test_a_shifted_picture_gets_the_shifted_mask():
    query, share = tokens(6 * 8, 16), torch.zeros(6, 8, dtype=torch.float64)
    share[1:3, 2:5] = 1
    moved = query.view(6, 8, -1).roll((2, 3), (0, 1)).flatten(0, 1)
    result = correspondence.carried(correspondence.similarity(moved, query), share.view(-1, 1), k=1)
    np.testing.assert_array_equal(result.view(6, 8), share.roll((2, 3), (0, 1)))
    mirrored = query.view(6, 8, -1).flip(1).flatten(0, 1)
    result = correspondence.carried(correspondence.similarity(mirrored, query), share.view(-1, 1), k=1)
    np.testing.assert_array_equal(result.view(6, 8), share.flip(1))


def test_of_one_colour_all_patches_get_one_label():
    """No patch is nearer than another: a share of what is in the mask, nowhere more than elsewhere."""
    result = correspondence.carried(torch.ones(7, 4), torch.tensor([1.0, 0.0, 0.0, 0.0])[:, None], k=4)
    torch.testing.assert_close(result, torch.full((7, 1), 0.25))


@pytest.mark.parametrize(("k", "temperature"), [(0, 0.07), (5, 0.0), (5, math.nan)])
def test_what_carries_nothing_is_an_error(k, temperature):
    with pytest.raises(InputError, match="carry no labels: give k of at least 1"):
        correspondence.carried(torch.ones(2, 3), torch.ones(3, 1), k, temperature)
    with pytest.raises(InputError, match="4 labels don't fit 3 patches"):
        correspondence.carried(torch.ones(2, 3), torch.ones(4, 1))


def test_cycle_distance_by_hand():
    """Four patches in a row, three of the query: 0 and 2 are mutual; 1 goes to query patch 0, which goes back to 0; 3 to the one of 2."""
    cosines = torch.tensor([[0.9, 0.1, 0.0], [0.8, 0.2, 0.0], [0.0, 0.1, 0.9], [0.0, 0.3, 0.5]])
    np.testing.assert_array_equal(correspondence.cycle_distance(cosines, (1, 4)), [0, 1, 0, 1])
    np.testing.assert_array_equal(correspondence.cycle_distance(cosines, (2, 2)), [0, 1, 0, 1])
    with pytest.raises(InputError, match="2 x 3 patches doesn't fit 4"):
        correspondence.cycle_distance(cosines, (2, 3))


@given(st.integers(0, 10_000))
def test_mutual_neighbours_are_those_of_both_argmaxes(seed):
    cosines = tokens(3, 12, 9, seed=seed)
    distance = correspondence.cycle_distance(cosines, (3, 4))
    for b in range(3):
        mutual = [int(cosines[b, :, int(cosines[b, i].argmax())].argmax()) == i for i in range(12)]
        np.testing.assert_array_equal(distance[b] == 0, mutual)
    assert (distance <= 3).all() and (distance >= 0).all()


def test_enlarged_by_hand():
    """Two patches at four pixels: centres at 1 and 3, linear between, constant outside."""
    result = correspondence.enlarged(torch.tensor([[0.0, 1.0]]), (1, 2), (4, 3))
    torch.testing.assert_close(result, torch.tensor([0.0, 0.25, 0.75, 1.0]).expand(1, 3, 4))
    assert correspondence.enlarged(torch.rand(2, 5, 6), (2, 3), (9, 7)).shape == (2, 5, 7, 9)
    assert correspondence.enlarged(torch.rand(6), (2, 3), (9, 7)).shape == (7, 9)


def test_sharpened_follows_an_edge_of_the_picture():
    """A soft ramp beside a hard edge becomes steeper at the edge; on a picture of one colour it stays a ramp."""
    x = torch.arange(40.0)
    ramp = ((x - 12) / 16).clamp(0, 1).expand(1, 30, 40)  # a half at 20
    edge = (x >= 20).float().expand(1, 3, 30, 40)
    before, after = ramp[0, 15], correspondence.sharpened(ramp, edge, 8)[0, 15]
    assert after[20] - after[19] > 5 * (before[20] - before[19]) and 0 <= after.min() and after.max() <= 1
    flat = correspondence.sharpened(ramp, torch.full_like(edge, 0.5), 4)[0, 15]
    assert flat[20] - flat[19] < 2 * (before[20] - before[19])
    torch.testing.assert_close(correspondence.sharpened(ramp, edge, 0), ramp)
    assert correspondence.sharpened(torch.ones(1, 1, 5), torch.ones(1, 3, 1, 5)).shape == (1, 1, 5)
