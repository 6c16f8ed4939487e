"""Losses of detector and segmenter by hand; training shelves; a run that is stopped and goes on."""

import math

import numpy as np
import pytest
import torch
from torchvision.ops import box_convert

from foir_lib.errors import InputError
from foir_lib.models.mini import owl, sam
from foir_lib.training import losses
from foir_lib.training.mini import decomposition

pytestmark = pytest.mark.usefixtures("one_thread")
SURE = 30.0


def test_objectness_loss_by_hand():
    """Four tokens at 0.25 and 0.75; a thing of 0.5 x 0.5 around the first token, which is its own."""
    truth = torch.tensor([[[0.0, 0.0, 0.5, 0.5], [0, 0, 0, 0]]])
    boxes = torch.tensor([[[0.25, 0.25, 0.5, 0.5]] + [[0.5, 0.5, 1.0, 1.0]] * 3])
    right = torch.tensor([[SURE, -SURE, -SURE, -SURE]])
    assert losses.objectness_loss(boxes, right, truth).item() == pytest.approx(0, abs=1e-6)
    boxes[0, 0] = torch.tensor([0.5, 0.25, 0.5, 0.5])  # half a width to the right: IoU 1/3, hull 0.75 x 0.5 without a gap
    l1 = (0.5 + 0 + 0.5 + 0) / 4
    entropy = (2 / 3) * SURE  # target 1/3 at a logit of 30: 30 - 10
    assert losses.objectness_loss(boxes, right, truth).item() == pytest.approx(2 * (1 - 1 / 3) + l1 + entropy, rel=1e-5)
    unsure = torch.zeros(1, 4)
    assert losses.objectness_loss(boxes, unsure, torch.zeros(1, 2, 4)).item() == pytest.approx(4 * math.log(2))  # nothing there


def test_a_small_thing_has_the_token_it_lies_on_and_the_nearer_of_two_things_wins():
    side = 4  # tokens at 1/8, 3/8, 5/8, 7/8
    truth = torch.tensor([[[0.60, 0.10, 0.64, 0.14], [0.0, 0.0, 0.9, 0.9]]])
    boxes = torch.rand(1, side * side, 4, generator=torch.Generator().manual_seed(0)) * 0.5 + 0.2
    logits = torch.zeros(1, side * side, requires_grad=True)
    losses.objectness_loss(boxes, logits, truth).backward()
    iou = losses.elementwise_iou(box_convert(boxes[0], "cxcywh", "xyxy"), truth[0, :1].expand(16, -1))
    assert logits.grad[0, 2] == pytest.approx((0.5 - iou[2].item()) / 5, abs=1e-6)  # five tokens in all, 2 the small thing's
    own = [token for token in range(16) if logits.grad[0, token] != 0.1]
    assert set(own) <= {2, 5, 6, 9, 10}


def test_boxes_move_to_their_things():
    truth = torch.tensor([[[0.1, 0.2, 0.4, 0.5], [0.6, 0.5, 0.8, 0.9]]])
    raw, logits = torch.zeros(1, 64, 4, requires_grad=True), torch.zeros(1, 64, requires_grad=True)
    optimiser = torch.optim.Adam([raw, logits], 0.05)
    for _ in range(300):
        optimiser.zero_grad()
        losses.objectness_loss(raw.sigmoid(), logits, truth).backward()
        optimiser.step()
    best = logits[0].topk(2).indices
    assert (logits[0, best].sigmoid() > 0.9).all() and (logits[0].sigmoid() > 0.5).sum() < 16
    found = box_convert(raw.sigmoid()[0, logits[0] > 0], "cxcywh", "xyxy")
    for box in truth[0]:
        assert losses.elementwise_iou(found, box.expand(len(found), -1)).max() > 0.95


def test_mask_loss_by_hand():
    """Eight of 16 cells, logits 0: p = 1/2, an entropy of 16 ln 2 over an area of 8, dice 1 - (2 * 4 + 1) / (8 + 8 + 1)."""
    truth = torch.zeros(1, 4, 4)
    truth[0, :2] = 1
    value = losses.mask_loss(torch.zeros(1, 4, 4), torch.tensor([0.7]), truth)
    assert value.item() == pytest.approx(2 * math.log(2) + 1 - 9 / 17 + 0.7**2, rel=1e-5)  # the mask is empty: its IoU is 0
    right = SURE * (2 * truth - 1)
    assert losses.mask_loss(right, torch.tensor([1.0]), truth).item() == pytest.approx(0, abs=1e-5)
    assert losses.mask_loss(right, torch.tensor([0.5]), truth).item() == pytest.approx(0.25, abs=1e-5)


@pytest.fixture(scope="module")
def shelves():
    return decomposition.scenes(3, 5, sam.processor().image_processor, sam.SIDE)


def test_boxes_and_masks_of_a_shelf_belong_together(shelves):
    """Slivers of a hidden thing can vanish in resizing, so its box may be the larger one."""
    away = []
    assert shelves.pixels.dtype == torch.uint8 and shelves.pixels.shape == (3, 3, sam.SIDE, sam.SIDE)
    for ids, boxes, (width, height) in zip(shelves.ids, shelves.boxes, shelves.sizes.tolist()):
        assert (width, height) == (sam.SIDE, round(sam.SIDE * 0.8)) and not ids[height:].any()
        for i, box in enumerate(boxes[boxes[:, 2] > 0] * sam.SIDE):
            ys, xs = torch.nonzero(ids == i + 1, as_tuple=True)
            inside = torch.tensor([xs.min() - box[0], ys.min() - box[1], box[2] - xs.max() - 1, box[3] - ys.max() - 1])
            assert inside.min() >= -1.5
            away += inside.abs().tolist()
    assert np.percentile(away, 80) <= 1


def test_mirrored_shelves_are_mirrored_with_all_that_is_on_them(shelves):
    some = shelves.sample(12, np.random.default_rng(0))
    mirrored = 0
    for pixels, ids, boxes, (width, _) in zip(*some[:3], some.sizes.tolist()):
        (row,) = [r for r in range(3) if (shelves.boxes[r, :, 1] == boxes[:, 1]).all()]
        same = torch.equal(pixels, shelves.pixels[row])
        mirrored += not same
        flipped = pixels[:, :, :width].flip(2), ids[:, :width].flip(1)
        ours = (pixels[:, :, :width], ids[:, :width]) if same else flipped
        assert torch.equal(ours[0], shelves.pixels[row][:, :, :width]) and torch.equal(ours[1], shelves.ids[row][:, :width])
        for i, box in enumerate(boxes[boxes[:, 2] > 0] * sam.SIDE):
            xs = torch.nonzero(ids == i + 1)[:, 1]
            assert xs.min() - box[0] >= -1.5 and box[2] - xs.max() - 1 >= -1.5
    assert 0 < mirrored < 12


def test_pixels_are_what_the_processors_give(shelves):
    """Up to the rounding to bytes; SAM pads with the middle grey, OWLv2 with black."""
    from PIL import Image

    from foir_lib.data.mini import needles

    rng = needles.stream(needles.TRAINING, 5 * decomposition.WORLDS, needles.DATABASE, 0)
    image = Image.fromarray(needles.scene(rng, needles.world(needles.TRAINING, 5 * decomposition.WORLDS, decomposition.THINGS))[0])
    right = sam.processor()(image, return_tensors="pt")["pixel_values"][0]
    first = decomposition.Scenes(*(part[:1] for part in shelves))
    assert (first.normalised(first.pixels.float(), sam.PADDING)[0] - right).abs().max() < 0.005
    right = owl.processor()(images=image, return_tensors="pt")["pixel_values"][0]
    first = decomposition.scenes(1, 5, owl.processor(), owl.SIDE)
    away = (first.normalised(first.pixels.float(), owl.PADDING)[0] - right).abs()
    bottom = int(first.sizes[0, 1])  # where OWLv2's blur mixes picture and padding
    assert away[:, : bottom - 2].max() < 0.005 and away[:, bottom + 2 :].max() == 0


def test_prompts_lie_on_their_things(shelves):
    points, masks = decomposition.prompts_of(shelves, 5, True, np.random.default_rng(0))
    for at, mask in zip(points.flatten(0, 2).long(), masks.flatten(0, 1)):
        assert mask[at[1], at[0]] == 1
    boxes, masks = decomposition.prompts_of(shelves, 5, False, np.random.default_rng(0))
    for (x0, y0, x1, y1), mask in zip(boxes.flatten(0, 1), masks.flatten(0, 1)):
        ys, xs = torch.nonzero(mask, as_tuple=True)
        width, height = xs.max() + 1 - xs.min(), ys.max() + 1 - ys.min()
        assert min(xs.min() - x0, x1 - xs.max() - 1) >= -0.15 * width - 1.5
        assert min(ys.min() - y0, y1 - ys.max() - 1) >= -0.15 * height - 1.5


@pytest.mark.slow
@pytest.mark.parametrize("train", [decomposition.train_owl, decomposition.train_sam])
def test_a_stopped_run_goes_on_as_the_same(shelves, train, tmp_path, monkeypatch):
    side = {"train_owl": owl, "train_sam": sam}[train.__name__]
    monkeypatch.setattr(side, "WIDTH", 32), monkeypatch.setattr(side, "DEPTH", 1)
    some = decomposition.scenes(2, 6, owl.processor(), owl.SIDE) if side is owl else shelves
    net, whole = train(some, 4, batch=2)

    class Stop(Exception):
        pass

    def stopped(part, rng, was=decomposition.Scenes.varied, calls=[]):  # noqa: B006
        calls.append(0)
        if len(calls) == 4:
            raise Stop
        return was(part, rng, side.PADDING)

    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(decomposition.Scenes, "varied", lambda self, rng, padding: stopped(self, rng))
        train(some, 4, batch=2, checkpoint=tmp_path / "run", every=2)
    again, resumed = train(some, 4, batch=2, checkpoint=tmp_path / "run", every=2)
    assert resumed == pytest.approx(whole, abs=1e-5)
    for a, b in zip(net.parameters(), again.parameters()):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-3)
    with pytest.raises(InputError, match="batch=0"):
        train(some, 4, batch=0)
