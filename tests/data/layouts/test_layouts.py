"""Folders with labels as people have them: every layout is found by itself, read to the pixel, and told in one line."""
# ruff: noqa: F811 (fixtures of other files)

import json
import os
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts_made import BOXES, LAYOUTS, coco_of, labelme, labelme_root, make, shape, xml, yolo_root  # noqa: F401
from test_readers import answers, picture, queries_of, write
from test_turned import ORIENTATIONS, RED, STORED, photo, red_in

from foir_lib import cli, load_set
from foir_lib.errors import InputError
from foir_lib.prompts import Box

ENV = os.environ.get("FOIR_DATA")


def loaded(root, **options):
    """The set of a folder, and its notices by reason."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        result = load_set("folder", root=root, **options)
    assert len(told) == bool(result.notices)  # all of it in one warning
    return result, {notice.reason: notice.n for notice in result.notices}


# --- boxes


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_by_hand(layout, tmp_path):
    kind, places = make(tmp_path, layout)
    result, told = loaded(tmp_path)
    assert sorted(queries_of(result)) == sorted((places[name], *box) for name, *box in BOXES)
    of = {(q.image_id, q.label): answers(result, row) for row, q in enumerate(result.queries.itertuples())}
    assert of == {(places["a"], "cup"): [], (places["a"], "tea pot"): [places["b"]], (places["b"], "tea pot"): [places["a"]]}
    assert sorted(result.database["image_id"]) == sorted(places.values())  # the one without a box is searched
    [line] = told or [""]
    assert layout == "csv" or (line.startswith("boxes of 2 labels on 2 pictures, from ") and told[line] == 3)
    assert queries_of(loaded(tmp_path, labels=kind)[0]) == queries_of(result)
    assert not loaded(tmp_path, labels=kind)[1] and not len(loaded(tmp_path, boxes="")[0].objects)


def test_outlines_of_yolo(yolo_root):
    write(yolo_root / "labels/val/b.txt", "1 0.1 0.2 0.5 0.2 0.5 0.4\n0 0.05 0.05 0.95 0.05 0.95 0.95 0.05 0.95\n")  # of 100 x 200 pixels
    result, _ = loaded(yolo_root)
    rows = result.objects.index[result.objects["image_id"] == "images/val/b.jpg"]
    assert [queries_of(result)[row][1:] for row in rows] == [("tea pot", 10, 40, 50, 80), ("cup", 5, 10, 95, 190)]
    corners = [tuple(np.round(result.objects["segmentation"][row][0], 9)) for row in rows]
    assert corners == [(10, 40, 50, 40, 50, 80), (5, 10, 95, 10, 95, 190, 5, 190)]
    assert result.mask(rows[1]).array.sum() == 90 * 180 and abs(result.mask(rows[0]).array.sum() - 40 * 40 / 2) <= 40


def test_key_points_of_yolo_are_left_aside(yolo_root):
    with open(yolo_root / "data.yaml", "a") as file:
        file.write("kpt_shape: [2, 3]\n")
    write(yolo_root / "labels/val/b.txt", "1 0.3 0.3 0.4 0.2 0.3 0.3 2 900 0.4 1\n")
    write(yolo_root / "labels/train/a.txt", "")
    assert queries_of(loaded(yolo_root)[0]) == [("images/val/b.jpg", "tea pot", 10, 40, 50, 80)]


def test_classes_of_yolo_without_names_are_numbers(yolo_root):
    (yolo_root / "data.yaml").unlink()
    result, told = loaded(yolo_root)
    assert set(result.objects["label"]) == {"0", "1"} and told["boxes of classes without a name (data.yaml, classes.txt): labels are their numbers"] == 3


def test_shapes_of_labelme(labelme_root):
    shapes = [
        shape("plate", [[100, 50], [100, 80]], "circle"),  # 30 around the centre
        shape("fork", [[10, 10], [60, 10], [60, 30]], "polygon"),
        shape("spoon", [[5, 5], [14, 9]], "mask"),  # its first and last pixel
        shape("crumb", [[5, 5]], "point"),
        shape("edge", [[5, 5], [9, 9]], "line"),
        shape("?", [[5, 5], [9, 9]], "cuboid"),
    ]
    del shapes[1]["shape_type"]  # as older ones are written
    write(labelme_root / "c.json", json.dumps(labelme("c.jpg", shapes, (200, 100))))
    result, told = loaded(labelme_root)
    rows = [row for row in queries_of(result) if row[0] == "c.jpg"]
    assert [row[1] for row in rows] == ["plate", "fork", "spoon"]
    np.testing.assert_allclose([row[2:] for row in rows], [(70, 20, 130, 80), (10, 10, 60, 30), (5, 5, 15, 10)])
    assert told["shapes without area, or of a kind that isn't read, left out"] == 3
    plate = result.mask(result.objects.index[result.objects["label"] == "plate"][0]).array
    assert abs(plate.sum() / (np.pi * 30**2) - 1) < 0.02 and plate[50, 100] and not plate[22, 72]


def boxes_of(size):
    """Boxes beyond the first pixel of a picture, with sides of three pixels at least."""
    sides = [st.tuples(st.floats(2, side - 4), st.floats(3, side)).map(lambda p, side=side: (p[0], min(p[0] + p[1], side))) for side in size]
    return st.tuples(*sides).map(lambda s: (s[0][0], s[1][0], s[0][1], s[1][1]))


@settings(max_examples=40)
@given(st.lists(boxes_of((61, 47)), min_size=1, max_size=4), st.sampled_from(["yolo", "voc", "labelme", "coco", "csv"]))
def test_what_a_format_writes_is_read_within_half_a_pixel(boxes, kind):
    width, height = size = (61, 47)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        picture(root / "a.jpg", size)
        if kind == "yolo":  # six decimals, as its tools write
            lines = [f"0 {(x0 + x1) / 2 / width:.6f} {(y0 + y1) / 2 / height:.6f} {(x1 - x0) / width:.6f} {(y1 - y0) / height:.6f}" for x0, y0, x1, y1 in boxes]
            write(root / "a.txt", "\n".join(lines))
        elif kind == "voc":  # whole numbers
            write(root / "a.xml", xml("a.jpg", [("thing", *map(round, box)) for box in boxes], size))
        elif kind == "labelme":
            write(root / "a.json", labelme("a.jpg", [shape("thing", [[x0, y0], [x1, y1]]) for x0, y0, x1, y1 in boxes], size))
        elif kind == "coco":
            rows = [{"id": n, "image_id": 0, "category_id": 1, "bbox": [x0, y0, x1 - x0, y1 - y0]} for n, (x0, y0, x1, y1) in enumerate(boxes)]
            image = {"id": 0, "file_name": "a.jpg", "width": width, "height": height}
            write(root / "mine.json", {"images": [image], "annotations": rows, "categories": [{"id": 1, "name": "thing"}]})
        else:
            write(root / "mine.csv", "\n".join(["image,label,xmin,ymin,xmax,ymax", *(f"a.jpg,thing,{x0!r},{y0!r},{x1!r},{y1!r}" for x0, y0, x1, y1 in boxes)]))
        read = loaded(root, check_files=False)[0].objects
    np.testing.assert_allclose(read[["x0", "y0", "x1", "y1"]].to_numpy(), boxes, atol=0.5 + 1e-9 if kind == "voc" else 1e-4)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("kind", ["yolo", "voc", "labelme", "csv"])
@pytest.mark.parametrize("on", ["shown", "stored"])
@pytest.mark.filterwarnings("ignore:Set folder")
def test_boxes_on_pictures_that_exif_turns(tmp_path, orientation, kind, on):
    shown = photo(tmp_path / "a.jpg", orientation)
    size = STORED if on == "stored" else load_set("folder", root=tmp_path).open("a.jpg").size
    x0, y0, x1, y1 = RED if on == "stored" else shown
    if kind == "yolo":
        write(tmp_path / "a.txt", f"0 {(x0 + x1) / 2 / size[0]} {(y0 + y1) / 2 / size[1]} {(x1 - x0) / size[0]} {(y1 - y0) / size[1]}\n")
    elif kind == "voc":
        write(tmp_path / "a.xml", xml("a.jpg", [("x", x0, y0, x1, y1)], size))
    elif kind == "labelme":
        write(tmp_path / "a.json", labelme("a.jpg", [shape("x", [[x0, y0], [x1, y1]])], size))
    else:
        write(tmp_path / "a.csv", f"image,label,x0,y0,x1,y1\na.jpg,x,{x0},{y0},{x1},{y1}\n")
    assert red_in(load_set("folder", root=tmp_path, boxes_on=on)) == (1, 1)


# --- a folder per class


def class_tree(root, *places, size=(40, 30)):
    for place in places:
        picture(root / place, size)


def test_a_folder_per_class_by_hand(tmp_path):
    class_tree(tmp_path, "cup/1.jpg", "cup/left/far/2.jpg", "tea pot/1.jpg", "tea pot/3.png", "fork/x.webp")
    (tmp_path / "cup" / "broken.jpg").write_bytes(b"no picture")
    (tmp_path / "cup" / "empty.jpg").write_bytes(b"")
    (tmp_path / "cup" / "._1.jpg").write_bytes(b"\0\5\x16\7")
    (tmp_path / "cup" / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    picture(tmp_path / "cup" / "@eaDir" / "1.jpg" / "SYNOPHOTO_THUMB_M.jpg")
    (tmp_path / "README.txt").write_text("what these are")
    result, told = loaded(tmp_path)
    assert queries_of(result) == [(i, label, 0, 0, 40, 30) for i, label in (("cup/1.jpg", "cup"), ("cup/left/far/2.jpg", "cup"),
                                  ("fork/x.webp", "fork"), ("tea pot/1.jpg", "tea pot"), ("tea pot/3.png", "tea pot"))]  # fmt: skip
    assert [answers(result, query) for query in range(5)] == [["cup/left/far/2.jpg"], ["cup/1.jpg"], [], ["tea pot/3.png"], ["tea pot/1.jpg"]]
    assert told == {"pictures left out in folders @eaDir: small copies, or deleted": 1, "pictures left out that can't be read": 2,
                    "pictures in 3 classes, a folder per class": 5}  # fmt: skip
    assert result.n_objects("cup/1.jpg") == 1 and not len(loaded(tmp_path, boxes="")[0].queries)


@pytest.mark.parametrize("above", ["", "images/"])
def test_splits_of_classes(tmp_path, above):
    names = ("train/cup/1.jpg", "train/pot/2.jpg", "train/cup/3.jpg", "val/cup/4.jpg", "test/pot/5.jpg")
    class_tree(tmp_path, *(above + name for name in names))
    ids = {name: above + name for name in names}
    result, told = loaded(tmp_path)
    assert told == {"pictures in 2 classes, a folder per class": 5,
                    'pictures ask, those in train are searched; query="all" lets every picture ask and be searched': 2}  # fmt: skip
    assert [(i, label) for i, label, *_ in queries_of(result)] == [(ids["test/pot/5.jpg"], "pot"), (ids["val/cup/4.jpg"], "cup")]
    assert [answers(result, query) for query in (0, 1)] == [[ids["train/pot/2.jpg"]], [ids["train/cup/1.jpg"], ids["train/cup/3.jpg"]]]
    for query in ("val", "valid", "VAL"):
        result, _ = loaded(tmp_path, query=query)
        assert [row[0] for row in queries_of(result)] == [ids["val/cup/4.jpg"]] and len(result.database) == 4
    result, told = loaded(tmp_path, query="all")
    assert len(result.queries) == len(result.database) == 5 and len(told) == 1
    with pytest.raises(InputError, match="no split of some pictures 'tost': did you mean test.* Known are test, train, val, all"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        load_set("folder", root=tmp_path, query="tost")


@pytest.mark.parametrize(
    "places",
    [("1.jpg", "trip/2.jpg", "home/3.jpg"), ("DCIM/100/1.jpg", "DCIM/101/2.jpg"), ("images/1.jpg", "masks/1.png"), ("train/1.jpg", "val/2.jpg"),
     ("images/train/1.jpg", "images/val/2.jpg"), ("train/images/1.jpg", "valid/images/2.jpg")],
)  # fmt: skip
def test_folders_that_are_no_classes(tmp_path, places):
    class_tree(tmp_path, *places)
    result, told = loaded(tmp_path)
    assert len(result.images) == len(places) and not len(result.objects) and not told


def test_a_tenth_of_the_pictures_may_lie_beside_the_classes(tmp_path):
    class_tree(tmp_path, *(f"{folder}/{i}.jpg" for folder in ("cup", "fork") for i in range(9)), "x.jpg", "y.jpg")
    result, told = loaded(tmp_path)
    assert told["pictures in 2 classes, a folder per class"] == 18 and len(result.database) == 20 and len(result.queries) == 18
    class_tree(tmp_path, "z.jpg")
    result, told = loaded(tmp_path)
    assert not told and len(result.database) == 21 and not len(result.queries)


def test_classes_that_somebody_asks_for(tmp_path):
    class_tree(tmp_path, "1.jpg", "cup/2.jpg", "cup/3.jpg")
    result, told = loaded(tmp_path, labels="classes")
    assert [row[:2] for row in queries_of(result)] == [("cup/2.jpg", "cup"), ("cup/3.jpg", "cup")] and not told
    assert list(result.database["image_id"]) == ["1.jpg", "cup/2.jpg", "cup/3.jpg"]
    class_tree(tmp_path / "flat", "1.jpg")
    with pytest.raises(InputError, match="has no folders of classes: put the pictures of each class into a folder of its name"):
        load_set("folder", root=tmp_path / "flat", labels="classes")


def test_any_box_asks_in_a_folder_per_class(tmp_path):
    class_tree(tmp_path, "cup/1.jpg", "pot/2.jpg")
    result, _ = loaded(tmp_path)
    assert result.queries["prompt"].tolist() == [Box(0, 0, 40, 30)] * 2
    assert result.open("cup/1.jpg").size == (40, 30)


def test_labels_of_whole_pictures_in_a_table(tmp_path):
    class_tree(tmp_path, "1.jpg", "far/2.jpg", "3.jpg", "4.jpg")
    (tmp_path / "4.jpg").write_bytes(b"cut")
    write(tmp_path / "train.csv", "image_name,label\n1.jpg,cup\n2.jpg,cup\n1.jpg,blue\n4.jpg,cup\n")
    assert not len(loaded(tmp_path)[0].objects)  # any table may have these columns
    result, _ = loaded(tmp_path, boxes="train.csv")
    assert queries_of(result) == [("1.jpg", "cup", 0, 0, 40, 30), ("far/2.jpg", "cup", 0, 0, 40, 30), ("1.jpg", "blue", 0, 0, 40, 30)]
    assert [answers(result, query) for query in range(3)] == [["far/2.jpg"], ["1.jpg"], []]
    assert list(result.database["image_id"]) == ["1.jpg", "3.jpg", "far/2.jpg"]


# --- which labels


def test_splits_of_boxes(yolo_root):
    assert set(loaded(yolo_root)[0].images["split"]) == {"both", "database"}  # c shows nothing
    result, _ = loaded(yolo_root, query="val")
    assert list(result.query_images["image_id"]) == ["images/val/b.jpg"] and list(result.database["image_id"]) == ["images/train/a.jpg"]
    write(yolo_root / "lists" / "mine.txt", "./images/val/b.jpg\n\n")  # as the YAML says, wherever pictures lie
    text = (yolo_root / "data.yaml").read_text()
    write(yolo_root / "data.yaml", text.replace("train: images/train", "train: [lists/mine.txt]").replace("val: images/val", "val: /content/mine/images/train"))
    assert list(loaded(yolo_root, query="val")[0].query_images["image_id"]) == ["images/train/a.jpg"]


def test_two_kinds_of_labels_are_told(yolo_root):
    write(yolo_root / "annotations" / "mine.json", coco_of(["a", "b", "c"]))
    write(yolo_root / "labels/val/b.txt", "0 0.5 0.5 0.2 0.2\n")
    result, told = loaded(yolo_root)
    assert told == {'boxes of 2 labels on 2 pictures, from COCO JSON; also YOLO text files (labels="yolo")': 3}
    assert ("images/val/b.jpg", "cup", 40, 80, 60, 120) in queries_of(loaded(yolo_root, labels="yolo")[0])
    assert ("images/val/b.jpg", "tea pot", 10, 40, 50, 80) in queries_of(result)


def test_classes_and_boxes_are_told(tmp_path):
    for name in ("cup/a", "pot/b"):
        picture(tmp_path / f"{name}.jpg", (200, 100))
        write(tmp_path / f"{name}.xml", xml("x.jpg", [("handle", 5, 6, 50, 60)], (200, 100)))
    result, told = loaded(tmp_path)
    assert told == {'boxes of 1 labels on 2 pictures, from VOC XML files; also a folder per class (labels="classes")': 2}
    assert [row[1] for row in queries_of(loaded(tmp_path, labels="classes")[0])] == ["cup", "pot"]


def test_a_second_file_of_the_same_pictures_is_told(tmp_path):
    make(tmp_path, "coco")
    write(tmp_path / "result_old.json", coco_of(["b"]))
    result, told = loaded(tmp_path)
    assert len(result.queries) == 3 and told['files left out: their pictures have labels in another file, boxes="FILE" takes one'] == 1
    assert len(load_set("folder", root=tmp_path, boxes="result_old.json").queries) == 1


def test_files_that_are_no_labels(tmp_path):
    """Captions beside pictures, a camera's notes, a web album's facts."""
    for name in ("a", "b"):
        picture(tmp_path / f"{name}.jpg")
        write(tmp_path / f"{name}.txt", "3 cups on a table, 2 of them blue")
        write(tmp_path / f"{name}.json", {"title": name, "geoData": {"latitude": 0}})
        write(tmp_path / f"{name}.xml", "<metadata><name>x</name></metadata>")
        write(tmp_path / f"{name}.jpg.json", {"title": name})
    write(tmp_path / "places.csv", "image,place\na.jpg,home\n")
    write(tmp_path / "config.yaml", "names_of: [x]\n")
    result, told = loaded(tmp_path)
    assert len(result.images) == 2 and not len(result.objects) and not told


def test_two_pictures_of_one_name(labelme_root):
    picture(labelme_root / "a.png", (200, 100))
    assert [row[0] for row in queries_of(loaded(labelme_root)[0])] == ["a.jpg", "a.jpg", "b.jpg"]  # its imagePath says which


def test_labels_of_a_broken_picture_are_left_out(yolo_root):
    (yolo_root / "images/val/b.jpg").write_bytes(b"cut")
    result, told = loaded(yolo_root)
    assert [row[:2] for row in queries_of(result)] == [("images/train/a.jpg", "cup"), ("images/train/a.jpg", "tea pot")]
    assert told["pictures left out that can't be read"] == 1


def test_check_tells_what_was_found(yolo_root, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["data", "check", str(yolo_root)])
    out = " ".join(capsys.readouterr().out.split())
    assert ended.value.code in (0, None) and "3 boxes of 2 labels on 2 pictures, from YOLO text files" in out
    assert out.endswith(f"folder in {yolo_root}: 3 images, 3 objects, 3 queries; 1 notices")
    with pytest.raises(SystemExit):
        cli.main(["data", "check", str(yolo_root), "-p", "labels", "yolo", "-p", "query", "val"])
    assert capsys.readouterr().out.rstrip().endswith("2 images, 3 objects, 1 queries; no notices")


@pytest.mark.real
@pytest.mark.skipif(not (ENV and Path(ENV, "grocery").is_dir()), reason="needs the folder grocery below FOIR_DATA")
def test_photographs_from_shops():
    result, told = loaded(Path(ENV) / "grocery")
    assert told == {"pictures in 12 classes, a folder per class": 134}
    counts = result.objects["label"].value_counts()
    assert len(counts) == 12 and counts.sum() == len(result.queries) == len(result.database) == 134
    for query, row in enumerate(result.queries.itertuples()):
        assert row.image_id.split("/")[0] == row.label and row.prompt == Box(0, 0, *result.open(row.image_id).size)
        assert len(answers(result, query)) == counts[row.label] - 1 and row.image_id not in answers(result, query)
