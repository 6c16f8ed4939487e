"""mini-landmarks: drawn facades under other views, light, scale and occlusion, among look-alikes and other landmarks.

    root/queries/*.png  root/database/*.png  root/annotations/instances_{queries,database}.json  root/gnd.json

gnd.json is the ground truth in the shape of the revisited benchmarks: imlist, qimlist, and for each query its box
and the database rows that are easy, hard and junk. The instances files are COCO's: a box and a mask of what can be
seen of every landmark. `mini_scenes` says what easy, hard and junk mean here.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from pycocotools import mask as rle
from tqdm.auto import tqdm

from foir_lib.data import ground_truth
from foir_lib.data.mini import town as scenes
from foir_lib.data.mini.drawn import drawn_once
from foir_lib.data.readers import coco, reading
from foir_lib.data.sets import RetrievalSet
from foir_lib.errors import InputError
from foir_lib.prompts import Box

VERSION = 2
SLOTS = ("easy",) * 5 + ("hard",) * 9 + ("junk",)  # what a landmark's database pictures are made to be, in turn


def load(name="mini-landmarks", seed=0, n_landmarks=72, n_queries=144, n_database=1400):
    """mini-landmarks as a RetrievalSet with the protocols easy, medium and hard.

    It is drawn once (about a minute), then read from the cache; every seed is a town of other landmarks. The first 15
    pictures per landmark of the database are about the landmarks in turn, all further ones are distractors, which
    show none of them. Raises InputError for a bad number or a disk that can't be written.
    """
    numbers = {
        "seed": (seed, 0),
        "n_landmarks": (n_landmarks, 2),
        "n_queries": (n_queries, 1),
        "n_database": (n_database, 1),
    }
    for label, (value, low) in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or not low <= value < 2**32:
            raise InputError(f"{label}={value!r} of {name} must be a whole number of at least {low}.")
    folder = f"{name}-v{VERSION}-seed{seed}-{n_landmarks}-{n_queries}-{n_database}"
    root = drawn_once(folder, lambda folder: write(folder, *(int(value) for value, _ in numbers.values())))
    return read(root, f"{name} (seed {seed})")


def write(folder, seed, n_landmarks, n_queries, n_database):
    """Draw the pictures of a seed into ``folder``, with annotations and ground truth."""
    town = scenes.world(scenes.BENCHMARK, seed, n_landmarks)
    grades = np.full((n_landmarks, n_database), -1)  # index in GRADES of each landmark on each database picture
    (folder / "annotations").mkdir(parents=True)
    queries, names = [], {}
    with tqdm(total=n_queries + n_database, desc=f"drawing mini-landmarks, seed {seed}", unit="picture") as bar:
        for part, (split, count) in enumerate({"queries": n_queries, "database": n_database}.items()):
            (folder / split).mkdir()
            images, annotations, names[split] = [], [], []
            for index in range(count):
                main, grade = index % n_landmarks, "query"
                if split == "database":
                    turn = index // n_landmarks
                    main, grade = (main, SLOTS[turn]) if turn < len(SLOTS) else (-1, "none")
                pixels, seen, _, found = scenes.scene(town, scenes.stream(0, seed, part, index), main, grade)
                image_id = part * 10_000_000 + index + 1
                names[split].append(f"{image_id:08d}.png")
                Image.fromarray(pixels).save(folder / split / names[split][-1], compress_level=1)
                size = {"width": pixels.shape[1], "height": pixels.shape[0]}
                images.append({"id": image_id, "file_name": names[split][-1], **size})
                shown = [(one, g) for one, g in zip(seen, found, strict=True) if one.mask.any()]
                for one, g in shown:
                    annotations.append(_annotation(len(annotations) + 1, image_id, one, g))
                    if split == "database" and one.landmark < n_landmarks:
                        grades[one.landmark, index] = scenes.GRADES.index(g)
                if split == "queries":
                    own = next(
                        a for a, (one, _) in zip(annotations[-len(shown) :], shown, strict=True) if one.landmark == main
                    )
                    queries.append((main, own["bbox"]))
                bar.update()
            categories = [{"id": i + 1, "name": facade.name} for i, facade in enumerate(town.facades)]
            content = {"images": images, "annotations": annotations, "categories": categories}
            (folder / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
    truth = []
    for main, (x, y, w, h) in queries:
        rows = {grade: np.flatnonzero(grades[main] == i).tolist() for i, grade in enumerate(scenes.GRADES)}
        truth.append({"bbx": [x, y, x + w, y + h], "landmark": town.facades[main].name, **rows})
    content = {"imlist": names["database"], "qimlist": names["queries"], "gnd": truth}
    (folder / "gnd.json").write_text(json.dumps(content))


def _annotation(number, image_id, one, grade):
    code = rle.encode(np.asfortranarray(one.mask, dtype=np.uint8))
    return {
        "id": number, "image_id": image_id, "category_id": one.landmark + 1, "iscrowd": 0,
        "area": int(one.mask.sum()), "bbox": [int(v) for v in rle.toBbox(code)],
        "segmentation": {**code, "counts": code["counts"].decode()}, "grade": grade,
    }  # fmt: skip


def read(root, name):
    """A folder that `write` filled as a RetrievalSet."""
    root, tables = Path(root), []
    for split, role in (("queries", "query"), ("database", "database")):
        images, objects = coco.read(root / "annotations" / f"instances_{split}.json")
        paths = [str(root / split / file) for file in images["file_name"]]
        reading.need_files(paths, name)
        tables.append((images.assign(path=paths, split=role).drop(columns="file_name"), objects))
    images, objects = (pd.concat(parts, ignore_index=True) for parts in zip(*tables, strict=True))
    content = reading.read_json(root / "gnd.json")
    truth, asked = content["gnd"], images["image_id"][images["split"] == "query"].to_numpy()
    at = {key: row for row, key in enumerate(zip(objects["image_id"], objects["label"], strict=True))}
    labels = [lists["landmark"] for lists in truth]
    queries = pd.DataFrame(
        {
            "image_id": asked,
            "prompt": pd.Series([Box(*lists["bbx"]) for lists in truth], dtype=object),
            "label": labels,
            "object": [at[key] for key in zip(asked, labels, strict=True)],
        }
    )
    found = ground_truth.protocols(truth, len(content["imlist"]))
    return RetrievalSet(name, images, objects, queries, found)
