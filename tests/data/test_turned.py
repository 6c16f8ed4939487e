"""Boxes and masks on pictures that EXIF turns: drawn on the stored pixels or on the picture as it is shown, in every layout."""

import json
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as rle
from test_landmark_readers import TRUTH, dump, oxford, roxford  # noqa: F401
from test_readers import write

from foir_lib.data import load_set, masks
from foir_lib.data.readers import turned
from foir_lib.errors import InputError
from foir_lib.images import LYING, TURNS
from foir_lib.prompts import Box

STORED, RED = (80, 60), (10, 5, 30, 20)  # pixels of the file, and where it is red
ORIENTATIONS = range(1, 9)


def photo(path, orientation):
    """A picture, red in one box of its stored pixels; where that is when it is shown."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image, exif = Image.new("RGB", STORED, (30, 60, 90)), Image.Exif()
    image.paste((255, 0, 0), RED)
    exif[0x0112] = orientation
    image.save(path, exif=exif, quality=100, subsampling=0)
    red = np.zeros(STORED[::-1], dtype=bool)
    red[RED[1] : RED[3], RED[0] : RED[2]] = True
    shown = np.asarray(Image.fromarray(red).transpose(TURNS[orientation])) if orientation > 1 else red
    ys, xs = np.nonzero(shown)
    return tuple(int(v) for v in (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1))


def red_in(retrieval_set, query=0):
    """Shares: of a query's box that is red, and of what is red that lies in its box."""
    row = retrieval_set.queries.iloc[query]
    red = np.asarray(retrieval_set.open(row["image_id"]))[..., 0] > 128
    inside = row["prompt"].pixels(red.shape[::-1])
    return (red & inside).sum() / inside.sum(), (red & inside).sum() / red.sum()


def coco(path, box, size, name="a.jpg", image_id=1):
    x0, y0, x1, y1 = box
    one = {"id": 1, "image_id": image_id, "category_id": 1, "bbox": [x0, y0, x1 - x0, y1 - y0]}
    image = {"id": image_id, "file_name": name, "width": size[0], "height": size[1]}
    content = {"images": [image], "annotations": [one], "categories": [{"id": 1, "name": "x"}]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def folder(root, kind, box, size, **options):
    """The set of a folder with one box, and what was told about it."""
    if kind == "csv":
        (root / "boxes.csv").write_text("image,label,x0,y0,x1,y1\na.jpg,x,{},{},{},{}\n".format(*box))
    else:
        coco(root / "boxes.json", box, size)
    return load_set("folder", root=root, **options)


def shown_size(orientation):
    return STORED[::-1] if orientation in LYING else STORED


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("kind", ["csv", "coco, size of the picture", "coco, size of the stored pixels"])
@pytest.mark.filterwarnings("ignore:Set folder")
def test_boxes_of_a_folder(tmp_path, orientation, kind):
    shown = photo(tmp_path / "a.jpg", orientation)
    size = STORED if "stored" in kind else shown_size(orientation)
    result = folder(tmp_path, kind[:4].strip(","), shown, size)  # drawn on the picture as it is shown
    assert red_in(result) == (1, 1)
    (row,) = result.images[["width", "height"]].to_numpy().tolist()
    assert tuple(row) == shown_size(orientation)
    sure = orientation == 1 or (kind == "coco, size of the picture" and orientation in LYING)
    reasons = [(notice.n, "EXIF" in notice.reason and 'boxes_on="stored"' in notice.reason) for notice in result.notices]
    assert reasons == ([] if sure else [(1, True)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert red_in(folder(tmp_path, kind[:4].strip(","), shown, size, boxes_on="shown")) == (1, 1)
        assert red_in(folder(tmp_path, kind[:4].strip(","), RED, size, boxes_on="stored")) == (1, 1)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("on", ["shown", "stored"])
def test_the_official_layouts(tmp_path, orientation, on):
    """Sizes in their annotations are those of the stored pixels."""
    where = {}
    for place in ("coco/val/a.jpg", "VOC2007/JPEGImages/000001.jpg", "vg/VG_100K/1.jpg"):
        shown = photo(tmp_path / place, orientation)
        where[place.split("/")[0]] = shown if on == "shown" else RED
    photo(tmp_path / "coco" / "train" / "b.jpg", 1)
    photo(tmp_path / "VOC2007" / "JPEGImages" / "000002.jpg", 1)
    photo(tmp_path / "vg" / "VG_100K" / "2.jpg", 1)
    coco(tmp_path / "coco" / "annotations" / "instances_val.json", where["coco"], STORED)
    coco(tmp_path / "coco" / "annotations" / "instances_train.json", RED, STORED, name="b.jpg", image_id=2)
    for name, box in (("000001", where["VOC2007"]), ("000002", RED)):
        x0, y0, x1, y1 = box
        write(tmp_path / "VOC2007" / "Annotations" / f"{name}.xml", f"<annotation><size><width>80</width><height>60</height></size><object><name>x</name><bndbox><xmin>{x0 + 1}</xmin><ymin>{y0 + 1}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object></annotation>")  # fmt: skip
        write(tmp_path / "VOC2007" / "ImageSets" / "Main" / ("test.txt" if name == "000001" else "trainval.txt"), name)
    vg = [{"image_id": i, "width": 80, "height": 60} for i in (1, 2)]
    write(tmp_path / "vg" / "image_data.json", json.dumps(vg))
    items = [{"image_id": i, "objects": [{"names": ["x"], "x": b[0], "y": b[1], "w": b[2] - b[0], "h": b[3] - b[1]}]} for i, b in ((1, where["vg"]), (2, RED))]
    write(tmp_path / "vg" / "objects.json", json.dumps(items))
    write(tmp_path / "vg" / "object_alias.txt", "x,y\n")
    write(tmp_path / "vg" / "test_list_500.txt", "1.jpg")
    write(tmp_path / "vg" / "train_list_500.txt", "2.jpg")
    sets = {
        "coco": {"root": tmp_path / "coco", "query": "val", "database": "train"},
        "voc": {"root": tmp_path, "database": "VOC2007/trainval"},
        "visual-genome": {"root": tmp_path / "vg"},
    }
    for name, options in sets.items():
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            result = load_set(name, boxes_on=on, **options)
        assert red_in(result) == (1, 1), name
        if on == "shown":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                result = load_set(name, **options)
            assert red_in(result) == (1, 1)
            assert sum(notice.n for notice in result.notices if "EXIF" in notice.reason) == (orientation > 1), name
        elif orientation in LYING:
            result = load_set(name, check_files=False, **options)
            with pytest.raises(InputError, match="60 x 80 pixels, its annotation says 80 x 60: its EXIF turns it, load the set with check_files=True"):
                result.open(result.queries["image_id"].iloc[0])


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_landmark_benchmarks(oxford, roxford, orientation):  # noqa: F811
    """One's own pictures in their layouts: the first query's picture is turned."""
    for name, root, file in (("oxford5k", oxford, "all_souls_000013.jpg"), ("roxford5k", roxford, "jpg/all_souls_000013.jpg")):
        shown = photo(root / file, orientation)
        for on, corners in (("shown", shown), ("stored", RED), (None, shown)):
            if name == "oxford5k":
                (root / "gt" / "all_souls_1_query.txt").write_text("oxc1_all_souls_000013 {} {} {} {}".format(*corners))
            else:
                first = TRUTH["gnd"][0] | {"bbx": list(corners)}
                dump(root / "gnd_roxford5k.pkl", TRUTH | {"gnd": [first, *TRUTH["gnd"][1:]]})
            with warnings.catch_warnings():
                warnings.simplefilter("ignore" if on is None else "error")
                result = load_set(name, root=root, boxes_on=on)
            assert red_in(result) == (1, 1)
            assert sum(notice.n for notice in result.notices if "EXIF" in notice.reason) == (on is None and orientation > 1)


def test_a_word_that_is_no_kind_of_pixels(tmp_path):
    photo(tmp_path / "a.jpg", 6)
    with pytest.raises(InputError, match="no kind of pixels that boxes are on 'raw': known are shown, stored"):
        folder(tmp_path, "csv", RED, STORED, boxes_on="raw")


@given(st.sampled_from(range(2, 9)), st.integers(1, 12), st.integers(1, 12), st.data())
@settings(max_examples=150, deadline=None)
def test_what_is_drawn_on_stored_pixels_is_turned_with_them(orientation, width, height, data):
    stored, shown = (width, height), (height, width) if orientation in LYING else (width, height)
    x0, y0 = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    box = np.array([x0, y0, data.draw(st.integers(x0 + 1, width)), data.draw(st.integers(y0 + 1, height))], float)
    right = np.asarray(Image.fromarray(Box(*box).pixels(stored)).transpose(TURNS[orientation]))
    np.testing.assert_array_equal(Box(*turned.box(box, orientation, stored)).pixels(shown), right)
    left, top, end, bottom = box.tolist()
    outline = turned.segmentation([[left, top, end, top, end, bottom, left, bottom]], orientation, stored)
    np.testing.assert_array_equal(masks.decode(outline, shown, ""), right)
    pixels = np.array(data.draw(st.lists(st.booleans(), min_size=width * height, max_size=width * height))).reshape(height, width)
    runs = rle.encode(np.asfortranarray(pixels, dtype=np.uint8))
    for one in (runs, {"size": [height, width], "counts": runs["counts"].decode()}):
        outline = turned.segmentation(one, orientation, stored)
        np.testing.assert_array_equal(masks.decode(outline, shown, ""), np.asarray(Image.fromarray(pixels).transpose(TURNS[orientation])))
    assert turned.segmentation([[1, 2]], orientation, stored) == [[1, 2]]  # what nobody can read is told of elsewhere
