"""One's own photographs: every picture under a folder is query and database; boxes are optional.

Boxes come as CSV with the columns ``image,label,x0,y0,x1,y1`` (pixels, exclusive end) or as COCO instances JSON;
a file ``boxes.csv``, else ``boxes.json``, right in the folder is taken unless another is named.
An image is named by its path below the folder, or by its file name when only one picture has it.
"""

import warnings
from itertools import compress
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd

from foir_lib.data.readers import coco, pictures, reading
from foir_lib.data.sets import COLUMNS, CORNERS, RetrievalSet
from foir_lib.errors import InputError
from foir_lib.images import below, open_image, size
from foir_lib.registry import register


@register("set", "folder")
def load(
    root: str | PathLike, boxes: str | PathLike | None = None,
    crowd_queries: bool = False, crowd_positives: bool = True, check_files: bool = True,
) -> RetrievalSet:  # fmt: skip
    """A folder of photographs as a RetrievalSet; image ids are the paths below ``root``.

    ``boxes``: a CSV or JSON file; None takes ``root/boxes.csv``, else ``root/boxes.json``, if there is one; "" takes
    none. Without boxes there are no labelled objects and no queries: search it with prompts of your own.
    With boxes, pictures without one are searched but are no queries. Pictures that can't be read are left
    out with a warning; check_files=False reads only their headers, faster, and leaves fewer of them out.
    crowd_queries, crowd_positives: as for COCO. Raises MissingError without a folder or pictures,
    InputError when none can be read, and for boxes of unknown pictures.
    """
    root = reading.need(root, "folder", "give the folder that holds your photographs.")
    images, broken = _pictures(root, check_files)
    if boxes is None:
        boxes = next((root / name for name in ("boxes.csv", "boxes.json") if (root / name).is_file()), "")
    if boxes == "":
        return reading.make_set("folder", images, pd.DataFrame(columns=COLUMNS["objects"]))
    path = Path(boxes).expanduser()
    path = reading.need(
        path if path.exists() else root / path, "file of boxes", "give a CSV (image,label,x0,y0,x1,y1) or COCO JSON."
    )
    objects = (_coco if path.suffix.lower() == ".json" else _csv)(path, images, broken)
    if not len(objects):
        raise InputError(f"{path} has no box on a picture that can be read: give boxes of the pictures in {root}.")
    return reading.make_set("folder", images, objects, crowd_queries, crowd_positives)


def _pictures(root, decode):
    """images table of all readable pictures below ``root``, and the ids of the others."""
    paths = below(root)
    ids = [Path(path).relative_to(root).as_posix() for path in paths]
    sizes = pictures.measure(paths, root.name, (lambda path: open_image(path).size) if decode else size)
    readable = (sizes > 0).all(1)
    broken = list(compress(ids, ~readable))
    if broken:
        some = ", ".join(broken[:20]) + (", ..." if len(broken) > 20 else "")
        if len(broken) == len(ids):
            raise InputError(f"None of the {len(ids)} pictures below {root} can be read: {some}; replace them.")
        warnings.warn(
            f"{len(broken)} of {len(ids)} pictures below {root} can't be read and were left out: {some}.", stacklevel=4
        )
    return pictures.rows(ids, paths, sizes, "both")[readable], broken


def _match(names, images, broken, path):
    """Image ids of ``names`` as they stand in a file of boxes; None for pictures that can't be read."""
    known = {image_id: image_id for image_id in images["image_id"]} | dict.fromkeys(broken)
    short = {}
    for image_id in known:
        short.setdefault(image_id.rsplit("/", 1)[-1], []).append(image_id)
    matched, unknown = {}, []
    for name in dict.fromkeys(names):
        plain = name.strip().replace("\\", "/").removeprefix("./")
        same = [plain] if plain in known else short.get(plain, [])
        if len(same) > 1:
            raise InputError(
                f"{path} names the picture {name!r}, which may be {same[0]} or {same[1]}: give its path below the folder."
            )
        if same:
            matched[name] = known[same[0]]
        else:
            unknown.append(name)
    if unknown:
        raise InputError(
            f"{path} names the picture {unknown[0]!r}, which is not in the folder ({len(unknown)} such): add it or remove its boxes."
        )
    return [matched[name] for name in names]


def _csv(path, images, broken):
    table = reading.read_csv(path, ("image", "label", *CORNERS))
    lines = [f"row {row + 1} ({name})" for row, name in enumerate(table["image"])]
    nameless = (table["label"].str.strip() == "").to_numpy()
    if nameless.any():
        raise InputError(f"{path}: {lines[nameless.argmax()]} has no label: name what is in the box.")
    values = table[CORNERS].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=float)
    if not np.isfinite(values).all():
        row = int((~np.isfinite(values).all(1)).argmax())
        raise InputError(
            f"{path}: {lines[row]} has the box ({', '.join(table[CORNERS].iloc[row])}): give four numbers, in pixels."
        )
    image_ids = pd.Series(_match(table["image"].tolist(), images, broken, path), dtype=object)
    objects = pd.DataFrame({"image_id": image_ids, "label": table["label"].str.strip(), "ignore": False})
    objects["segmentation"] = None
    objects[CORNERS] = values
    objects, lines = objects[image_ids.notna()], list(compress(lines, image_ids.notna()))
    sizes = images.set_index("image_id")[["width", "height"]].loc[objects["image_id"]].to_numpy()
    boxes, keep = reading.fit_boxes(objects[CORNERS], sizes, lines, str(path))
    objects[CORNERS] = boxes
    return objects[keep]


def _coco(path, images, broken):
    listed, objects = coco.read(path)
    ids = pd.Series(_match(listed["file_name"].tolist(), images, broken, path), dtype=object)
    reading.unique([i for i in ids if i is not None], f"{path}: images")
    sizes = images.set_index("image_id")[["width", "height"]]
    for row, image_id in enumerate(ids):
        if image_id is not None and tuple(sizes.loc[image_id]) != tuple(listed[["width", "height"]].iloc[row]):
            width, height = sizes.loc[image_id]
            raise InputError(
                f"{path} says {image_id} is {listed['width'][row]} x {listed['height'][row]} pixels, the file is {width} x {height}: scale the boxes or restore the picture."
            )
    renamed = objects["image_id"].map(dict(zip(listed["image_id"], ids, strict=True)))
    return objects.assign(image_id=renamed)[renamed.notna()]
