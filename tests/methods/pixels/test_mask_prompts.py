"""Prompts of a carried map: boxes, points and logits by hand, and the choice among masks."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from foir_lib.errors import InputError
from foir_lib.methods.pixels import mask_prompts

pytestmark = pytest.mark.usefixtures("one_thread")


def two_things(small=0.6):
    p = np.zeros((20, 30), np.float32)
    p[2:8, 3:13] = 0.9  # mass 54
    p[12:16, 20:26] = small  # 24 cells
    return p


def test_components_that_carry_the_map():
    both = mask_prompts.main(two_things())  # 14.4 of 54: more than a quarter
    np.testing.assert_array_equal(mask_prompts.box(both), [3, 2, 26, 16])
    one = mask_prompts.main(two_things(0.55))  # 13.2: less
    np.testing.assert_array_equal(mask_prompts.box(one), [3, 2, 13, 8])


def test_a_map_that_is_nowhere_sure():
    weak = mask_prompts.main(two_things(0.2) * 0.3)  # at most 0.27: the limit is 0.189
    np.testing.assert_array_equal(mask_prompts.box(weak), [3, 2, 13, 8])
    assert not mask_prompts.main(np.zeros((4, 5), np.float32)).any()
    with pytest.raises(InputError, match="without a cell has no box"):
        mask_prompts.box(np.zeros((4, 5), bool))


def test_a_mask_of_a_cell_has_a_box_and_a_point():
    p = np.zeros((4, 5), np.float32)
    p[2, 3] = 1
    mask = mask_prompts.main(p)
    np.testing.assert_array_equal(mask_prompts.box(mask), [3, 2, 4, 3])
    np.testing.assert_array_equal(mask_prompts.points(p, mask), [[3.5, 2.5]])


def test_points_lie_deep_inside_and_apart():
    p = two_things(0.3)
    mask = mask_prompts.main(p)
    found = mask_prompts.points(p, mask)
    assert found[0].tolist() == [
        5.5,
        4.5,
    ]  # the first of those three cells from the edge: rows 4 and 5, columns 5 to 10
    apart = np.linalg.norm(found[:, None] - found[None], axis=-1)[np.triu_indices(len(found), 1)]
    assert 2 <= len(found) <= 5 and apart.min() >= 3
    p[4, 11] = 1.0
    assert mask_prompts.points(p, mask, 1).tolist() == [[11.5, 4.5]]  # 1 + 0.04 against 0.9 + 0.06
    assert mask_prompts.points(p, np.zeros_like(mask)).shape == (0, 2)


@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(1, 12))
def test_points_are_in_the_mask_and_the_mask_in_its_box(seed, height, width):
    p = np.random.default_rng(seed).random((height, width)).astype(np.float32)
    mask = mask_prompts.main(p)
    x0, y0, x1, y1 = mask_prompts.box(mask).astype(int)
    assert mask[y0:y1, x0:x1].sum() == mask.sum() > 0
    assert mask[y0].any() and mask[y1 - 1].any() and mask[:, x0].any() and mask[:, x1 - 1].any()
    for x, y in mask_prompts.points(p, mask):
        assert mask[int(y), int(x)]


def test_logits_in_the_square():
    logits = mask_prompts.logits(torch.tensor([[[0.5, 0.6, 1.0], [0.45, 0.0, 0.9]]]), 4)
    expected = torch.full((1, 4, 4), -10.0)
    expected[0, :2, :3] = torch.tensor([[0.0, 2.0, 10.0], [-1.0, -10.0, 8.0]])
    torch.testing.assert_close(logits, expected)
    with pytest.raises(InputError, match="2 x 3 cells don't fit a square of 2"):
        mask_prompts.logits(torch.zeros(1, 2, 3), 2)


def test_maps_on_cells():
    """A picture of 4:1 fills a quarter of the square; a thin one has a cell at least."""
    maps = torch.tensor([[[0.0, 1.0]]])
    torch.testing.assert_close(mask_prompts.on_cells(maps, (1.0, 4.0)), torch.tensor([[[0.0, 0.25, 0.75, 1.0]]]))
    assert mask_prompts.on_cells(maps, (0.1, 255.7)).shape == (1, 1, 256)


def test_agreement_and_the_best_by_hand():
    maps = torch.tensor([[1.0, 0.5], [0.0, 0.0]])
    masks = torch.tensor([[[1, 0], [0, 0]], [[1, 1], [0, 0]], [[1, 1], [1, 1]], [[0, 0], [0, 0]]]).bool()
    torch.testing.assert_close(mask_prompts.agreement(masks, maps), torch.tensor([1 / 1.5, 1.5 / 2, 1.5 / 4, 0.0]))
    assert mask_prompts.best(masks, torch.tensor([0.7, 0.7, 0.9, 1.0]), maps) == 1
    assert mask_prompts.best(masks, torch.tensor([0.9, 0.7, 0.9, 1.0]), maps) == 0  # 0.783 against 0.725
    assert mask_prompts.best(masks, torch.tensor([0.9, 0.7, 0.9, 1.0]), maps, weight=1.0) == 1
    assert mask_prompts.agreement(torch.zeros(1, 2, 2).bool(), torch.zeros(2, 2)).item() == 0


def test_the_first_prompt_and_the_second():
    p = torch.from_numpy(two_things(0.3))
    one = mask_prompts.first(p, 32)
    assert one.box is None and one.mask.shape == (32, 32) and one.points[0].tolist() == [5.5, 4.5]
    torch.testing.assert_close(one.mask[:20, :30], (20 * (p - 0.5)).clamp(-10, 10))
    answer = torch.full((32, 32), -3.0)
    answer[2:9, 4:14], answer[25:, :] = 50.0, 5.0  # the last rows lie below the picture
    two = mask_prompts.again(one, answer, (20.0, 29.6))
    np.testing.assert_array_equal(two.box, [4, 2, 14, 9])
    assert two.points is one.points and two.mask[3, 5] == 20 and two.mask[3, 15] == -3 and two.mask[26, 3] == -20
    nothing = mask_prompts.again(one, torch.full((32, 32), -3.0), (20.0, 30.0))
    np.testing.assert_array_equal(nothing.box, [3, 2, 13, 8])  # of the map
    weak = mask_prompts.first(p * 0.3, 32)
    assert mask_prompts.again(weak, torch.full((32, 32), -3.0), (20.0, 30.0)).box is None and len(weak.points)
    with pytest.raises(InputError, match="zero everywhere gives no prompt"):
        mask_prompts.first(torch.zeros(4, 5), 32)


def test_cells_as_pixels():
    """480 x 270 px fill 256 x 144 cells: 1.875 px each."""
    size, inside = (480, 270), (144.0, 256.0)
    np.testing.assert_allclose(
        mask_prompts.in_pixels(np.array([8.0, 16, 256, 150], np.float32), size, inside), [15, 30, 480, 270]
    )
    np.testing.assert_allclose(
        mask_prompts.in_pixels(np.array([[0.5, 0.5], [16, 8]], np.float32), size, inside), [[0.9375, 0.9375], [30, 15]]
    )
