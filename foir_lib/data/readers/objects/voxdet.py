"""VoxDet (Li et al., NeurIPS 2023) as a benchmark of small objects (MaO): OWID to train on, RoboTools to test on.

    root/RoboTools/test_video/<name>_<category>/{rgb,mask}/*  queries: a thing alone, its mask of the same name
    root/RoboTools/test/<scene>/**  root/RoboTools/test/scene_gt_coco_all.json  COCO, boxes only
    root/OWID/P1/<category>/{rgb,mask}/*  root/OWID/P2/images/*  root/OWID/P2/{train,val}_annotations.json  COCO, RLE

The pixels of a mask are those brighter than half of its brightest.
"""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd
from pycocotools import mask as rle
from tqdm.auto import tqdm

from foir_lib.data.contents import stamps
from foir_lib.data.names import stem
from foir_lib.data.readers import coco, pictures, reading
from foir_lib.data.sets import COLUMNS, CORNERS, RetrievalSet
from foir_lib.data.values import whole
from foir_lib.detections import as_text
from foir_lib.errors import InputError, MissingError, count, unknown
from foir_lib.files import cached
from foir_lib.folders import below
from foir_lib.images import open_image
from foir_lib.notices import note
from foir_lib.registry import register

PARTS = {  # part -> folder of queries, annotations, their pictures
    "RoboTools": ("RoboTools/test_video", "RoboTools/test/scene_gt_coco_all.json", "RoboTools/test"),
    "OWID/train": ("OWID/P1", "OWID/P2/train_annotations.json", "OWID/P2/images"),
    "OWID/val": ("OWID/P1", "OWID/P2/val_annotations.json", "OWID/P2/images"),
}
REMEDY = "expected RoboTools/{test,test_video} and OWID/{P1,P2}, unpacked as `foir data list` says."


@register("set", "voxdetw")
@register("set", "voxdet")
def load(
    root: str | PathLike, name: str = "voxdet", part: str = "RoboTools", views: int = 0, check_files: bool = True, boxes_on: str | None = None
) -> RetrievalSet:
    """voxdet, or voxdetw (the same pictures, on which things must be detected), as a RetrievalSet with the protocol instances.

    part: "RoboTools", "OWID/train" or "OWID/val"; views: how many photographs of each thing are queries, evenly spaced, 0: all.
    A thing that is on no database picture is no query. check_files, boxes_on: as for COCO. Raises MissingError and InputError.
    """
    if part not in PARTS:
        raise unknown("part of VoxDet", part, PARTS)
    count(views, "views", 0)
    root = reading.need(root, "VoxDet folder", REMEDY)
    alone, annotations, scenes = (reading.need(root / place, f"{part} of VoxDet", REMEDY) for place in PARTS[part])
    images, objects = coco.read_part(annotations, scenes, "database", check_files, boxes_on, by_id=True)
    folders = _folders(alone, set(objects["label"]))
    if not folders:
        raise InputError(f"{alone} has no folder <name>_<category> of a category in {annotations.name}: {REMEDY}")
    objects["label"] = objects["label"].map(lambda number: folders[number].name if number in folders else number)
    photographs = [photographs_of(folder, views) for folder in folders.values()]
    query_images, query_objects = (pd.concat(tables, ignore_index=True) for tables in zip(*photographs, strict=True))
    images = images.assign(image_id="scene/" + images["image_id"].astype(str))
    objects = objects.assign(image_id="scene/" + objects["image_id"].astype(str))
    both = [pd.concat(tables, ignore_index=True) for tables in ((query_images, images), (query_objects, objects))]
    result = reading.instance_set(name, *both)
    return reading.without_boxes(result) if name == "voxdetw" else result


def _folders(alone, categories):
    """Folders of queries by the number, as text, at the end of their names, those of ``categories``."""
    folders = {}
    for folder in sorted(path for path in alone.iterdir() if path.is_dir()):
        number = str(whole(folder.name.rsplit("_", 1)[-1]))
        if number in folders:
            raise InputError(f"{folder} and {folders[number].name} are both of category {number}: remove one.")
        folders |= {number: folder} if number in categories else {}
    return folders


def photographs_of(folder: Path, views: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables images and objects of the pictures in folder/rgb, each of one thing, by their masks in folder/mask.

    The thing's label is the folder's name. What has no mask, or an empty one, or one of another size, is left out and noted.
    """
    paths, masks = below(reading.need(folder / "rgb", "folder of photographs", REMEDY)), pictures.named(reading.need(folder / "mask", "folder of masks", REMEDY))
    if views and views < len(paths):
        paths = [paths[row] for row in np.linspace(0, len(paths) - 1, views).round().astype(int)]
    lone = [path for path in paths if stem(path) not in masks]
    note("photographs without a mask left out", *lone[:1], n=len(lone))
    paths = [path for path in paths if stem(path) in masks]
    sizes, outlines = pictures.sizes(paths, folder.name, lenient=True), outlines_of([masks[stem(path)] for path in paths], folder.name)
    fits = [outline is not None and outline["size"] == [height, width] for outline, (width, height) in zip(outlines, sizes.tolist())]
    wrong = [path for path, fit in zip(paths, fits) if not fit]
    note("photographs left out whose mask is empty, broken or of another size", *wrong[:1], n=len(wrong))
    rows = np.flatnonzero(fits)
    ids = [f"{folder.name}/{stem(paths[row])}" for row in rows]
    reading.unique(ids, str(folder))
    images = pictures.table(ids, [paths[row] for row in rows], "query", sizes[rows])
    objects = pd.DataFrame({"image_id": ids, "label": folder.name, "ignore": False})
    objects["segmentation"] = pd.Series([outlines[row] for row in rows], dtype=object)
    boxes = np.array([rle.toBbox(outlines[row]) for row in rows]).reshape(-1, 4)
    objects[CORNERS] = np.c_[boxes[:, :2], boxes[:, :2] + boxes[:, 2:]]
    return images, objects[COLUMNS["objects"]]


def outlines_of(paths: list[str], what: str) -> list[dict | None]:
    """COCO RLE of the masks in picture files, None of an empty or broken one; remembered as long as the files stay as they are."""

    def outline(path):
        with suppress(InputError, MissingError):
            pixels = np.asarray(open_image(path))[..., 0]
            if pixels.any():
                code = rle.encode(np.asfortranarray(pixels > pixels.max() / 2, dtype=np.uint8))
                return as_text(code)
        return None

    def compute():
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            return json.dumps(list(tqdm(pool.map(outline, paths), total=len(paths), desc=f"masks of {what}", unit="picture", delay=2))).encode()

    return json.loads(cached("masks", {"what": "masks of pictures", "n": len(paths), "files": stamps(paths)}, compute))
