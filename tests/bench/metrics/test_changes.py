"""Things that leave, turn and stay: by hand on small masks, and a score on each group."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from foir_lib.bench.metrics import changes
from foir_lib.bench.metrics.intervals import interval
from foir_lib.bench.metrics.scores import Score
from foir_lib.data import Protocol, RetrievalSet
from foir_lib.detections import Localisation
from foir_lib.prompts import Box


def drawn(x0, y0, x1, y1, size=(40, 30)):
    pixels = np.zeros(size[::-1], bool)
    pixels[y0:y1, x0:x1] = True
    return pixels


def corner(mask, upper):
    """The mask without its right half's upper or lower part: an L."""
    ys, xs = np.nonzero(mask)
    middle, half = (ys.min() + ys.max() + 1) // 2, (xs.min() + xs.max() + 1) // 2
    copy = mask.copy()
    copy[slice(None, middle) if upper else slice(middle, None), half:] = False
    return copy


INSIDE, AT_EDGE, LARGE = drawn(10, 8, 20, 18), drawn(30, 8, 40, 18), drawn(2, 2, 32, 28)
VIDEOS = {  # frames, the first asks; the group
    "grows": ([INSIDE, LARGE, drawn(5, 5, 9, 25)], "stays"),  # a rectangle of any place, size and aspect is alike
    "leaves": ([INSIDE, AT_EDGE, INSIDE, INSIDE], "leaves"),  # one of three
    "looks out": ([INSIDE, AT_EDGE, INSIDE, INSIDE, INSIDE], "stays"),  # one of four is no more than a quarter
    "was there": ([AT_EDGE, AT_EDGE, INSIDE], "stays"),  # already at the border
    "turns": ([corner(INSIDE, True), corner(INSIDE, False), corner(LARGE, False)], "turns"),  # two Ls of 3/4 share 1/2: 1/2 of all
}


@pytest.fixture
def videos(tmp_path):
    images, objects, protocols, queries = [], [], {}, []
    for name, (frames, _) in VIDEOS.items():
        first = len(images)
        for i, mask in enumerate(frames):
            path = tmp_path / f"{name} {i}.png"
            Image.fromarray(mask.astype(np.uint8) * 255).save(path)
            thing = Localisation.of(mask, 1.0)
            images.append((f"{name}/{i}", str(path), 40, 30, "both"))
            objects.append((f"{name}/{i}", name, *thing.box.tolist(), False, thing.mask))
        protocols[name] = list(range(first + 1, len(images)))
        queries.append((f"{name}/0", Box(*objects[first][2:6]), name, first))
    images = pd.DataFrame(images, columns=["image_id", "path", "width", "height", "split"])
    objects = pd.DataFrame(objects, columns=["image_id", "label", "x0", "y0", "x1", "y1", "ignore", "segmentation"])
    queries = pd.DataFrame(queries, columns=["image_id", "prompt", "label", "object"])
    return RetrievalSet("videos", images, objects, queries, {"instances": Protocol(tuple(VIDEOS), protocols)}, {"unit": "thing"})


def test_groups_by_hand(videos):
    assert changes.groups(videos, "instances").tolist() == [group for _, group in VIDEOS.values()]


def test_a_query_without_an_object_or_a_true_picture_is_of_no_group(videos):
    queries = videos.queries.assign(object=[-1, *videos.queries["object"][1:]])
    other = RetrievalSet("videos", videos.images, videos.objects, queries, {"instances": Protocol(tuple(VIDEOS), dict.fromkeys(VIDEOS, []) | {"grows": [1], "leaves": [4]})})
    assert changes.groups(other, "instances").tolist() == ["", "leaves", "", "", ""]


def test_outlines_by_hand():
    assert changes.touches(AT_EDGE) and changes.touches(drawn(3, 0, 5, 2)) and not changes.touches(INSIDE)
    upper, lower = corner(INSIDE, True), corner(INSIDE, False)
    assert changes.alike(upper, [upper, corner(LARGE, True), lower, INSIDE]) == pytest.approx([1, 1, 0.5, 0.75], abs=0.03)


def test_a_score_on_each_group():
    table = pd.DataFrame({"query": [0, 1, 2, 3], "image_id": list("abcd"), "label": list("abcd"), "unit": list("abcd"), "mIoU S": [0.2, 0.4, 0.9, 0.7]})
    score = changes.by_group(Score({"mIoU S": 0.55}, table, 4), "mIoU S", np.array(["leaves", "leaves", "stays", "stays"]))
    assert score.metrics == pytest.approx({"mIoU S": 0.55, "mIoU S leaves": 0.3, "mIoU S stays": 0.8, "share that leaves": 0.5, "share that stays": 0.5})
    assert interval(score, "mIoU S leaves") == pytest.approx((0.2, 0.4)) and "mIoU S leaves" not in table
    lost = sum(score.metrics[f"share that {name}"] * (1 - score.metrics[f"mIoU S {name}"]) for name in ("leaves", "stays"))
    assert lost == pytest.approx(1 - score.metrics["mIoU S"])  # the groups' losses add up
