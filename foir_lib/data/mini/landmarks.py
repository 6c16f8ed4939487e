"""mini-landmarks: drawn facades under other views, light, scale and occlusion, among look-alikes and other landmarks.

    root/queries/*.png  root/database/*.png  root/annotations/instances_{queries,database}.json  root/gnd.json

gnd.json is the ground truth in the shape of the revisited benchmarks: imlist, qimlist, and for each query its box
and the database rows that are easy, hard and junk. The instances files are COCO's: a box and a mask of what can be
seen of every landmark. `town` says what easy, hard and junk mean here.

mini-landmarks-parts: the same pictures, asked with a part of a landmark: its portal, its rose window or clock, its towers. Beside the
landmark's, the instances files hold the box and mask of what can be seen of each part, labelled "<landmark>/<part>". Only
pictures that show LEAST pixels of the part are right, by the landmark's grade there; those of the landmark that don't are junk.
"""

import json
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd

from foir_lib.data import ground_truth
from foir_lib.data.mini import drawn, facades, town
from foir_lib.data.readers import coco, tables
from foir_lib.data.sets import RetrievalSet
from foir_lib.prompts import Box
from foir_lib.registry import register

VERSION = 2
PARTS_VERSION = 1  # of mini-landmarks-parts
LEAST = 12  # pixels of a part from which on it is shown; a query's part has four times as many
SLOTS = ("easy",) * 5 + ("hard",) * 9 + ("junk",)  # grades that a landmark's database pictures are drawn for, in turn


@register("set", "mini-landmarks")
def load(
    name: str = "mini-landmarks", seed: int = 0, n_landmarks: int = 72, n_queries: int = 144, n_database: int = 1400
) -> RetrievalSet:
    """mini-landmarks as a RetrievalSet with the protocols easy, medium and hard.

    It is drawn once (about a minute), then read from the cache; every seed is a town of other landmarks. The first 15
    pictures per landmark of the database are about the landmarks in turn, all further ones are distractors, which
    show none of them. Raises InputError for a bad number or a disk that can't be written.
    """
    n_images = {"n_queries": (n_queries, 1), "n_database": (n_database, 1)}
    root = drawn.world(name, VERSION, write, seed=(seed, 0), n_landmarks=(n_landmarks, 2), **n_images)
    return read(root, f"{name} (seed {seed})")


def write(folder: Path, seed: int, n_landmarks: int, n_queries: int, n_database: int) -> None:
    """Draw the pictures of a seed into ``folder``, with annotations and ground truth."""
    world = town.world(town.BENCHMARK, seed, n_landmarks)

    def draw(part, index):
        pixels, instances, grades = picture(world, seed, n_landmarks, part, index)
        things = zip(instances, grades, strict=True)
        return pixels, [(one.landmark, one.mask, {"grade": grade}) for one, grade in things if one.mask.any()]

    splits, names = {"queries": n_queries, "database": n_database}, [facade.name for facade in world.facades]
    queries, database = drawn.write(folder, splits, names, draw, 8, f"mini-landmarks, seed {seed}")
    shown = pd.DataFrame(database["annotations"], columns=["image_id", "category_id", "grade"])
    rows = (shown["image_id"] - database["images"][0]["id"]).groupby([shown["category_id"], shown["grade"]]).agg(list)
    truth = []
    for one in queries["annotations"]:
        main = (one["image_id"] - 1) % n_landmarks
        if one["category_id"] == main + 1:
            x, y, w, h = one["bbox"]
            graded = {grade: rows.get((main + 1, grade), []) for grade in town.GRADES}
            truth.append({"bbx": [x, y, x + w, y + h], "landmark": names[main], **graded})
    imlist, qimlist = ([image["file_name"] for image in part["images"]] for part in (database, queries))
    (folder / "gnd.json").write_text(json.dumps({"imlist": imlist, "qimlist": qimlist, "gnd": truth}))


def picture(world: town.World, seed: int, n_landmarks: int, part: int, index: int) -> tuple:
    """A picture of the town, the Instances on it and their grades; part: 0 for queries, 1 for the database."""
    turn, main = divmod(index, n_landmarks)
    grade = "query" if part == 0 else SLOTS[turn] if turn < len(SLOTS) else "none"
    main = -1 if grade == "none" else main
    pixels, instances, _, grades = town.scene(world, town.stream(town.BENCHMARK, seed, part, index), main, grade)
    return pixels, instances, grades


def read(root: str | PathLike, name: str) -> RetrievalSet:
    """A folder that `write` filled as a RetrievalSet."""
    splits = {"queries": "query", "database": "database"}
    parts = [coco.read_split(Path(root), split, role) for split, role in splits.items()]
    images, objects = (pd.concat(part, ignore_index=True) for part in zip(*parts, strict=True))
    content = tables.read_json(Path(root, "gnd.json"))
    truth, image_ids = content["gnd"], images["image_id"][images["split"] == "query"].to_numpy()
    if truth and "image" in truth[0]:  # several on a picture
        image_ids = np.array([lists["image"] for lists in truth])
    at = {key: row for row, key in enumerate(zip(objects["image_id"], objects["label"], strict=True))}
    prompts = pd.Series([Box(*lists["bbx"]) for lists in truth], dtype=object)
    queries = pd.DataFrame({"image_id": image_ids, "prompt": prompts, "label": [lists["landmark"] for lists in truth]})
    queries["object"] = [at[key] for key in zip(image_ids, queries["label"], strict=True)]
    return RetrievalSet(name, images, objects, queries, ground_truth.protocols(truth, len(content["imlist"])))


@register("set", "mini-landmarks-parts")
def load_parts(
    name: str = "mini-landmarks-parts", seed: int = 0, n_landmarks: int = 72, n_queries: int = 144, n_database: int = 1400
) -> RetrievalSet:
    """mini-landmarks-parts as a RetrievalSet with the protocols easy, medium and hard; a query for each part seen on a query picture.

    Drawn once (about a minute), then read from the cache; pictures are those of mini-landmarks by the same numbers. Raises InputError
    for a bad number or a disk that can't be written.
    """
    n_images = {"n_queries": (n_queries, 1), "n_database": (n_database, 1)}
    root = drawn.world(name, PARTS_VERSION, write_parts, seed=(seed, 0), n_landmarks=(n_landmarks, 2), **n_images)
    return read(root, f"{name} (seed {seed})")


def parts_of(facade: facades.Facade) -> list[str]:
    """Names of the parts that can be asked for, in the order of facades.MARKED; "" for one that isn't there."""
    feature, towers = facade.choices["feature"], facade.choices["towers"]
    return ["" if feature == "none" else feature, "portal", "tower" if towers in ("left", "right", "both") else ""]


def write_parts(folder: Path, seed: int, n_landmarks: int, n_queries: int, n_database: int) -> None:
    """As write, with the parts."""
    world = town.world(town.BENCHMARK, seed, n_landmarks, marked=True)
    whole, parts = [facade.name for facade in world.facades], [parts_of(facade) for facade in world.facades]
    labels = [f"{name}/{part}" for name, some in zip(whole, parts, strict=True) for part in some]

    def draw(part, index):
        pixels, instances, grades = picture(world, seed, n_landmarks, part, index)
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
