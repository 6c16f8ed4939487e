"""mini-landmarks: drawn facades under other views, light, scale and occlusion, among look-alikes and other landmarks.

    root/queries/*.png  root/database/*.png  root/annotations/instances_{queries,database}.json  root/gnd.json

gnd.json is the ground truth in the shape of the revisited benchmarks: imlist, qimlist, and for each query its box
and the database rows that are easy, hard and junk. The instances files are COCO's: a box and a mask of what can be
seen of every landmark. `town` says what easy, hard and junk mean here.
"""

import json
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from tqdm.auto import tqdm

from foir_lib.data import ground_truth
from foir_lib.data.mini import town
from foir_lib.data.mini.drawn import annotation, drawn_once
from foir_lib.data.readers import coco, reading
from foir_lib.data.sets import RetrievalSet
from foir_lib.errors import count
from foir_lib.prompts import Box
from foir_lib.registry import register

VERSION = 2
SLOTS = ("easy",) * 5 + ("hard",) * 9 + ("junk",)  # what a landmark's database pictures are made to be, in turn


@register("set", "mini-landmarks")
def load(
    name: str = "mini-landmarks", seed: int = 0, n_landmarks: int = 72, n_queries: int = 144, n_database: int = 1400
) -> RetrievalSet:
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
        count(value, f"{name}: {label}", low, 2**32 - 1)
    folder = f"{name}-v{VERSION}-seed{seed}-{n_landmarks}-{n_queries}-{n_database}"
    root = drawn_once(folder, lambda folder: write(folder, *(int(value) for value, _ in numbers.values())))
    return read(root, f"{name} (seed {seed})")


def write(folder: Path, seed: int, n_landmarks: int, n_queries: int, n_database: int) -> None:
    """Draw the pictures of a seed into ``folder``, with annotations and ground truth."""
    world = town.world(town.BENCHMARK, seed, n_landmarks)
    grades = np.full((n_landmarks, n_database), -1)  # index in GRADES of each landmark on each database picture
    (folder / "annotations").mkdir(parents=True)
    queries, names = [], {}
    with tqdm(total=n_queries + n_database, desc=f"drawing mini-landmarks, seed {seed}", unit="picture") as bar:
        for part, (split, n_images) in enumerate({"queries": n_queries, "database": n_database}.items()):
            (folder / split).mkdir()
            images, annotations, names[split] = [], [], []
            for index in range(n_images):
                main, grade = index % n_landmarks, "query"
                if split == "database":
                    turn = index // n_landmarks
                    main, grade = (main, SLOTS[turn]) if turn < len(SLOTS) else (-1, "none")
                pixels, instances, _, levels = town.scene(world, town.stream(0, seed, part, index), main, grade)
                image_id = part * 10_000_000 + index + 1
                names[split].append(f"{image_id:08d}.png")
                Image.fromarray(pixels).save(folder / split / names[split][-1], compress_level=1)
                size = {"width": pixels.shape[1], "height": pixels.shape[0]}
                images.append({"id": image_id, "file_name": names[split][-1], **size})
                for one, level in zip(instances, levels, strict=True):
                    if not one.mask.any():
                        continue
                    entry = annotation(len(annotations) + 1, image_id, one.landmark + 1, one.mask)
                    annotations.append(entry | {"grade": level})
                    if split == "queries" and one.landmark == main:
                        queries.append((main, entry["bbox"]))
                    if split == "database" and one.landmark < n_landmarks:
                        grades[one.landmark, index] = town.GRADES.index(level)
                bar.update()
            categories = [{"id": i + 1, "name": facade.name} for i, facade in enumerate(world.facades)]
            content = {"images": images, "annotations": annotations, "categories": categories}
            (folder / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
    truth = []
    for main, (x, y, w, h) in queries:
        rows = {grade: np.flatnonzero(grades[main] == i).tolist() for i, grade in enumerate(town.GRADES)}
        truth.append({"bbx": [x, y, x + w, y + h], "landmark": world.facades[main].name, **rows})
    content = {"imlist": names["database"], "qimlist": names["queries"], "gnd": truth}
    (folder / "gnd.json").write_text(json.dumps(content))


def read(root: str | PathLike, name: str) -> RetrievalSet:
    """A folder that `write` filled as a RetrievalSet."""
    root, tables = Path(root), []
    for split, role in (("queries", "query"), ("database", "database")):
        images, objects = coco.read(root / "annotations" / f"instances_{split}.json")
        paths = [str(root / split / file) for file in images["file_name"]]
        reading.need_files(paths, name)
        tables.append((images.assign(path=paths, split=role).drop(columns="file_name"), objects))
    images, objects = (pd.concat(parts, ignore_index=True) for parts in zip(*tables, strict=True))
    content = reading.read_json(root / "gnd.json")
    truth, image_ids = content["gnd"], images["image_id"][images["split"] == "query"].to_numpy()
    at = {key: row for row, key in enumerate(zip(objects["image_id"], objects["label"], strict=True))}
    prompts = pd.Series([Box(*lists["bbx"]) for lists in truth], dtype=object)
    queries = pd.DataFrame({"image_id": image_ids, "prompt": prompts, "label": [lists["landmark"] for lists in truth]})
    queries["object"] = [at[key] for key in zip(image_ids, queries["label"], strict=True)]
    return RetrievalSet(name, images, objects, queries, ground_truth.protocols(truth, len(content["imlist"])))
