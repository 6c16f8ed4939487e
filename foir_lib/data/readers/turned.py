"""Pictures that EXIF turns, and the boxes on them: drawn on the picture as it is shown, or on the pixels as they are stored."""

import numpy as np
import pandas as pd
from PIL import Image
from pycocotools import mask as rle

from foir_lib.data import masks
from foir_lib.data.readers import pictures
from foir_lib.data.sets import CORNERS
from foir_lib.errors import unknown
from foir_lib.images import LYING, TURNS
from foir_lib.notices import note

PIXELS = ("shown", "stored")


def settled(
    images: pd.DataFrame, objects: pd.DataFrame, boxes_on: str | None, what: str, check_files: bool = True
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables images (image_id, path or None; width and height as annotated, or NaN) and objects, for pictures as they are shown.

    Boxes and segmentations lie on the picture as it is "shown", turned as its EXIF says, or on its "stored" pixels;
    ``boxes_on`` None: on the shown one, and where nothing tells so, it is noted; of images with a column ``split`` those of
    queries are looked at, if ``check_files``. A picture whose annotated size is that of its stored pixels gets its own.
    Raises InputError for another ``boxes_on``.
    """
    if boxes_on not in (None, *PIXELS):
        raise unknown("kind of pixels that boxes are on", boxes_on, PIXELS)
    images = images.reset_index(drop=True)
    boxed = images["path"].notna() & images["image_id"].isin(objects["image_id"])
    if boxes_on is None and "split" in images:
        boxed &= (images["split"] != "database") & check_files
    headers = pictures.headers(images["path"][boxed].tolist(), what, lenient=True)
    places, unsure = objects.set_axis(range(len(objects))).groupby("image_id").groups, []
    corners, outlines = np.array(objects[CORNERS], dtype=np.float64), objects["segmentation"].tolist()
    for row, (*shown, orientation) in zip(images.index[boxed], headers.tolist()):
        if orientation <= 1:  # or not to be read
            continue
        said, stored = images.loc[row, ["width", "height"]].tolist(), shown[::-1] if orientation in LYING else shown
        if boxes_on == "stored":
            for place in places[images["image_id"][row]]:
                corners[place] = box(corners[place], orientation, stored)
                outlines[place] = segmentation(outlines[place], orientation, stored)
        elif boxes_on is None and (stored == shown or said != shown):
            unsure.append(images["path"][row])
        if said == stored:
            images.loc[row, ["width", "height"]] = shown
    reason = 'pictures that EXIF turns: their boxes are taken to be on the turned picture; boxes_on="stored" if they are on the stored pixels'
    note(reason, *unsure[:1], n=len(unsure))
    return images, objects.assign(**dict(zip(CORNERS, corners.T)), segmentation=pd.Series(outlines, objects.index, dtype=object))


def of_queries(corners: np.ndarray, image_ids: list, paths: list[str], boxes_on: str | None, what: str) -> np.ndarray:
    """Boxes (n, 4) of queries on pictures at ``paths`` (n), as :func:`settled` puts them on the pictures as they are shown."""
    objects = pd.DataFrame(np.array(corners, dtype=np.float64), columns=CORNERS).assign(image_id=image_ids, segmentation=None)
    images = pd.DataFrame({"image_id": image_ids, "path": paths, "width": np.nan, "height": np.nan})
    return settled(images.drop_duplicates("image_id"), objects, boxes_on, what)[1][CORNERS].to_numpy()


def box(corners: np.ndarray, orientation: int, stored: tuple[int, int]) -> np.ndarray:
    """A box (4,) on the stored pixels of a picture, (width, height), as it lies on the picture that EXIF turned."""
    x, y = _points(corners[::2], corners[1::2], orientation, stored)
    return np.array([x.min(), y.min(), x.max(), y.max()])


def segmentation(outline: list | dict | None, orientation: int, stored: tuple[int, int]) -> list | dict | None:
    """COCO polygons or RLE on the stored pixels of a picture as they lie on the turned one; what can't be read stays."""
    if not masks.usable(outline, stored):
        return outline
    if isinstance(outline, dict):
        turned = Image.fromarray(masks.decode(outline, stored, "")).transpose(TURNS[orientation])
        return rle.encode(np.asfortranarray(turned, dtype=np.uint8))
    polygons = [np.reshape(polygon, (-1, 2)).T for polygon in masks.checked(outline, stored, "")]
    return [np.stack(_points(x, y, orientation, stored), 1).ravel().tolist() for x, y in polygons]


def _points(x, y, orientation, stored):
    """Where positions on the stored pixels are when EXIF has turned them."""
    width, height = stored
    x, y = (width - x if orientation in (2, 3, 7, 8) else x), (height - y if orientation in (3, 4, 6, 7) else y)
    return (y, x) if orientation in LYING else (x, y)
