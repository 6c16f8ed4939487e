"""PROxford and PRParis (An et al., ICCV 2023; thesis 2.2): the pixels of Revisited Oxford and Paris, in the layout of their public script.

    root/{oxford,paris}_pair2labelpath.npy             a dict "q_i" -> path below root, for query q and database picture i
    root/<path>                                        labelme JSON: shapes[*].points, polygons in pixels
    root/[revisitop/data/roxford5k/]gnd_roxford5k.pkl  and the pictures, as of roxford5k and rparis6k

The pixels of a pair are the union of its polygons, by the even-odd rule where one crosses itself, as the public script fills it.
Queries that share label files ask for the same thing: they have one label, of its landmark, and a number where a landmark has
several. **Ours**: a pair whose file holds no polygon with pixels counts neither way, and is noted.
"""

from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd
from pycocotools import mask as rle

from foir_lib.data import masks, names
from foir_lib.data.readers import reading, revisited, tables
from foir_lib.data.readers.pickles import load_npy
from foir_lib.data.sets import COLUMNS, RetrievalSet
from foir_lib.data.values import numbers, short, whole
from foir_lib.errors import InputError, IntegrityError
from foir_lib.notices import note
from foir_lib.registry import register

BASES = {"proxford5k": ("roxford5k", "oxford"), "prparis6k": ("rparis6k", "paris")}
REMEDY = "expected {}_pair2labelpath.npy, its label files, gnd_{}.pkl and the pictures; see `foir data list`."


@register("set", "prparis6k")
@register("set", "proxford5k")
def load(
    root: str | PathLike, name: str = "proxford5k", distractors: str | PathLike | None = None, boxes_on: str | None = None,
    query_masks: str | PathLike | None = None,
) -> RetrievalSet:  # fmt: skip
    """proxford5k or prparis6k: the revisited set with the masks of all its positive pairs as objects of the database.

    distractors, boxes_on: as for roxford5k. query_masks: a folder of labelme files called as the query pictures; a query with one
    asks with its mask, the others with the benchmark's box. Raises MissingError for files that are lacking, IntegrityError for
    pairs that aren't plain data or lack a positive one, InputError for labels that are none or belong to another size.
    """
    base_name, city = BASES[name]
    remedy = REMEDY.format(city, base_name)
    root = reading.need(root, f"{name} folder", remedy)
    inner = root / "revisitop" / "data" / base_name
    base = revisited.load(inner if inner.is_dir() else root, base_name, distractors, boxes_on)
    pairs = read_pairs(root / f"{city}_pair2labelpath.npy", base)
    labels = things(pairs, base.queries["label"].tolist())
    sizes = base.database[["width", "height"]].to_numpy().tolist()
    drawn = {(path, row): polygons(root / path, sizes[row], remedy) for of_query in pairs for row, path in of_query.items()}
    lost = [(query, row) for query, of_query in enumerate(pairs) for row, path in of_query.items() if not drawn[path, row]]
    example = "{0[0]}_{0[1]}".format(*lost[:1]) if lost else ""
    note("pairs whose label file has no shape with pixels count neither way", example, len(lost))
    shown = {(label, row): drawn[path, row] for label, of_query in zip(labels, pairs) for row, path in of_query.items() if drawn[path, row]}
    ids = base.database["image_id"].tolist()
    things_shown = [(ids[row], label, *_tight(outline, sizes[row]), False, outline) for (label, row), outline in shown.items()]
    asking = base.objects.assign(label=labels, segmentation=_of_queries(base, query_masks))
    objects = pd.concat([asking, pd.DataFrame(things_shown, columns=COLUMNS["objects"])], ignore_index=True)
    protocols = {key: _without(protocol, lost) for key, protocol in base.protocols.items()}
    return replace(base, name=name, objects=objects, queries=base.queries.assign(label=labels), protocols=protocols)


def read_pairs(path: str | PathLike, base: RetrievalSet) -> list[dict[int, str]]:
    """For each query, positive database row -> path of the label file. IntegrityError for what is no such dict, or lacks a pair."""
    raw = load_npy(path)
    if not isinstance(raw, Mapping):
        raise IntegrityError(f'{path} holds no dict "q_i" -> path of a label file: get it again.')
    medium, result = base.protocols["medium"], []
    for query in range(len(base.queries)):
        result.append({})
        for row in medium.positives(query).tolist():
            file = raw.get(f"{query}_{row}")
            file = names.plain(file) if isinstance(file, str) else ""
            if not names.inside(file):
                fact = f"has {short(raw.get(f'{query}_{row}'))} as the label file of query {query} on picture {row}"
                raise IntegrityError(f"{path} {fact}: get it again, or write a path below its folder.")
            result[-1][row] = file
    return result


def things(pairs: list[dict[int, str]], landmarks: list[str]) -> list[str]:
    """A label for each query: queries of one landmark that share a label file, and contradict each other nowhere, have one."""
    groups: list[tuple[str, dict[int, str]]] = []
    labels = []
    for of_query, landmark in zip(pairs, landmarks, strict=True):
        for label, files in groups:
            common = files.keys() & of_query.keys()
            if label[0] == landmark and common and all(files[row] == of_query[row] for row in common):
                files |= of_query
                break
        else:
            label = (landmark, 1 + sum(other[0] == landmark for other, _ in groups))
            groups.append((label, dict(of_query)))
        labels.append(label)
    several = {landmark for landmark, number in labels if number > 1}
    return [f"{landmark} {number}" if landmark in several else landmark for landmark, number in labels]


def polygons(path: Path, size: tuple[int, int], remedy: str) -> list[list[float]]:
    """Polygons x, y, x, y, ... of a labelme file on a picture of ``size`` (width, height); empty where they cover no pixel.

    Shapes of fewer than three corners are left out. Raises MissingError without the file, InputError for what is no labelme file,
    names another size, or can't be drawn.
    """
    content = tables.read_json(reading.need(path, "label file", remedy))
    shapes = content.get("shapes") if isinstance(content, dict) else None
    if not isinstance(shapes, list):
        raise InputError(f"{path} has no list 'shapes': get the label file again.")
    stated = [whole(content.get(key)) for key in ("imageWidth", "imageHeight")]
    if None not in stated and stated != list(size):
        raise InputError(f"{path} is drawn on {stated[0]} x {stated[1]} pixels, its picture has {size[0]} x {size[1]}: get the original picture.")
    result = []
    for row, points in enumerate(tables.column(shapes, "points", f"{path}: shapes", list)):
        corners = [numbers(point) if isinstance(point, list) and len(point) == 2 else np.full(2, np.nan) for point in points]
        if not np.isfinite(corners).all():
            raise InputError(f"{path}: shape {row} has a corner that isn't two numbers: get the label file again.")
        result += [np.ravel(corners).tolist()] if len(corners) >= 3 else []
    covers = result and rle.area(masks.encode(result, tuple(size), f"Label file {path}"))
    return result if covers else []


def _tight(outline, size):
    x, y, width, height = rle.toBbox(masks.encode(outline, tuple(size), "A label file")).tolist()
    return x, y, x + width, y + height


def _of_queries(base, folder):
    """The polygons of each query, None of one without a file."""
    result = [None] * len(base.queries)
    if folder is not None:
        folder = reading.need(folder, "folder of query masks", "expected labelme files called as the query pictures.")
        sizes = base.images.set_index("image_id")[["width", "height"]]
        for row, image_id in enumerate(base.queries["image_id"]):
            path = folder / f"{image_id}.json"
            if path.is_file():
                result[row] = polygons(path, sizes.loc[image_id].tolist(), "") or None
    return result


def _without(protocol, pairs):
    """The protocol with pairs of query and database row ignored where they were positive."""
    lost = {query: [row for q, row in pairs if q == query] for query, _ in pairs}
    positive = {q: np.setdiff1d(rows, lost.get(q, [])).astype(int) for q, rows in protocol.positive.items()}
    ignored = {q: np.union1d(protocol.ignored[q], np.intersect1d(rows, lost.get(q, []))).astype(int) for q, rows in protocol.positive.items()}
    return replace(protocol, positive=positive, ignored=ignored)
