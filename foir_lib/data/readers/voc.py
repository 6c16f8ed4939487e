"""PASCAL VOC 2007 and 2012 in the official layout.

    root/VOCdevkit/{VOC2007,VOC2012}/{JPEGImages/*.jpg, Annotations/*.xml, ImageSets/Main/*.txt}

Boxes count from 1 and include their last pixel there; here they count from 0 and end before it:
``x0 = xmin - 1``, ``x1 = xmax``. Image ids are e.g. ``VOC2007/000005``: unique across years.
"""

from os import PathLike
from xml.etree import ElementTree

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from foir_lib.data import names
from foir_lib.data.readers import reading, sizes, tables, turned
from foir_lib.data.sets import CORNERS, RetrievalSet
from foir_lib.data.values import flag, label, numbers, short
from foir_lib.errors import InputError, parsing
from foir_lib.registry import register

REMEDY = (
    "expected VOCdevkit/{VOC2007,VOC2012}/{JPEGImages,Annotations,ImageSets/Main} with the 2007 test set; "
    "`foir data get voc --root FOLDER` fetches them."
)


@register("set", "voc")
def load(
    root: str | PathLike, query: str = "VOC2007/test", database: str = "VOC2007/trainval,VOC2012/trainval",
    difficult_queries: bool = False, difficult_positives: bool = True, check_files: bool = True, boxes_on: str | None = None,
) -> RetrievalSet:  # fmt: skip
    """VOC as a RetrievalSet: 4,952 query images of 2007 test, 16,551 database images of 2007 + 2012 trainval.

    query, database: splits as year/list, several separated by commas. difficult_queries,
    difficult_positives: whether objects marked difficult are queries, and whether they count as "contains"
    (METHODS 1). check_files: see that every picture is there, and how EXIF turns those of the queries; boxes_on: as for a folder.
    Raises MissingError and InputError.
    """
    root = reading.need(root, "VOC folder", REMEDY)
    root = root / "VOCdevkit" if (root / "VOCdevkit").is_dir() else root
    query_ids, database_ids = (
        {i for split in splits.split(",") for i in _ids(root, split.strip())} for splits in (query, database)
    )
    images, rows = [], []
    for image_id in tqdm(sorted(query_ids | database_ids), desc="reading VOC annotations", unit="image", delay=2):
        year, name = image_id.split("/")
        size, objects, _ = read(reading.need(root / year / "Annotations" / f"{name}.xml", "annotation", REMEDY))
        split = "database" if image_id not in query_ids else "both" if image_id in database_ids else "query"
        images.append((image_id, str(root / year / "JPEGImages" / f"{name}.jpg"), *size, split))
        rows += [(image_id, *item) for item in objects]
    images = pd.DataFrame(images, columns=["image_id", "path", "width", "height", "split"])
    if check_files:
        reading.need_files(images["path"].tolist(), "VOC")
    images = sizes.completed(images, "VOC")
    objects = pd.DataFrame(rows, columns=["image_id", "label", *CORNERS, "ignore"]).assign(segmentation=None)
    images, objects = turned.settled(images, objects, boxes_on, "VOC", check_files)
    objects = reading.fit_objects(objects, images, str(root), "{} of {}", objects["label"], objects["image_id"])
    return reading.make_set("voc", images, objects, difficult_queries, difficult_positives)


def _ids(root, split):
    """Image ids of a split such as VOC2007/test, in the order of its list."""
    year, _, name = split.partition("/")
    path = reading.need(root / year / "ImageSets" / "Main" / f"{name}.txt", "list of images", REMEDY)
    listed = [names.stem(line.split()[0]) for line in tables.read_text(path).splitlines() if line.strip()]
    sentence = "lists {}, which is no name of a picture: give names such as 000005"
    reading.refuse([not names.inside(name) for name in listed], path, sentence, map(short, listed))
    ids = [f"{year}/{name}" for name in listed]
    reading.unique(ids, str(path))
    return ids


def read(path: str | PathLike) -> tuple[list[float], list[tuple], str]:
    """One annotation: [width, height], list of (label, x0, y0, x1, y1, difficult), file name. InputError when broken.

    A size that it doesn't tell is 0. Boxes of body parts, nested in the persons of some pictures, are not objects.
    """
    content = tables.read_bytes(path)
    try:
        with parsing(f"{path} is no proper XML"):
            tree = ElementTree.fromstring(content)
    except InputError as error:
        if not isinstance(error.__cause__, ElementTree.ParseError):
            raise
        line, column = error.__cause__.position
        raise InputError(f"{path} is broken XML at line {line}, column {column}: get the file again.") from error.__cause__
    for element in tree.iter():
        element.tag = element.tag.rpartition("}")[2].lower()  # of whatever namespace
    if tree.tag != "annotation":
        kind = short(tree.tag, quoted=False)
        raise InputError(f"{path} is XML of another kind ({kind}, not annotation): get the file again, or write it in VOC's format.")
    size = [0 if tree.find(f"size/{side}") is None else _number(tree, f"size/{side}", path) for side in ("width", "height")]
    objects = []
    for item in tree.findall("object"):
        x0, y0, x1, y1 = (_number(item, f"bndbox/{side}", path) for side in ("xmin", "ymin", "xmax", "ymax"))
        name = label(item.findtext("name") or "")
        if not name:
            raise InputError(f"{path} has an object without a name: repair the file or get it again.")
        difficult = flag(item.findtext("difficult"), f"{path}: difficult of {name}")
        objects.append((name, x0 - 1, y0 - 1, x1, y1, difficult))
    return size, objects, tree.findtext("filename") or ""


def _number(element, key, path):
    text = element.findtext(key)
    [value] = numbers([text])
    if not np.isfinite(value):
        raise InputError(f"{path} has {short(text)} as {key}, a number is needed: repair the file or get it again.")
    return float(value)
