"""Readers: hand-made data sets in the official layouts, answers worked by hand, every bad input in words."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foir_lib.data import load_set
from foir_lib.data.readers import coco, reading, visual_genome, voc
from foir_lib.errors import InputError, MissingError
from foir_lib.prompts import Box


def picture(path, size=(40, 30), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (90, 120, 40)).save(path, **options)


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def answers(result, query):
    rows = result.protocols["contains"].positives(query)
    return list(result.database["image_id"].iloc[rows])


def queries_of(result):
    return [(q.image_id, q.label, *vars(q.prompt).values()) for q in result.queries.itertuples()]


# --- COCO ---

CATEGORIES = [{"id": 18, "name": "dog"}, {"id": 3, "name": "car"}, {"id": 1, "name": "person"}]


def annotation(number, image_id, category_id, bbox, **more):
    return {"id": number, "image_id": image_id, "category_id": category_id, "bbox": bbox, **more}


@pytest.fixture
def coco_root(tmp_path):
    """val: 1 (dog, car, crowd), 2 (empty), 3 (crowd only); train: 11 dog, 12 crowd of people + car, 13 empty."""
    root = tmp_path / "coco"
    crowd = {"iscrowd": 1, "segmentation": {"size": [30, 40], "counts": [1140, 60]}}
    annotations = {
        "val": [
            annotation(1, 1, 18, [2, 3, 10.5, 7], iscrowd=0, segmentation=[[2, 3, 12, 3, 12, 10, 2, 10]]),
            annotation(2, 1, 3, [30.2, 20, 10.3, 10.4]),  # a hair outside: clipped to 40, 30
            annotation(3, 1, 1, [38, 0, 2, 30], **crowd),
            annotation(4, 3, 1, [0, 0, 40, 30], iscrowd=1),
        ],
        "train": [
            annotation(5, 11, 18, [0, 0, 5, 5]),
            annotation(6, 12, 1, [0, 0, 40, 30], iscrowd=1),
            annotation(7, 12, 3, [1, 1, 2, 2]),
            annotation(8, 11, 18, [4, 4, 5, 5]),
        ],
    }  # fmt: skip
    for split, ids in (("val", (1, 2, 3)), ("train", (11, 12, 13))):
        images = [{"id": i, "file_name": f"{i:012d}.jpg", "width": 40, "height": 30} for i in ids]
        content = {"images": images, "annotations": annotations[split], "categories": CATEGORIES}
        write(root / "annotations" / f"instances_{split}2017.json", content)
        for i in ids:
            picture(root / f"{split}2017" / f"{i:012d}.jpg")
    return root


def test_coco_by_hand(coco_root):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a hair outside is no news
        result = load_set("coco", root=str(coco_root))
    assert queries_of(result) == [(1, "dog", 2, 3, 12.5, 10), (1, "car", 30.2, 20, 40, 30)]
    assert answers(result, 0) == [11] and answers(result, 1) == [12]
    assert list(result.query_images["image_id"]) == [1]  # 2 shows nothing, 3 only a crowd
    assert list(result.database["image_id"]) == [11, 12, 13]
    assert list(result.objects["ignore"]) == [False, False, True, False, True, False, False]
    assert result.n_objects(1) == 2
    assert result.mask(0).box((40, 30)) == Box(2, 3, 12, 10)
    assert result.mask(2).box((40, 30)) == Box(
        38, 0, 40, 30
    )  # uncompressed runs: the last two columns
    assert result.open(1).size == (40, 30)


def test_coco_crowds(coco_root):
    result = load_set("coco", root=coco_root, crowd_queries=True)
    assert [(i, label) for i, label, *_ in queries_of(result)] == [(1, "dog"), (1, "car"), (1, "person"), (3, "person")]  # fmt: skip
    assert answers(result, 2) == [12]
    result = load_set("coco", root=coco_root, crowd_queries=True, crowd_positives=False)
    assert answers(result, 2) == []


def test_coco_searched_in_itself(coco_root):
    result = load_set("coco", root=coco_root, query="train2017", database="train2017")
    # the crowd of 12 asks nothing; 13 shows nothing but can be found; no picture finds itself
    assert [(i, label) for i, label, *_ in queries_of(result)] == [(11, "dog"), (12, "car"), (11, "dog")]
    assert list(result.database["image_id"]) == [11, 12, 13]
    assert [answers(result, q) for q in range(3)] == [[], [], []]


def test_coco_boxes_without_area_are_left_out(coco_root):
    path = coco_root / "annotations" / "instances_train2017.json"
    edit(path, lambda c: c["annotations"][0].update(bbox=[3, 3, 0, 5]))
    with pytest.warns(UserWarning, match=r"1 boxes without area were left out \(first: annotation 5 of image 11") as caught:  # fmt: skip
        result = load_set("coco", root=coco_root)
    assert len([one for one in caught if one.category is UserWarning]) == 1  # not those of a library's old calls
    assert len(result.objects) == 6 and answers(result, 0) == [11]  # by its other dog


def test_coco_boxes_far_outside_are_clipped_aloud(coco_root):
    path = coco_root / "annotations" / "instances_train2017.json"
    edit(path, lambda c: c["annotations"][0].update(bbox=[-4, 3, 10, 50]))
    with pytest.warns(UserWarning, match="1 boxes reached more than 1 pixel outside"):
        result = load_set("coco", root=coco_root)
    dog = result.objects[result.objects["image_id"] == 11].iloc[0]
    assert tuple(dog[["x0", "y0", "x1", "y1"]]) == (0, 3, 6, 30)


def a(n, **values):
    return lambda c: c["annotations"][n].update(values)


def without(table, n, key):
    return lambda c: c[table][n].pop(key)


COCO_FAULTS = {
    "no images": (lambda c: c.pop("images"), "has no list 'images'"),
    "no annotations": (lambda c: c["annotations"].clear(), "has no list 'annotations', or an empty"),
    "categories no list": (lambda c: c.update(categories={}), "has no list 'categories'"),
    "image without file": (without("images", 1, "file_name"), r"images\[1\] lacks the key 'file_name'"),
    "image no dict": (lambda c: c["images"].insert(1, 5), r"images\[1\] lacks the key"),
    "image twice": (lambda c: c["images"][1].update(id=1), "images has the id 1 twice"),
    "annotation without box": (without("annotations", 2, "bbox"), r"annotations\[2\] lacks the key 'bbox'"),
    "id no id": (lambda c: c["images"][1].update(id=[1]), r"images\[1\] has 'id' = \[1\], which is no id"),
    "id a flag": (a(1, image_id=True), r"annotations\[1\] has 'image_id' = True, which is no id"),
    "crowd in words": (a(1, iscrowd="many"), r"iscrowd, row 1, is 'many', no yes or no"),
    "boxes as shares": (lambda c: [one.update(bbox=[0.25, 0.4, 0.25, 0.5]) for one in c["annotations"]], r"annotation 1 .* give pixels, multiply shares"),
    "file outside": (lambda c: c["images"][0].update(file_name="../../secret.jpg"), "'../../secret.jpg', which is not in the folder"),
    "unknown image": (a(1, image_id=99), "annotation 2 names the image 99, which is not in images"),
    "unknown category": (a(1, category_id=99), "annotation 2 names the category 99"),
    "category twice": (lambda c: c["categories"][1].update(id=18), "categories has the id 18 twice"),
    "category without name": (without("categories", 0, "name"), r"categories\[0\] lacks the key 'name'"),
    "category nameless": (lambda c: c["categories"][0].update(name=""), "has no label"),
    "three numbers": (a(1, bbox=[1, 2, 3]), "annotation 2 has bbox"),
    "all boxes empty": (lambda c: [one.update(bbox=[]) for one in c["annotations"]], r"annotation 1 has bbox \[\]: give four numbers"),
    "all boxes twice": (lambda c: [one.update(bbox=one["bbox"] * 2) for one in c["annotations"]], "annotation 1 has bbox .* give four numbers"),
    "all boxes as corners": (lambda c: [one.update(bbox=[one["bbox"][:2], one["bbox"][2:]]) for one in c["annotations"]], "annotation 1 has bbox"),
    "box of text": (a(1, bbox=[1, 2, 3, "x"]), "annotation 2 has bbox"),
    "box null": (a(1, bbox=None), r"annotations\[1\] has 'bbox' = 'None'"),
    "box NaN": (a(1, bbox=[1, 2, 3, float("nan")]), "annotation 2 of image 1 .* not made of finite"),
    "box infinite": (a(1, bbox=[1, 2, float("inf"), 3]), "annotation 2 of image 1 .* not made of finite"),
    "box inverted": (a(1, bbox=[10, 2, -3, 4]), r"box \(10, 2, 7, 6\) .* is inverted"),
    "box elsewhere": (a(1, bbox=[300, 2, 30, 4]), "40 x 30 pixels, which lies outside its picture"),
    "a list": (None, "has no list 'images'"),
}  # fmt: skip


@pytest.mark.parametrize("fault", COCO_FAULTS)
def test_coco_faults(coco_root, fault):
    change, words = COCO_FAULTS[fault]
    path = coco_root / "annotations" / "instances_val2017.json"
    if change:
        edit(path, change)
    else:
        path.write_text("[1, 2]")
    with pytest.raises(InputError, match=words) as caught:
        load_set("coco", root=coco_root)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content, words",
    [
        (b'{"images": [\n{"id": 1,,}]}', r"broken JSON at line 2, column 10"),
        (b'{"images": [', "broken JSON at line 1"),
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"\xff\xfe\x00", "no UTF-8 text"),
        (b"[" * 200_000, "nested too deeply|broken JSON"),
    ],
)
def test_broken_json(coco_root, content, words):
    path = coco_root / "annotations" / "instances_train2017.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        load_set("coco", root=coco_root)
    assert str(path) in str(caught.value)


def test_coco_missing_parts(coco_root):
    with pytest.raises(MissingError, match="expected val2017/.*`foir data get coco"):
        load_set("coco", root=coco_root / "nowhere")
    with pytest.raises(MissingError, match="no picture folder at .*test2017|no annotation file"):
        load_set("coco", root=coco_root, query="test2017")
    (coco_root / "train2017" / "000000000012.jpg").unlink()
    (coco_root / "train2017" / "000000000013.jpg").unlink()
    with pytest.raises(
        MissingError, match=r"2 of 3 pictures .* missing, first .*000000000012\.jpg"
    ):
        load_set("coco", root=coco_root)
    assert len(load_set("coco", root=coco_root, check_files=False).database) == 3
    (coco_root / "annotations" / "instances_val2017.json").unlink()
    with pytest.raises(MissingError, match=r"instances_val2017\.json"):
        load_set("coco", root=coco_root)


def test_coco_broken_masks_matter_only_when_wanted(coco_root):
    edit(coco_root / "annotations" / "instances_val2017.json", a(0, segmentation=[["x", 1]]))
    result = load_set("coco", root=coco_root)
    with pytest.raises(InputError, match=r"Object 0 \(dog\) of image 1 has a broken segmentation"):
        result.mask(0)
    with pytest.raises(InputError, match="has no segmentation"):
        result.mask(1)


def test_coco_keeps_every_digit(coco_root):
    images, objects = coco.read(coco_root / "annotations" / "instances_val2017.json")
    assert list(images["file_name"]) == [f"{i:012d}.jpg" for i in (1, 2, 3)]
    assert [list(p) for p in objects["segmentation"][0]] == [[2, 3, 12, 3, 12, 10, 2, 10]]


# --- VOC ---

HEAD = "<annotation><filename>x.jpg</filename><size><width>40</width><height>30</height><depth>3</depth></size>"


def voc_object(name, box, difficult=0, part=""):
    sides = "".join(
        f"<{k}>{v}</{k}>" for k, v in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    )
    return f"<object><name>{name}</name>{part}<difficult>{difficult}</difficult><bndbox>{sides}</bndbox></object>"


HEAD_PART = "<part><name>head</name><bndbox><xmin>7</xmin><ymin>7</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></part>"


@pytest.fixture
def voc_root(tmp_path):
    root = tmp_path / "VOCdevkit"
    pictures = {
        ("VOC2007", "000001"): [voc_object("dog", (1, 1, 40, 30)), voc_object("cat", (3, 4, 3, 9), 1)],
        ("VOC2007", "000002"): [voc_object("cat", (5, 5, 6, 6), 1)],
        ("VOC2007", "000003"): [voc_object("dog", (2, 2, 9, 9)), voc_object("person", (3, 3, 8, 8), 0, HEAD_PART)],
        ("VOC2012", "000003"): [voc_object("cat", (2, 2, 9, 9), 1)],
        ("VOC2012", "2007_000027"): [voc_object("dog", ("2.5", "2", "9.25", "9"), 1)],
    }  # fmt: skip
    for (year, name), objects in pictures.items():
        write(
            root / year / "Annotations" / f"{name}.xml", HEAD + "".join(objects) + "</annotation>"
        )
        picture(root / year / "JPEGImages" / f"{name}.jpg")
    write(root / "VOC2007/ImageSets/Main/test.txt", "000001\n000002\n")
    write(root / "VOC2007/ImageSets/Main/trainval.txt", "000003  1\n\n")
    write(root / "VOC2012/ImageSets/Main/trainval.txt", "000003\n2007_000027\n")
    return tmp_path


@pytest.mark.parametrize("inside", [False, True])
def test_voc_by_hand(voc_root, inside):
    result = load_set("voc", root=voc_root / "VOCdevkit" if inside else voc_root)
    assert queries_of(result) == [("VOC2007/000001", "dog", 0, 0, 40, 30)]  # 1-based, inclusive
    # 000002 shows only a difficult cat, so it asks nothing; both years have a 000003
    assert list(result.query_images["image_id"]) == ["VOC2007/000001"]
    assert list(result.database["image_id"]) == ["VOC2007/000003", "VOC2012/000003", "VOC2012/2007_000027"]  # fmt: skip
    assert answers(result, 0) == ["VOC2007/000003", "VOC2012/2007_000027"]
    boxes = {(o.image_id, o.label): (o.x0, o.y0, o.x1, o.y1) for o in result.objects.itertuples()}
    assert boxes["VOC2007/000001", "cat"] == (2, 3, 3, 9)  # one pixel wide
    assert boxes["VOC2007/000003", "person"] == (2, 2, 8, 8)  # not the head
    assert boxes["VOC2012/2007_000027", "dog"] == (1.5, 1, 9.25, 9)
    assert result.open("VOC2012/000003").size == (40, 30)


def test_voc_difficult(voc_root):
    result = load_set("voc", root=voc_root, difficult_queries=True)
    assert [row[:2] for row in queries_of(result)] == [("VOC2007/000001", "dog"), ("VOC2007/000001", "cat"), ("VOC2007/000002", "cat")]  # fmt: skip
    assert answers(result, 1) == ["VOC2012/000003"]
    assert answers(load_set("voc", root=voc_root, difficult_positives=False), 0) == [
        "VOC2007/000003"
    ]


def test_voc_other_splits(voc_root):
    result = load_set("voc", root=voc_root, query="VOC2007/test, VOC2007/trainval", database="VOC2007/trainval")  # fmt: skip
    assert dict(zip(result.images["image_id"], result.images["split"], strict=True)) == {"VOC2007/000001": "query", "VOC2007/000003": "both"}  # fmt: skip
    assert [answers(result, q) for q in range(3)] == [["VOC2007/000003"], [], []]


@pytest.mark.parametrize(
    "content, words",
    [
        (HEAD + "<object>", "broken XML at line 1, column"),
        ("", "broken XML"),
        (HEAD.replace("40", "forty") + "</annotation>", "'forty' as size/width"),
        (HEAD + voc_object("dog", ("a", 1, 2, 3)) + "</annotation>", "'a' as bndbox/xmin"),
        (HEAD + voc_object("dog", ("nan", 1, 2, 3)) + "</annotation>", "'nan' as bndbox/xmin"),
        (HEAD + "<object><name>dog</name></object></annotation>", "None as bndbox/xmin"),
        (HEAD + voc_object("", (1, 1, 2, 3)) + "</annotation>", "object without a name"),
        (HEAD + voc_object("dog", (9, 1, 2, 3)) + "</annotation>", "dog of VOC2007/000001 .* inverted"),
        (HEAD + voc_object("dog", (90, 1, 99, 3)) + "</annotation>", "lies outside its picture"),
    ],
)  # fmt: skip
def test_voc_faults(voc_root, content, words):
    path = voc_root / "VOCdevkit/VOC2007/Annotations/000001.xml"
    path.write_text(content)
    with pytest.raises(InputError, match=words) as caught:
        load_set("voc", root=voc_root)
    assert "\n" not in str(caught.value)
    if words.startswith(("broken", "None", "'")):
        assert str(path) in str(caught.value)
        with pytest.raises(InputError, match=words):
            voc.read(path)


@pytest.mark.parametrize("change", [("<annotation>", '<annotation xmlns="http://example.org/voc">'), ("object>", "Object>"), ("annotation>", "ANNOTATION>")])
def test_voc_by_whatever_namespace_and_case(voc_root, change):
    before = load_set("voc", root=voc_root).objects
    for path in voc_root.rglob("*.xml"):
        path.write_text(path.read_text().replace(*change))
    assert load_set("voc", root=voc_root).objects.equals(before)


@pytest.mark.parametrize("content", ["<annotations><image/></annotations>", "<html><body/></html>", "<svg xmlns='http://www.w3.org/2000/svg'/>"])
def test_xml_of_another_kind_is_no_picture_without_objects(voc_root, content):
    path = voc_root / "VOCdevkit/VOC2007/Annotations/000001.xml"
    path.write_text(content)
    with pytest.raises(InputError, match=rf"{path} is XML of another kind \(\w+, not annotation\)"):
        load_set("voc", root=voc_root)


def test_voc_missing_parts(voc_root):
    base = voc_root / "VOCdevkit"
    (base / "VOC2012/JPEGImages/000003.jpg").unlink()
    with pytest.raises(MissingError, match=r"1 of 5 pictures of VOC .*000003\.jpg"):
        load_set("voc", root=voc_root)
    assert len(load_set("voc", root=voc_root, check_files=False).database) == 3
    (base / "VOC2012/Annotations/000003.xml").unlink()
    with pytest.raises(MissingError, match=r"no annotation at .*000003\.xml"):
        load_set("voc", root=voc_root, check_files=False)
    write(base / "VOC2012/ImageSets/Main/trainval.txt", "2007_000027\n2007_000027\n")
    with pytest.raises(InputError, match=r"trainval\.txt has the id 'VOC2012/2007_000027' twice"):
        load_set("voc", root=voc_root)
    write(base / "VOC2012/ImageSets/Main/trainval.txt", "\n")
    with pytest.raises(InputError, match=r"trainval\.txt is empty"):
        load_set("voc", root=voc_root)
    (base / "VOC2012/ImageSets/Main/trainval.txt").unlink()
    with pytest.raises(MissingError, match="list of images.*`foir data get voc"):
        load_set("voc", root=voc_root)


# --- Visual Genome ---


def vg_object(name, x, y, w, h):
    return {"object_id": 1, "names": [name], "synsets": [], "x": x, "y": y, "w": w, "h": h}


VG_OBJECTS = {
    1: [
        vg_object("Pup ", 1, 2, 10, 10),
        vg_object("tree", 0, 0, 20, 30),
        vg_object("cap", 0, 0, 3, 3),
    ],
    2: [vg_object("hat", 5, 5, 5, 5), {**vg_object("dog", 5, 5, 5, 5), "names": []}],
    3: [vg_object("puppy", 4, 4, 4, 4), vg_object("car", 30, 3, 50, 3)],
    4: [vg_object("car", 5, 5, 0, 3), vg_object("hat", 1, 1, 3, 3)],
    5: [vg_object("dog", -3, -3, 10, 10), vg_object("car", 90, 5, 5, 5)],
    6: [vg_object("tree", 1, 1, 1, 1)],
}


@pytest.fixture
def vg_root(tmp_path):
    """Lists: 1, 2 ask; 3, 4, 5 answer; 6 only counts. Counts: dog 3, car 3, tree 2, hat 3 (with cap)."""
    root = tmp_path / "vg"
    write(
        root / "image_data.json",
        [{"image_id": i, "width": 40, "height": 30, "url": ""} for i in VG_OBJECTS],
    )
    write(
        root / "objects.json",
        [{"image_id": i, "objects": o, "image_url": ""} for i, o in VG_OBJECTS.items()],
    )
    write(root / "object_alias.txt", "dog,puppy\npuppy,pup\nhat,cap\n")
    write(root / "test_list_500.txt", "1.jpg\n2.jpg\n")
    write(root / "train_list_500.txt", "VG_100K/4.jpg\n3.jpg\r\n5\n\n")
    for i in VG_OBJECTS:
        picture(root / ("VG_100K_2" if i % 2 else "VG_100K") / f"{i}.jpg")
    return root


def test_aliases(vg_root):
    # puppy already stands for dog when the second line makes pup a puppy
    want = {"dog": "dog", "puppy": "dog", "pup": "dog", "hat": "hat", "cap": "hat"}
    assert visual_genome.aliases(vg_root / "object_alias.txt") == want


@pytest.mark.filterwarnings("ignore:.*boxes")
def test_visual_genome_by_hand(vg_root):
    result = load_set("visual-genome", root=vg_root, n_categories=3)
    # car, dog and hat have three each, tree two
    assert queries_of(result) == [
        (1, "dog", 1, 2, 11, 12),
        (1, "hat", 0, 0, 3, 3),
        (2, "hat", 5, 5, 10, 10),
    ]
    assert list(result.database["image_id"]) == [4, 3, 5]
    assert [answers(result, q) for q in range(3)] == [[3, 5], [4], [4]]
    car = result.objects[result.objects["label"] == "car"]
    assert car[["image_id", "x0", "x1"]].to_numpy().tolist() == [
        [3, 30, 40]
    ]  # clipped; two left out
    assert [Path(p).parent.name for p in result.images["path"]] == ["VG_100K_2", "VG_100K", "VG_100K", "VG_100K_2", "VG_100K_2"]  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*boxes")
def test_visual_genome_ties_by_name(vg_root):
    result = load_set("visual-genome", root=vg_root, n_categories=2)
    assert set(result.objects["label"]) == {"car", "dog"}  # hat is as frequent, but later by name
    assert list(result.query_images["image_id"]) == [1]  # 2 shows neither
    assert set(load_set("visual-genome", root=vg_root).objects["label"]) == {"car", "dog", "hat", "tree"}  # fmt: skip


def test_visual_genome_warns_once_of_each(vg_root):
    with pytest.warns(UserWarning) as caught:
        result = load_set("visual-genome", root=vg_root)
    assert [(notice.n, notice.reason, notice.example[:2]) for notice in result.notices] == [
        (2, "boxes reached more than 1 pixel outside their pictures and were clipped", "3 "),
        (2, "boxes without area were left out", "4 "),
    ]
    assert len(caught) == 1


VG_FAULTS = {
    "list of names": ("test_list_500.txt", "1.jpg\ndog.jpg\n", "'dog.jpg' on line 2"),
    "list empty": ("test_list_500.txt", "", "is empty"),
    "image twice": ("test_list_500.txt", "1.jpg\n1\n", "has the id 1 twice"),
    "unknown image": ("test_list_500.txt", "1.jpg\n77.jpg\n78.jpg\n", r"the image 77, .*\(2 such\)"),
    "in both lists": ("test_list_500.txt", "1.jpg\n3.jpg\n", "Image id 3 is in both"),
    "sizes no list": ("image_data.json", {"a": 1}, "is no list of images"),
    "sizes lack key": ("image_data.json", [{"width": 3, "height": 3}], r"\[0\] lacks the key 'image_id'"),
    "sizes twice": ("image_data.json", [{"image_id": 1, "width": 3, "height": 3}] * 2, "id 1 twice"),
    "objects empty": ("objects.json", [], "or an empty one"),
    "objects lack key": ("objects.json", [{"image_id": 1}], r"\[0\] lacks the key 'objects'"),
    "object lacks key": ("objects.json", [{"image_id": 1, "objects": [{"names": ["dog"]}]}], "object of image 1 without"),
    "object in words": ("objects.json", [{"image_id": 1, "objects": [vg_object("dog", "x", 1, 1, 1)]}], "not made of numbers"),
    "objects broken": ("objects.json", "[{", "broken JSON at line 1"),
    "nobody asks": ("objects.json", [{"image_id": 3, "objects": [vg_object("dog", 1, 1, 1, 1)]}], "no queries"),
    "nothing at all": ("objects.json", [{"image_id": 3, "objects": []}], "no object of a category"),
    "aliases empty": ("object_alias.txt", "", "is empty"),
}  # fmt: skip


@pytest.mark.parametrize("fault", VG_FAULTS)
def test_visual_genome_faults(vg_root, fault):
    name, content, words = VG_FAULTS[fault]
    write(vg_root / name, content)
    with pytest.raises(InputError, match=words) as caught:
        load_set("visual-genome", root=vg_root)
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:.*boxes")
def test_visual_genome_missing_parts(vg_root):
    (vg_root / "VG_100K_2" / "3.jpg").unlink()
    with pytest.raises(MissingError, match=r"1 of 5 pictures of Visual Genome .*3\.jpg"):
        load_set("visual-genome", root=vg_root)
    assert len(load_set("visual-genome", root=vg_root, check_files=False).database) == 3
    for name in ("object_alias.txt", "objects.json", "train_list_500.txt", "image_data.json"):
        (vg_root / name).unlink()
        with pytest.raises(MissingError, match=f"{name}: expected .*`foir data get visual-genome"):
            load_set("visual-genome", root=vg_root, check_files=False)


# --- one's own photographs ---


@pytest.fixture
def photos(tmp_path):
    root = tmp_path / "photos"
    for name in ("b.JPG", "a.png", "trip/a.png", "trip/c.webp"):
        picture(root / name)
    turned = Image.Exif()
    turned[0x0112] = 6
    picture(root / "turned.jpg", exif=turned)
    write(root / "notes.txt", "no picture")
    picture(root / ".trash" / "x.jpg")
    picture(root / "._b.jpg")
    return root


IDS = ["a.png", "b.JPG", "trip/a.png", "trip/c.webp", "turned.jpg"]


@pytest.mark.parametrize("check_files", [True, False])
def test_folder_without_boxes(photos, check_files):
    result = load_set("folder", root=photos, check_files=check_files)
    assert list(result.images["image_id"]) == list(result.database["image_id"]) == IDS
    assert list(result.query_images["image_id"]) == IDS
    assert len(result.queries) == len(result.objects) == 0
    sizes = result.images[["width", "height"]].to_numpy().tolist()
    assert sizes == [[40, 30]] * 4 + [[30, 40]]  # as it is shown
    assert result.open("turned.jpg").size == (30, 40)
    assert result.n_objects("a.png") == 0 and len(result.fingerprint) == 64


def test_folder_with_csv(photos):
    write(photos / "boxes.csv", "image,label,x0,y0,x1,y1\nb.JPG,dog,1,2,11,12\ntrip/a.png,dog,0,0,5,5.5\nc.webp, NA ,1,1,40,30\n")  # fmt: skip
    result = load_set("folder", root=photos, boxes="boxes.csv")
    assert queries_of(result) == [
        ("b.JPG", "dog", 1, 2, 11, 12),
        ("trip/a.png", "dog", 0, 0, 5, 5.5),
        ("trip/c.webp", "NA", 1, 1, 40, 30),
    ]
    assert [answers(result, q) for q in range(3)] == [["trip/a.png"], ["b.JPG"], []]
    assert list(result.database["image_id"]) == IDS


def test_folder_with_coco_json(photos):
    images = [{"id": 7, "file_name": "b.JPG", "width": 40, "height": 30}, {"id": 8, "file_name": "trip\\c.webp", "width": 40, "height": 30}]  # fmt: skip
    square = [[1, 2, 5, 2, 5, 6, 1, 6]]
    annotations = [annotation(1, 7, 18, [1, 2, 4, 4], segmentation=square), annotation(2, 8, 18, [0, 0, 3, 3])]  # fmt: skip
    path = photos.parent / "boxes.json"
    write(path, {"images": images, "annotations": annotations, "categories": CATEGORIES})
    result = load_set("folder", root=photos, boxes=path)
    assert queries_of(result) == [("b.JPG", "dog", 1, 2, 5, 6), ("trip/c.webp", "dog", 0, 0, 3, 3)]
    assert answers(result, 0) == ["trip/c.webp"]
    assert result.mask(0).box((40, 30)) == Box(1, 2, 5, 6)
    edit(path, lambda c: c["images"][0].update(width=80))
    with pytest.raises(InputError, match=r"b\.JPG is 80 x 30 pixels, the file is 40 x 30"):
        load_set("folder", root=photos, boxes=path)
    edit(path, lambda c: c["images"][0].update(width=40, file_name="zebra.jpg"))
    with pytest.raises(InputError, match=r"'zebra\.jpg', which is not in the folder"):
        load_set("folder", root=photos, boxes=path)


def test_folder_finds_its_boxes_by_itself(photos):
    box = [annotation(1, 7, 18, [1, 2, 4, 4])]
    images = [{"id": 7, "file_name": "b.JPG", "width": 40, "height": 30}]
    write(photos / "boxes.json", {"images": images, "annotations": box, "categories": CATEGORIES})
    assert queries_of(load_set("folder", root=photos)) == [("b.JPG", "dog", 1, 2, 5, 6)]
    write(photos / "boxes.csv", "image,label,x0,y0,x1,y1\nb.JPG,cat,1,2,11,12\n")
    assert queries_of(load_set("folder", root=photos)) == [("b.JPG", "cat", 1, 2, 11, 12)]
    assert queries_of(load_set("folder", root=photos, boxes="boxes.json"))[0][1] == "dog"
    assert len(load_set("folder", root=photos, boxes="").queries) == 0


def test_a_set_is_found_where_it_is_fetched_to(coco_root, tmp_path, monkeypatch):
    wanted = load_set("coco", root=coco_root).fingerprint
    monkeypatch.setenv("FOIR_DATA", str(tmp_path / "data"))
    with pytest.raises(InputError, match="coco needs a root: .*`foir data get coco --root FOLDER`"):
        load_set("coco")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "coco").symlink_to(coco_root)
    assert load_set("coco").fingerprint == wanted
    monkeypatch.delenv("FOIR_DATA")
    monkeypatch.setenv("FOIR_CACHE", str(tmp_path))
    assert load_set("coco").fingerprint == wanted
    (tmp_path / "data" / "folder").mkdir()
    with pytest.raises(InputError, match="folder needs a root: give the folder with your photographs"):
        load_set("folder")


def test_folder_leaves_out_what_cannot_be_read(photos):
    data = (photos / "b.JPG").read_bytes()
    (photos / "cut.jpg").write_bytes(data[: len(data) // 2])
    (photos / "trip" / "zero.png").write_bytes(b"")
    write(
        photos / "boxes.csv", "image,label,x0,y0,x1,y1\nb.JPG,dog,1,2,11,12\ncut.jpg,dog,0,0,5,5\n"
    )
    with pytest.warns(UserWarning, match=r"2 pictures left out that can't be read \(first: Picture .*cut\.jpg can't be read") as caught:  # fmt: skip
        result = load_set("folder", root=photos, boxes="boxes.csv")
    assert len(caught) == 1
    assert list(result.images["image_id"]) == IDS
    assert [row[0] for row in queries_of(result)] == ["b.JPG"]  # no box of the broken picture
    with pytest.warns(UserWarning), pytest.raises(InputError, match="no box on a picture that can"):
        write(photos / "boxes.csv", "image,label,x0,y0,x1,y1\ncut.jpg,dog,0,0,5,5\n")
        load_set("folder", root=photos, boxes="boxes.csv")


def test_folder_of_nothing(tmp_path):
    with pytest.raises(MissingError, match=r"no pictures below .*\.jpg"):
        load_set("folder", root=tmp_path)
    (tmp_path / "a.jpg").write_bytes(b"no")
    (tmp_path / "b.jpg").write_bytes(b"")
    with pytest.raises(InputError, match=r"None of the 2 pictures .* can be read: a\.jpg, b\.jpg"):
        load_set("folder", root=tmp_path)


CSV = "image,label,x0,y0,x1,y1\n"
CSV_FAULTS = {
    "empty": ("", "is empty"),
    "no box": (CSV, "no box on a picture"),
    "no header": ("b.JPG,dog,1,2,3,4\n", "lacks the column image"),
    "no y1": ("image,label,x0,y0,x1\nb.JPG,dog,1,2,3\n", "lacks the column y1"),
    "too many cells": (CSV + "b.JPG,dog,1,2,3,4\nb.JPG,dog,1,2,3,4,5,6\n", "no proper CSV"),
    "words": (CSV + "b.JPG,dog,1,2,3,4\nb.JPG,dog,1,two,3,4\n", r"row 2 \(b\.JPG\) has the box \(1, two, 3, 4\)"),
    "gap": (CSV + "b.JPG,dog,1,,3,4\n", r"row 1 .* give four numbers"),
    "NaN": (CSV + "b.JPG,dog,1,nan,3,4\n", "give four numbers"),
    "infinite": (CSV + "b.JPG,dog,1,2,inf,4\n", "give four numbers"),
    "nameless": (CSV + "b.JPG, ,1,2,3,4\n", r"row 1 \(b\.JPG\) has no label"),
    "unknown": (CSV + "zebra.jpg,dog,1,2,3,4\n", r"'zebra\.jpg', which is not in the folder \(1 such\)"),
    "ambiguous": (CSV + "nowhere/../x.png,dog,1,2,3,4\n", "which is not in the folder"),
    "inverted": (CSV + "b.JPG,dog,9,2,3,4\n", r"row 1 \(b\.JPG\) has the box \(9, 2, 3, 4\).*inverted"),
    "outside": (CSV + "b.JPG,dog,90,2,99,4\n", "lies outside its picture"),
}  # fmt: skip


@pytest.mark.parametrize("fault", CSV_FAULTS)
def test_csv_faults(photos, fault):
    content, words = CSV_FAULTS[fault]
    write(photos / "boxes.csv", content)
    with pytest.raises(InputError, match=words) as caught:
        load_set("folder", root=photos, boxes=photos / "boxes.csv")
    assert "boxes.csv" in str(caught.value) and "\n" not in str(caught.value)


def test_file_names_that_two_pictures_have(photos):
    picture(photos / "home" / "c.webp")
    write(photos / "boxes.csv", CSV + "c.webp,dog,1,2,3,4\n")
    with pytest.raises(InputError, match=r"may be home/c\.webp or trip/c\.webp"):
        load_set("folder", root=photos, boxes="boxes.csv")
    write(photos / "boxes.csv", CSV + "a.png,dog,1,2,3,4\n")  # the one right below the folder
    assert queries_of(load_set("folder", root=photos, boxes="boxes.csv"))[0][0] == "a.png"
    with pytest.raises(MissingError, match="no file of boxes at .*other.csv"):
        load_set("folder", root=photos, boxes="other.csv")


# --- boxes ---


def test_fit_boxes_by_hand():
    boxes = [[-0.5, 0, 5, 30.5], [3, 3, 3, 9], [39, 1, 44, 2], [40, 1, 40.5, 2]]
    with pytest.warns(UserWarning) as caught:
        clipped, keep = reading.fit_boxes(boxes, [[40, 30]] * 4, "file", "{}", list("abcd"))
    assert clipped.tolist() == [[0, 0, 5, 30], [3, 3, 3, 9], [39, 1, 40, 2], [40, 1, 40, 2]]
    assert keep.tolist() == [True, False, True, False]
    assert [str(w.message) for w in caught] == [
        "1 boxes reached more than 1 pixel outside their pictures and were clipped (first: c in file)",
        "2 boxes without area were left out (first: b in file)",
    ]
    empty, none = reading.fit_boxes(np.zeros((0, 4)), np.zeros((0, 2)), "file", "{}", [])
    assert empty.shape == (0, 4) and none.shape == (0,)
