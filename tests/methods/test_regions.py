"""R-MAC's grid: the published counts, a written-out independent derivation, edges; a detector's proposals."""

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from foir_lib.errors import InputError
from foir_lib.methods import regions

COUNTS = [(16, 16, 3, 14), (16, 16, 5, 55), (24, 32, 3, 20), (24, 32, 5, 70), (10, 40, 3, 44), (10, 40, 5, 130), (5, 9, 3, 20), (3, 11, 3, 44)]  # the last two: exact ties, as the public code decides them
sides = st.integers(1, 60)


@pytest.mark.parametrize(("height", "width", "scales", "count"), COUNTS)
def test_published_counts(height, width, scales, count):
    assert len(regions.grid(height, width, scales)) == count
    assert len(regions.grid(width, height, scales)) == count


def written_out(height, width, scales):
    """The floating-point recipe of R-MAC's authors, for maps up to seven regions long."""
    w = min(width, height)
    steps = torch.tensor([2.0, 3, 4, 5, 6, 7])
    b = (max(height, width) - w) / (steps - 1)
    more = int(torch.argmin(torch.abs(((w**2 - w * b) / w**2) - 0.4))) + 1
    extra = {"w": more * (height < width), "h": more * (height > width)}
    result = []
    for s in range(1, scales + 1):
        side = int(np.floor(2 * w / (s + 1)))
        if side == 0:
            continue
        starts = []
        for length, n in ((height, s + extra["h"]), (width, s + extra["w"])):
            gap = (length - side) / (n - 1) if n > 1 else 0
            starts.append([int(np.floor(i * gap + 1e-9)) for i in range(n)])
        result += [(row, column, side) for row in starts[0] for column in starts[1]]
    return result


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 6))
def test_the_grid_is_the_authors(height, width, scales):
    if max(height, width) <= 4 * min(height, width):
        assert regions.grid(height, width, scales) == written_out(height, width, scales)


@given(sides, sides, st.integers(1, 6))
def test_regions_lie_inside_and_reach_every_border(height, width, scales):
    result = regions.grid(height, width, scales)
    assert all(0 <= r and 0 <= c and side >= 1 for r, c, side in result)
    assert max(r + side for r, _, side in result) == height and max(c + side for _, c, side in result) == width
    assert {r for r, _, _ in result} >= {0} and {c for _, c, _ in result} >= {0}
    turned = sorted((c, r, side) for r, c, side in result)
    assert turned == sorted(regions.grid(width, height, scales))


@given(st.integers(1, 12), st.integers(1, 200))
def test_neighbours_overlap_by_about_40_percent_however_long_the_map(short, long):
    short, long = sorted((short, long))
    starts = [c for r, c, side in regions.grid(short, long, 1)]
    if long > short:
        step = (long - short) / (len(starts) - 1)
        other = [abs(1 - (long - short) / (n * short) - 0.4) for n in range(1, 400)]
        assert abs(1 - step / short - 0.4) == pytest.approx(min(other))


def test_sides_by_hand():
    assert regions.grid(6, 6, 2) == [(0, 0, 6), (0, 0, 4), (0, 2, 4), (2, 0, 4), (2, 2, 4)]
    assert regions.grid(4, 8, 1) == [(0, 0, 4), (0, 2, 4), (0, 4, 4)]  # 2 would overlap by 0%, 3 by 50%
    assert regions.grid(1, 1) == [(0, 0, 1)]  # smaller regions round to nothing
    assert {side for _, _, side in regions.grid(2, 2)} == {2, 1}


@pytest.mark.parametrize("arguments", [(0, 5, 3), (5, -1, 3), (5, 5, 0), (5.0, 5, 3), (5, 5, True)])
def test_wrong_sizes(arguments):
    with pytest.raises(InputError, match="must be a whole number, at least 1"):
        regions.grid(*arguments)


def test_pooled_regions_by_hand():
    x = torch.arange(24.0).reshape(1, 2, 3, 4)
    result = regions.pooled(x, [(0, 0, 2), (1, 1, 2, 3)])
    assert result.tolist() == [[[5, 17], [11, 23]]]
    assert regions.pooled(x, [(0, 0, 2), (1, 1, 2, 3)], "mean").tolist() == [[[2.5, 14.5], [8, 20]]]
    for bad in ([(0, 0, 4)], [(2, 2, 2)], [(-1, 0, 2)], [(0, 0, 0)], [(0, 3, 1, 2)]):
        with pytest.raises(InputError, match=r"leaves the map of 3 x 4 cells"):
            regions.pooled(x, bad)
    with pytest.raises(InputError, match="empty"):
        regions.pooled(x, [])


# --- proposals -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def detector():
    torch.manual_seed(0)
    make = torchvision.models.detection.fasterrcnn_mobilenet_v3_large_320_fpn
    return make(weights=None, weights_backbone=None, min_size=96, max_size=160)


def test_proposals_of_an_untrained_detector_lie_on_the_map(detector):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (120, 200, 3), dtype=np.uint8))
    result = regions.proposals(detector, picture, 5, 9, n_regions=20)
    assert 0 < len(result) <= 20 and len(set(result)) > 1
    assert all(0 <= r < r + h <= 5 and 0 <= c < c + w <= 9 for r, c, h, w in result)
    assert result == regions.proposals(detector, picture, 5, 9, n_regions=20)
    assert regions.proposals(detector, picture, 5, 9, n_regions=3) == result[:3]
    assert regions.pooled(torch.rand(1, 2, 5, 9), result).shape == (1, len(result), 2)


class Proposing(torch.nn.Module):
    """A detector that resizes to 100 x 200 and proposes given boxes."""

    def __init__(self, boxes):
        super().__init__()
        self.layer, self.boxes = torch.nn.Linear(1, 1), torch.tensor(boxes).reshape(-1, 4)

    def transform(self, pictures):
        return torchvision.models.detection.image_list.ImageList(torch.zeros(1, 3, 128, 224), [(100, 200)]), None

    def backbone(self, x):
        return x

    def rpn(self, images, features):
        assert set(features) == {"0"}
        return [self.boxes], {}


def test_a_box_covers_the_cells_it_touches():
    boxes = [[0.0, 0, 200, 100], [50.0, 25, 100, 50], [51.0, 26, 99, 76], [10.0, 10, 10, 10], [199.9, 99.9, 200, 100]]
    result = regions.proposals(Proposing(boxes), Image.new("RGB", (400, 200)), 4, 8)
    assert result == [(0, 0, 4, 8), (1, 2, 1, 2), (1, 2, 3, 2), (0, 0, 1, 1), (3, 7, 1, 1)]
    assert regions.proposals(Proposing([]), Image.new("RGB", (400, 200)), 4, 8) == [(0, 0, 4, 8)]
