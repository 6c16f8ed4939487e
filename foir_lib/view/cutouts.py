"""What was found, cut out of its pictures: RGBA PNGs at full resolution, and one COCO instances file that names them all."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as rle
from tqdm.auto import tqdm

from foir_lib.data import masks
from foir_lib.data.checks import plain
from foir_lib.data.sets import RetrievalSet
from foir_lib.detections import Localisation
from foir_lib.errors import InputError
from foir_lib.files import as_path, atomic_path, atomic_write, disk_errors, remove_stale
from foir_lib.text import SENTENCE, one_line

COCO, FOLDER, REMEDY = "instances.json", "cutouts", "choose another folder"


def cut_out(
    retrieval_set: RetrievalSet, localisations: Mapping[int, Mapping[int, Localisation]], folder: str | PathLike, least: float | None = None,
    progress: bool = True, labels: Sequence[str] | None = None, advanced: Callable[[int, int], object] = lambda done, n: None,
) -> Path:  # fmt: skip
    """Write the thing of every accepted result into ``folder``; returns the COCO file, ``folder``/instances.json.

    localisations: query -> database row -> where it is; accepted: where something is, by a score of at least ``least``; ``labels``: of each query (None: of the set's). A PNG below
    ``folder``/cutouts is the tight crop of the mask (of a box without one: of the box), alpha 255 inside and 0 elsewhere, no edge is
    softened; its name is made of a digest, whatever the ids are. The COCO file names the pictures, the queries' labels as
    categories, RLE masks, scores, and each cut-out. Every file appears whole or not at all; a PNG that stands is kept. Raises InputError
    for a picture that can't be opened or has another size than its mask, and a disk that can't be written. ``advanced(done, n)`` is called
    before the first picture and after each; what it raises ends the work, and the COCO file stays as it was.
    """
    root, database = as_path(folder), retrieval_set.database
    labels = retrieval_set.queries["label"].tolist() if labels is None else labels
    names = sorted({str(labels[query]) for query in localisations})
    category = {name: number for number, name in enumerate(names, 1)}
    with disk_errors(f"write {root}", REMEDY):
        (root / FOLDER).mkdir(parents=True, exist_ok=True)
    remove_stale(root / FOLDER)
    by_row = {}  # each picture is opened once
    for query, answers in localisations.items():
        for row, answer in answers.items():
            if answer and (least is None or answer.score >= least):
                by_row.setdefault(int(row), []).append((query, answer))
    images, annotations = [], []
    advanced(0, len(by_row))
    for row, found in tqdm(sorted(by_row.items()), desc="cut out", unit="picture", disable=not progress):
        image_id, path, width, height = database[["image_id", "path", "width", "height"]].iloc[row]
        images.append({"id": row + 1, "image_id": str(plain(image_id)), "file_name": Path(path).name, "width": int(width), "height": int(height)})
        picture = None
        for query, answer in found:
            code = answer.mask or masks.encode_box(np.asarray(answer.box, float), (int(width), int(height)))
            code = {"size": [int(side) for side in code["size"]], "counts": _text(code["counts"])}
            if code["size"] != [height, width] or not rle.area(code):
                raise InputError(f"Picture {plain(image_id)!r} of {width} x {height} pixels got a mask of {code['size']}, height and width: localise it again.")
            name = _name(image_id, code)
            if not (root / FOLDER / name).is_file():
                picture = picture or retrieval_set.open(image_id)
                _write(root / FOLDER / name, picture, code, image_id)
            annotations.append({
                "id": len(annotations) + 1, "image_id": row + 1, "category_id": category[str(labels[query])], "iscrowd": 0,
                "bbox": rle.toBbox(code).tolist(), "area": int(rle.area(code)), "segmentation": code, "score": answer.score,
                "query": int(query), "cutout": f"{FOLDER}/{name}",
            })  # fmt: skip
        advanced(len(images), len(by_row))
    categories = [{"id": number, "name": name} for name, number in category.items()]
    content = {"info": {"description": one_line(f"{retrieval_set.name}: cut out", SENTENCE)}, "images": images, "annotations": annotations, "categories": categories}
    atomic_write(root / COCO, json.dumps(content))
    return root / COCO


def _write(path, picture, code, image_id):
    """A cut-out; only its box is held beside the picture and its mask."""
    x, y, width, height = (int(side) for side in rle.toBbox(code))
    if picture.size != (code["size"][1], code["size"][0]):
        raise InputError(f"Picture {plain(image_id)!r} is {picture.width} x {picture.height} pixels, its mask {code['size'][::-1]}: localise it again.")
    inside = rle.decode(code)[y : y + height, x : x + width]
    part = picture.crop((x, y, x + width, y + height)).convert("RGB")
    part.putalpha(Image.fromarray(np.ascontiguousarray(inside * 255)))
    with atomic_path(path) as temporary:
        part.save(temporary, "PNG", compress_level=3)


def _name(image_id, code):
    """A file's name: what is harmless of an id, and a digest of the id and the mask, which tells all apart."""
    digest = hashlib.sha256(json.dumps([type(plain(image_id)).__name__, str(image_id), code]).encode("utf-8", "backslashreplace")).hexdigest()[:20]
    harmless = re.sub(r"[^a-z0-9]+", "-", str(image_id).lower()).strip("-")[:40]
    return f"{harmless}-{digest}.png" if harmless else f"{digest}.png"


def _text(counts):
    return counts.decode() if isinstance(counts, bytes) else counts
