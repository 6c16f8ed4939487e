"""mini-landmarks-parts: the pictures of mini-landmarks, asked with a part of a landmark: its portal, its rose window or clock, its towers.

Beside the landmark's, the instances files hold the box and mask of what can be seen of each part, labelled "<landmark>/<part>".
Only pictures that show LEAST pixels of the part are right, by the landmark's grade there; those of the landmark that don't are junk.
"""

import json
from pathlib import Path

import numpy as np

from foir_lib.data.mini import drawn, facades, landmarks, town
from foir_lib.data.sets import RetrievalSet
from foir_lib.registry import register

VERSION = 1
LEAST = 12  # pixels of a part from which on it is shown; a query's part has four times as many


@register("set", "mini-landmarks-parts")
def load(
    name: str = "mini-landmarks-parts", seed: int = 0, n_landmarks: int = 72, n_queries: int = 144, n_database: int = 1400
) -> RetrievalSet:
    """mini-landmarks-parts as a RetrievalSet with the protocols easy, medium and hard; a query for each part seen on a query picture.

    Drawn once (about a minute), then read from the cache; pictures are those of mini-landmarks by the same numbers. Raises InputError
    for a bad number or a disk that can't be written.
    """
    n_images = {"n_queries": (n_queries, 1), "n_database": (n_database, 1)}
    root = drawn.world(name, VERSION, write, seed=(seed, 0), n_landmarks=(n_landmarks, 2), **n_images)
    return landmarks.read(root, f"{name} (seed {seed})")


def parts_of(facade: facades.Facade) -> list[str]:
    """Names of the parts that can be asked for, in the order of facades.MARKED; "" for one that isn't there."""
    feature, towers = facade.choices["feature"], facade.choices["towers"]
    return ["" if feature == "none" else feature, "portal", "tower" if towers in ("left", "right", "both") else ""]


def write(folder: Path, seed: int, n_landmarks: int, n_queries: int, n_database: int) -> None:
    """As landmarks.write, with the parts."""
    world = town.world(town.BENCHMARK, seed, n_landmarks, marked=True)
    whole, parts = [facade.name for facade in world.facades], [parts_of(facade) for facade in world.facades]
    labels = [f"{name}/{part}" for name, some in zip(whole, parts, strict=True) for part in some]

    def draw(part, index):
        pixels, instances, grades = landmarks.picture(world, seed, n_landmarks, part, index)
        things = []
        for one, grade in zip(instances, grades, strict=True):
            if one.mask.any():
                things.append((one.landmark, one.mask, {"grade": grade}))
                for k, marks in enumerate(one.parts):
                    if parts[one.landmark][k] and marks.sum() >= LEAST:
                        things.append((len(whole) + len(facades.MARKED) * one.landmark + k, marks, {"grade": grade}))
        return pixels, things

    splits = {"queries": n_queries, "database": n_database}
    queries, database = drawn.write(folder, splits, whole + labels, draw, 8, f"mini-landmarks-parts, seed {seed}")
    rows_of, first = {}, database["images"][0]["id"]
    for one in database["annotations"]:
        rows_of.setdefault(one["category_id"] - 1, {}).setdefault(one["grade"], []).append(one["image_id"] - first)
    truth = []
    for one in queries["annotations"]:
        main, category = (one["image_id"] - 1) % n_landmarks, one["category_id"] - 1
        if category >= len(whole) and (category - len(whole)) // len(facades.MARKED) == main and one["area"] >= 4 * LEAST:
            shown, there = rows_of.get(category, {}), sum(rows_of.get(main, {}).values(), [])
            graded = {grade: shown.get(grade, []) for grade in town.GRADES}
            graded["junk"] = np.setdiff1d(there, graded["easy"] + graded["hard"]).tolist()
            x, y, w, h = one["bbox"]
            label = labels[category - len(whole)]
            truth.append({"bbx": [x, y, x + w, y + h], "landmark": label, "image": one["image_id"], **graded})
    imlist, qimlist = ([image["file_name"] for image in part["images"]] for part in (database, queries))
    (folder / "gnd.json").write_text(json.dumps({"imlist": imlist, "qimlist": qimlist, "gnd": truth}))
