"""Real COCO annotations and photographs: counts by other means, masks that agree with boxes."""

import json
import warnings
from collections import defaultdict

import numpy as np
import pytest

from foir_lib.data import load_set

pytestmark = pytest.mark.real


@pytest.fixture(scope="module", params=["coco-free", "coco-free-masks"])
def both(request, foir_data):
    """A set as the reader gives it, and its two annotation files as they are."""
    root = foir_data / request.param
    if not root.is_dir():
        pytest.skip(f"no {request.param} in the folder FOIR_DATA")
    raw = [json.loads((root / f"annotations/instances_{s}2017.json").read_text()) for s in ("val", "train")]  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one box of coco-free has no area
        return load_set("coco", root=root), *raw


def real(annotations):
    return [a for a in annotations if a["bbox"][2] > 0 and a["bbox"][3] > 0]


def test_counts(both):
    made, val, train = both
    asking = [a for a in real(val["annotations"]) if not a.get("iscrowd")]
    assert len(made.queries) == len(asking)
    assert set(made.query_images["image_id"]) == {a["image_id"] for a in asking}
    assert list(made.database["image_id"]) == [i["id"] for i in train["images"]]
    names = {c["id"]: c["name"] for c in val["categories"]}
    assert list(made.queries["label"]) == [names[a["category_id"]] for a in asking]
    per_image = defaultdict(int)
    for a in asking:
        per_image[a["image_id"]] += 1
    assert all(made.n_objects(i) == n for i, n in per_image.items())


def test_the_numbers_of_the_readme(both):
    made, *_ = both
    assert (len(made.query_images), len(made.database)) in ((196, 500), (44, 100))


def test_boxes(both):
    made, val, _ = both
    asking = [a for a in real(val["annotations"]) if not a.get("iscrowd")]
    sizes = {i["id"]: (i["width"], i["height"]) for i in val["images"]}
    for prompt, a in zip(made.queries["prompt"], asking, strict=True):
        x, y, w, h = a["bbox"]
        width, height = sizes[a["image_id"]]
        want = (max(x, 0), max(y, 0), min(x + w, width), min(y + h, height))
        assert list(vars(prompt).values()) == pytest.approx(want)


def test_positives(both):
    made, _, train = both
    names = {c["id"]: c["name"] for c in train["categories"]}
    holds = defaultdict(set)
    for a in real(train["annotations"]):
        holds[a["image_id"]].add(names[a["category_id"]])
    protocol = made.protocols["contains"]
    ids = made.database["image_id"].to_numpy()
    rng = np.random.default_rng(0)
    shown = rng.integers(0, len(ids), (len(made.queries), 20))
    relevance = protocol.relevance(shown)
    for q in rng.choice(len(made.queries), 100, replace=False):
        label = made.queries["label"].iloc[q]
        assert set(ids[protocol.positives(q)]) == {i for i in ids if label in holds[i]}
        assert relevance[q].tolist() == [label in holds[i] for i in ids[shown[q]]]


def test_pictures_have_the_size_of_their_annotation(both):
    made, *_ = both
    for row in made.images.sample(12, random_state=0).itertuples():
        picture = made.open(row.image_id)
        assert picture.size == (row.width, row.height) and picture.mode == "RGB"


def test_masks_agree_with_boxes(both):
    made, *_ = both
    if not made.objects["segmentation"].notna().any():
        pytest.skip("this set has boxes only")
    off = []
    for row in made.queries["object"]:
        item = made.objects.iloc[row]
        size = made.images.loc[made.images["image_id"] == item["image_id"], ["width", "height"]]
        mask = made.mask(row)
        got, want = mask.box(tuple(size.iloc[0])), item[["x0", "y0", "x1", "y1"]].tolist()
        corners = np.concatenate([np.reshape(p, (-1, 2)) for p in item["segmentation"]])
        corners = np.clip(corners, 0, size.iloc[0].to_numpy())
        assert [*corners.min(0), *corners.max(0)] == pytest.approx(want, abs=0.02)
        off.append([want[0] - got.x0, want[1] - got.y0, got.x1 - want[2], got.y1 - want[3]])
    off = np.array(off)  # pixels by which the mask reaches beyond its box, per side
    assert off.max() < 1  # only to the edge of the pixel
    assert np.median(np.abs(off)) < 0.6 and np.quantile(off, 0.01) > -2  # thin tips cover no pixel
