"""Damaged labels of folders: one sentence with the file, where in it, and what to do; never a box that is silently wrong."""
# ruff: noqa: F811 (fixtures of other files)

import json
import warnings

import pytest
from layouts_made import csv_of, labelme, labelme_root, make, roboflow_root, shape, voc_beside, xml, yolo_root  # noqa: F401
from test_readers import picture, write

from foir_lib import load_set
from foir_lib.errors import InputError


def refused(root, words, **options):
    """The sentence in which a folder is refused."""
    with warnings.catch_warnings(), pytest.raises(InputError, match=words) as caught:
        warnings.simplefilter("ignore")
        load_set("folder", root=root, **options)
    assert "\n" not in str(caught.value) and str(root) in str(caught.value)
    return str(caught.value)


# --- YOLO

YOLO_LINES = {
    "a class beyond the names": ("2 0.5 0.5 0.2 0.4", r"has the class 2, and .*data\.yaml names 2 classes, counted from 0: add its name"),
    "pixels": ("0 100 50 40 40", r"has 100, and YOLO's numbers are shares of the picture, from 0 to 1: divide pixels by its width \(200\) and height \(100\)"),
    "one share above 1": ("0 0.5 0.5 1.2 0.4", "has 1.2, and YOLO's numbers are shares"),
    "a share below 0": ("0 0.5 -0.5 0.2 0.4", "has -0.5, and"),
    "pixels of an outline": ("0 0.1 0.1 0.5 0.1 50 40", "has 50, and"),
    "words": ("cup 0.5 0.5 0.2 0.4", "has 'cup 0.5 0.5 0.2 0.4': give a class and cx cy w h"),
    "a class of no whole number": ("0.5 0.5 0.5 0.2 0.4", "give a class and cx cy w h"),
    "a class below 0": ("-1 0.5 0.5 0.2 0.4", "give a class and cx cy w h"),
    "no number": ("0 0.5 nan 0.2 0.4", "give a class and cx cy w h"),
    "infinite": ("0 0.5 inf 0.2 0.4", "give a class and cx cy w h"),
    "too few": ("0 0.5 0.5 0.2", "give a class and cx cy w h"),
    "a confidence": ("0 0.5 0.5 0.2 0.4 0.9", "a sixth number, as of predictions, must go"),
    "half a corner": ("0 0.1 0.1 0.5 0.1 0.5 0.4 0.2", "or a class and three or more corners x y"),
    "commas": ("0,0.5,0.5,0.2,0.4", "give a class and cx cy w h"),
}


@pytest.mark.parametrize("fault", YOLO_LINES)
def test_lines_of_yolo(yolo_root, fault):
    line, words = YOLO_LINES[fault]
    write(yolo_root / "labels/train/a.txt", f"0 0.5 0.5 0.2 0.4\n\n{line}\n")
    assert "labels/train/a.txt: line 3 has " in refused(yolo_root, words)


YAMLS = {
    "broken": ("names: [cup, 'tea pot'\ntrain: x", "data.yaml is no proper YAML .*: repair it"),
    "an object of Python": ("names: !!python/object/apply:os.mkdir ['made']", "data.yaml is no proper YAML"),
    "no names": ("names:", "has names that are none"),
    "one name": ("names: cup", "has names that are none, 'cup'|has names that are none, {}"),
    "yes and no": ("names: [cup, no]", "has names that are none, False: give a list of texts, in quotes"),
    "empty": ("names: ['cup', ' ']", "has names that are none, ''"),
    "nested": ("names: [[cup], pot]", "has names that are none"),
    "words for numbers": ("names: {one: cup, two: pot}", "has names that are none"),
    "another count": ("nc: 3\nnames: [cup, tea pot]", "says nc: 3 and names 2 classes: make them agree"),
    "a count in words": ("nc: many\nnames: [cup, tea pot]", "says nc: 'many' and names 2 classes"),
}


@pytest.mark.parametrize("fault", YAMLS)
def test_names_of_yolo(yolo_root, fault, monkeypatch):
    text, words = YAMLS[fault]
    monkeypatch.chdir(yolo_root)
    write(yolo_root / "data.yaml", text)
    refused(yolo_root, words)
    assert not (yolo_root / "made").exists()


def test_files_of_yolo(yolo_root):
    picture(yolo_root / "images/train/a.png", (200, 100))
    refused(yolo_root, r"labels/train/a\.txt may belong to images/train/a\.jpg or images/train/a\.png: rename all but one")
    (yolo_root / "images/train/a.png").unlink()
    (yolo_root / "labels/train/a.txt").write_bytes(b"0 0.5 0.5 \xff")
    refused(yolo_root, r"labels/train/a\.txt is no UTF-8 text")
    for name in ("train/a", "val/b"):
        write(yolo_root / f"labels/{name}.txt", "")
    refused(yolo_root, r'labels/train/a\.txt has no box on a picture that can be read: give boxes .*, or boxes=""')


def test_a_box_of_yolo_that_reaches_outside_is_clipped_aloud(yolo_root):
    write(yolo_root / "labels/train/a.txt", "0 0.9 0.5 0.4 0.2\n0 1.0005 0.5 0.2 0.2\n")  # 140 to 220 of 200; a share rounded up
    with pytest.warns(UserWarning, match=r"2 boxes reached more than 1 pixel outside their pictures and were clipped \(first: line 1 of labels/train/a.txt"):
        result = load_set("folder", root=yolo_root)
    assert result.objects["x0"].round(6).tolist()[:2] == [140, 180.1] and result.objects["x1"].tolist()[:2] == [200, 200]


# --- VOC

VOC_FILES = {
    "cut short": (xml("b.jpg", [], (100, 200))[:-20], r"valid/b\.xml is broken XML at line 1, column \d+"),
    "another kind": ("<annotations/>", r"valid/b\.xml is XML of another kind \(annotations, not annotation\)"),
    "off the picture": (xml("b.jpg", [("cup", 150, 0, 180, 20)], (100, 200)), r"cup in valid/b\.xml has the box \(150, 0, 180, 20\) .*lies outside its picture"),
    "inverted": (xml("b.jpg", [("cup", 50, 0, 20, 20)], (100, 200)), r"cup in valid/b\.xml .* is inverted"),
    "nameless": (xml("b.jpg", [(" ", 5, 0, 20, 20)], (100, 200)), r"valid/b\.xml has an object without a name"),
    "words": (xml("b.jpg", [("cup", 5, 0, "wide", 20)], (100, 200)), r"valid/b\.xml has wide as bndbox/xmax|valid/b\.xml has 'wide' as bndbox/xmax"),
    "another size": (xml("b.jpg", [("cup", 5, 0, 20, 20)], (200, 400)), r"valid/b\.xml says valid/b\.jpg is 200 x 400 pixels, the file is 100 x 200: scale the boxes"),
    "a bomb": ('<!DOCTYPE a [<!ENTITY a0 "xxxxxxxxxx">' + "".join(f'<!ENTITY a{n + 1} "{f"&a{n};" * 10}">' for n in range(9))
               + "]><annotation><object><name>&a9;</name></object></annotation>", r"valid/b\.xml is (broken XML|no proper XML)"),
}  # fmt: skip


@pytest.mark.parametrize("fault", VOC_FILES)
def test_files_of_voc(voc_beside, fault):
    content, words = VOC_FILES[fault]
    write(voc_beside / "valid/b.xml", content)
    refused(voc_beside, words)


# --- LabelMe


def one_shape(**changes):
    return labelme("b.jpg", [shape("cup", [[1, 2], [30, 40]]) | changes], (100, 200))


LABELME_FILES = {
    "cut short": (json.dumps(one_shape())[:-9], r"b\.json is broken JSON at line 1, column \d+"),
    "no shapes": ({"shapes": None}, r"b\.json has no list 'shapes': it is no file of LabelMe"),
    "a list": ([{"shapes": []}], r"b\.json has no list 'shapes'"),
    "no shape": (labelme("b.jpg", ["cup"], (100, 200)), r"b\.json: shapes\[0\] lacks the key 'label'"),
    "no label": (one_shape(label=""), r"b\.json: shapes\[0\] has the label '': name what is in the shape"),
    "a label that is none": (one_shape(label=[1]), r"shapes\[0\] has the label \[1\]"),
    "no points": (one_shape(points=None), r"shapes\[0\] has the points None: a rectangle needs 2 or more x, y pairs"),
    "words": (one_shape(points=[["x", 1], [2, 3]]), "a rectangle needs 2 or more"),
    "one corner": (one_shape(points=[[1, 2]]), "a rectangle needs 2 or more"),
    "two corners": (one_shape(shape_type="polygon"), "a polygon needs 3 or more"),
    "three numbers": (one_shape(points=[[1, 2, 3], [4, 5, 6]]), "a rectangle needs 2 or more"),
    "NaN": (one_shape(points=[[1, float("nan")], [4, 5]]), "a rectangle needs 2 or more"),
    "a kind that is none": (one_shape(shape_type=None), "has the points"),
    "off the picture": (one_shape(points=[[150, 2], [180, 9]]), r"b\.json: shapes\[0\] has the box \(150, 2, 180, 9\) .* lies outside its picture"),
    "another size": (labelme("b.jpg", [shape("cup", [[1, 2], [30, 40]])], (50, 100)), r"b\.json says b\.jpg is 50 x 100 pixels, the file is 100 x 200"),
}


@pytest.mark.parametrize("fault", LABELME_FILES)
def test_files_of_labelme(labelme_root, fault):
    content, words = LABELME_FILES[fault]
    write(labelme_root / "b.json", content)
    refused(labelme_root, words)


# --- lists


def test_lists_of_another_size(roboflow_root):
    path = roboflow_root / "valid" / "_annotations.csv"
    path.write_text(path.read_text().replace("100,200", "640,640"))
    refused(roboflow_root, r"valid/_annotations\.csv says valid/b\.jpg is 640 x 640 pixels, the file is 100 x 200")


def test_a_list_in_a_split_speaks_of_its_own_pictures(roboflow_root):
    picture(roboflow_root / "train" / "b.jpg", (100, 200))  # another picture of that name
    with pytest.warns(UserWarning, match="3 boxes of 2 labels on 2 pictures"):
        result = load_set("folder", root=roboflow_root)
    assert list(result.queries["image_id"]) == ["train/a.jpg", "train/a.jpg", "valid/b.jpg"]
    write(roboflow_root / "valid" / "_annotations.csv", csv_of("filename,class,xmin,ymin,xmax,ymax", "a.jpg,{label},{x0},{y0},{x1},{y1}", "b"))
    refused(roboflow_root, r"valid/_annotations\.csv names the picture 'a\.jpg', which is not in the folder")


def test_shares_elsewhere_are_refused(tmp_path):
    picture(tmp_path / "a.jpg", (200, 100))
    write(tmp_path / "mine.csv", "image,label,xmin,ymin,xmax,ymax\na.jpg,cup,0.1,0.2,0.5,0.6\n")
    refused(tmp_path, "multiply shares of the picture by its width and height")


# --- options


def test_options_that_do_not_fit(tmp_path):
    make(tmp_path, "voc, beside")
    refused(tmp_path, r"has no YOLO text files of its pictures, it has VOC XML files: choose another kind of labels", labels="yolo")
    with pytest.raises(InputError, match="There is no kind of labels 'yollo': did you mean yolo.* Known are csv, coco, yolo, voc, labelme, classes"):
        load_set("folder", root=tmp_path, labels="yollo")
    with pytest.raises(InputError, match="boxes='x.csv' and labels='voc' are both given: give the file, or the kind of labels"):
        load_set("folder", root=tmp_path, boxes="x.csv", labels="voc")
