"""One small set, written in every layout in which people have labels: two pictures with boxes, one without, numbers worked by hand.

    a.jpg, 200 x 100: a cup in (80, 30, 120, 70), a tea pot in (40, 40, 60, 60)
    b.jpg, 100 x 200: a tea pot in (10, 40, 50, 80)
    c.jpg, 200 x 100: nothing
"""

import json

import pytest
from test_readers import picture, write

SIZES = {"a": (200, 100), "b": (100, 200), "c": (200, 100)}
BOXES = [("a", "cup", 80, 30, 120, 70), ("a", "tea pot", 40, 40, 60, 60), ("b", "tea pot", 10, 40, 50, 80)]
YAML = "path: ../datasets/mine\ntrain: images/train\nval: images/val\nnc: 2\nnames:\n  0: cup\n  1: tea pot\n"
YOLO = {"a": "0 0.5 0.5 0.2 0.4\n1 0.25 0.5 0.1 0.2\n", "b": "1 0.3 0.3 0.4 0.2\n", "c": ""}  # a: 100 +- 20, 50 +- 20; 50 +- 10, 50 +- 10; b: 30 +- 20, 60 +- 20


def put_pictures(root, places):
    for name, size in SIZES.items():
        picture(root / places[name], size)


def xml(name, boxes, size):
    """VOC's, whose corners count from 1 and belong to the box."""
    objects = "".join(
        f"<object><name>{label}</name><difficult>0</difficult><bndbox><xmin>{x0 + 1}</xmin><ymin>{y0 + 1}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object>"
        for label, x0, y0, x1, y1 in boxes
    )
    size = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
    return f"<annotation><filename>{name}</filename>{size}{objects}</annotation>"


def shape(label, points, kind="rectangle"):
    return {"label": label, "points": points, "group_id": None, "shape_type": kind, "flags": {}}


def labelme(name, shapes, size):
    facts = {"imagePath": name, "imageData": "bm8gcGljdHVyZQ==", "imageHeight": size[1], "imageWidth": size[0]}  # no picture
    return {"version": "5.5.0", "flags": {}, "shapes": shapes, **facts}


def coco_of(names, path_of=str):
    images = [{"id": n, "file_name": path_of(f"{name}.jpg"), "width": SIZES[name][0], "height": SIZES[name][1]} for n, name in enumerate(names)]
    boxes = [box for box in BOXES if box[0] in names]
    annotations = [
        {"id": n, "image_id": names.index(i), "category_id": 3 if label == "cup" else 5, "bbox": [x0, y0, x1 - x0, y1 - y0], "iscrowd": 0}
        for n, (i, label, x0, y0, x1, y1) in enumerate(boxes)
    ]
    return {"images": images, "annotations": annotations, "categories": [{"id": 3, "name": "cup"}, {"id": 5, "name": "tea pot"}]}


def each(root, places, ending, text_of):
    """A label file for each picture, called as it is."""
    for name in SIZES:
        write(root / f"{places[name]}.{ending}", text_of(name))


def voc_of(name):
    return xml(f"{name}.jpg", [box[1:] for box in BOXES if box[0] == name], SIZES[name])


def labelme_of(name):
    shapes = [shape(label, [[x1, y0], [x0, y1]]) for i, label, x0, y0, x1, y1 in BOXES if i == name]  # any two corners
    return json.dumps(labelme(f"{name}.jpg", shapes, SIZES[name]))


def csv_of(columns, row, names="abc"):
    return "\n".join([columns, *(row.format(i=i, label=label, x0=x0, y0=y0, x1=x1, y1=y1, w=x1 - x0, h=y1 - y0, W=SIZES[i][0], H=SIZES[i][1])
                                 for i, label, x0, y0, x1, y1 in BOXES if i in names)]) + "\n"  # fmt: skip


FLAT = {name: f"{name}.jpg" for name in SIZES}
IN_IMAGES = {name: f"images/{name}.jpg" for name in SIZES}
SPLITS = {"a": "train/{}a.jpg", "b": "valid/{}b.jpg", "c": "test/{}c.jpg"}
ULTRALYTICS = {"a": "images/train/a.jpg", "b": "images/val/b.jpg", "c": "images/val/c.jpg"}
ROBOFLOW_CSV = ("filename,width,height,class,xmin,ymin,xmax,ymax", "{i}.jpg,{W},{H},{label},{x0},{y0},{x1},{y1}")


def in_splits(inside=""):
    return {name: place.format(inside) for name, place in SPLITS.items()}


def beside(places, old="", new=""):
    return {name: place.removesuffix(".jpg").replace(old, new, 1) for name, place in places.items()}


def yolo(root):
    write(root / "data.yaml", YAML)
    each(root, beside(ULTRALYTICS, "images", "labels"), "txt", YOLO.get)


def yolo_beside(root):
    write(root / "classes.txt", "cup\ntea pot\n")
    each(root, beside(FLAT), "txt", YOLO.get)


def yolo_roboflow(root):
    write(root / "data.yaml", "train: ../train/images\nval: ../valid/images\ntest: ../test/images\nnc: 2\nnames: ['cup', 'tea pot']\n")
    each(root, beside(in_splits("images/"), "images", "labels"), "txt", YOLO.get)


def yolo_darknet(root):
    write(root / "obj.names", "cup\ntea pot\n")
    write(root / "obj.data", "classes = 2\nnames = data/obj.names\n")
    write(root / "train.txt", "data/obj_train_data/a.jpg\n")
    each(root, {name: f"obj_train_data/{name}" for name in SIZES}, "txt", YOLO.get)


def roboflow_coco(root):
    for name, place in in_splits().items():
        write(root / place.split("/")[0] / "_annotations.coco.json", coco_of([name]) if name != "c" else {"images": [], "annotations": [], "categories": []})


def roboflow_csv(root):
    for name, place in in_splits().items():
        write(root / place.split("/")[0] / "_annotations.csv", csv_of(*ROBOFLOW_CSV, name))


def coco_official(root):
    write(root / "annotations" / "instances_train2017.json", coco_of(["a"]))
    write(root / "annotations" / "instances_val2017.json", coco_of(["b", "c"]))
    write(root / "annotations" / "captions_val2017.json", {"images": [], "annotations": [{"id": 1, "image_id": 1, "caption": "a pot"}]})


OFFICIAL = {"a": "train2017/a.jpg", "b": "val2017/b.jpg", "c": "val2017/c.jpg"}
LAYOUTS = {  # name -> kind, where its pictures are, what writes its labels
    "yolo": ("yolo", ULTRALYTICS, yolo),
    "yolo, beside": ("yolo", FLAT, yolo_beside),
    "yolo, roboflow": ("yolo", in_splits("images/"), yolo_roboflow),
    "yolo, darknet": ("yolo", {name: f"obj_train_data/{name}.jpg" for name in SIZES}, yolo_darknet),
    "voc": ("voc", {name: f"VOC2012/JPEGImages/{name}.jpg" for name in SIZES}, lambda root: each(root, {n: f"VOC2012/Annotations/{n}" for n in SIZES}, "xml", voc_of)),
    "voc, beside": ("voc", in_splits(), lambda root: each(root, beside(in_splits()), "xml", voc_of)),
    "labelme": ("labelme", FLAT, lambda root: each(root, beside(FLAT), "json", labelme_of)),
    "labelme, beside images": ("labelme", IN_IMAGES, lambda root: each(root, beside(IN_IMAGES, "images", "annotations"), "json", labelme_of)),
    "coco": ("coco", FLAT, lambda root: write(root / "result.json", coco_of(list("abc")))),
    "coco, above": ("coco", IN_IMAGES, lambda root: write(root / "annotations" / "mine.json", coco_of(list("abc"), "images/{}".format))),
    "coco, official": ("coco", OFFICIAL, coco_official),
    "coco, roboflow": ("coco", in_splits(), roboflow_coco),
    "csv": ("csv", FLAT, lambda root: write(root / "boxes.csv", csv_of("image,label,x0,y0,x1,y1", "{i}.jpg,{label},{x0},{y0},{x1},{y1}"))),
    "csv, sides": ("csv", IN_IMAGES, lambda root: write(root / "mine.csv", csv_of("filename,x,y,w,h,class", "images/{i}.jpg,{x0},{y0},{w},{h},{label}"))),
    "csv, ends": ("csv", IN_IMAGES, lambda root: write(root / "mine.csv", csv_of("path,x1,y1,x2,y2,class_name", "images/{i}.jpg,{x0},{y0},{x1},{y1},{label}"))),
    "csv, roboflow": ("csv", in_splits(), roboflow_csv),
}  # fmt: skip


def make(root, layout):
    """The set in a folder in one layout; its kind, and where its pictures are."""
    kind, places, labels = LAYOUTS[layout]
    put_pictures(root, places)
    labels(root)
    return kind, places


def fixture(layout):
    @pytest.fixture
    def root(tmp_path):
        make(tmp_path / "mine", layout)
        return tmp_path / "mine"

    return root


yolo_root, voc_beside, labelme_root, roboflow_root = (fixture(name) for name in ("yolo", "voc, beside", "labelme", "csv, roboflow"))
