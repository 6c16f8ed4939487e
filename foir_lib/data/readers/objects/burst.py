"""PerMiR (Samuel et al., 2024) from the videos of BURST (Athar et al., WACV 2023): the thing of a query among others of its kind.

    root/annotations/{val,test}/all_classes.json  root/images/{val,test}/<dataset>/<sequence>/*  (frames of TAO)

The annotations are a dict of sequences: width, height, seq_name, dataset, annotated_image_paths, track_category_ids (track ->
category) and, for each annotated frame, segmentations (track -> {"rle": ...}). The authors' list of 150 queries and 450
database pictures isn't published and doesn't follow from their public script. **Ours is a list of our own**: of the sequences,
by data set and name, that have two tracks of a category, one of them on four annotated frames, ``n_queries`` evenly spaced ones;
the first such track is the query, on its first frame; the database is its other frames a third, two thirds and all the way on.
"""

from collections import Counter
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd

from foir_lib.data import masks, names
from foir_lib.data.readers import pictures, reading, tables
from foir_lib.data.sets import COLUMNS, RetrievalSet
from foir_lib.data.values import numbers, short
from foir_lib.errors import InputError, count
from foir_lib.notices import note
from foir_lib.prompts import Mask
from foir_lib.registry import register

REMEDY = "expected annotations/{val,test}/all_classes.json of BURST and images/{val,test}/<dataset>/<sequence>/ of TAO; see `foir data list`."
FRAMES = 4  # a query and three of the database


@register("set", "permirw")
@register("set", "permir")
def load(
    root: str | PathLike, name: str = "permir", n_queries: int = 150, splits: str = "val,test", check_files: bool = True
) -> RetrievalSet:
    """permir, or permirw (the same pictures, on which things must be detected), as a RetrievalSet with the protocol instances.

    n_queries: length of our own list; splits: those of BURST that it is taken from. Raises MissingError and InputError.
    """
    root = reading.need(root, "BURST folder", REMEDY)
    count(n_queries, "n_queries", 1)
    videos = [video for split in splits.split(",") for video in read(root, split.strip())]
    if not videos:
        raise InputError(f"The annotations in {root} have no sequence with two tracks of one category: get them again.")
    chosen = np.unique(np.linspace(0, len(videos) - 1, min(n_queries, len(videos))).round().astype(int))
    images, objects = [], []
    for folder, video, track, frames in (videos[row] for row in chosen):
        for place, frame in enumerate(frames):
            image_id = f"{folder.parent.name}/{folder.name}/{video['annotated_image_paths'][frame]}"
            path, size = str(folder / video["annotated_image_paths"][frame]), (video["width"], video["height"])
            shown = video["segmentations"][frame]
            images.append((image_id, path, *size, "database" if place else "query"))
            for one in shown if place else [track]:
                row = _object(shown[one], size, f"Track {short(one)} of {image_id}")
                objects += [] if row is None else [(image_id, f"{folder.parent.name}/{folder.name}/{one}", *row)]
    images = pd.DataFrame(images, columns=COLUMNS["images"])
    reading.unique(images["image_id"], f"The annotations in {root}: frames")
    if check_files:
        reading.need_files(images["path"].tolist(), name)
        _same_sizes(images, name)
    result = reading.instance_set(f"{name} (our own list)", images, pd.DataFrame(objects, columns=COLUMNS["objects"]))
    return reading.without_boxes(result) if name == "permirw" else result


def read(root: Path, split: str) -> list[tuple]:
    """What our list may take of a split, by data set and name: (folder of frames, sequence, track, four frames)."""
    folder = root / "annotations" if (root / "annotations").is_dir() else root
    path = reading.need(folder / split / "all_classes.json", "annotation file", REMEDY)
    content = tables.read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("sequences"), list):
        raise InputError(f"{path} has no list 'sequences': it is no annotation file of BURST, get it again.")
    where, videos = f"{path}: sequences", content["sequences"]
    kinds = {"width": int, "height": int, "seq_name": str, "dataset": str, "annotated_image_paths": list, "segmentations": list, "track_category_ids": dict}
    for key, kind in kinds.items():
        tables.column(videos, key, where, kind)
    sizes = np.c_[tuple(numbers(video[key] for video in videos) for key in ("width", "height"))]
    reading.refuse(~((sizes >= 1) & (sizes <= 1e5)).all(1), where, "of {:g} x {:g} pixels: get the file again", *sizes.T)
    eligible = []
    for video in sorted(videos, key=lambda video: (video["dataset"], video["seq_name"])):
        title, files, shown = f"{where}: {short(video['seq_name'])}", video["annotated_image_paths"], video["segmentations"]
        if len(files) != len(shown) or not all(isinstance(one, dict) for one in shown):
            raise InputError(f"{title} has {len(files)} annotated frames and {len(shown)} segmentations: one for each is needed, get the file again.")
        parts = [video["dataset"], video["seq_name"], *files]
        strange = [not isinstance(part, str) or not names.inside(part) for part in parts]
        reading.refuse(strange, title, "names {}, which is no name of a picture or folder: get the file again", list(map(short, parts)))
        if frames := _frames(video):
            eligible.append((root / "images" / split / video["dataset"] / video["seq_name"], video, *frames))
    return eligible


def _frames(video):
    """The first track of a category that has several, on at least FRAMES frames, and those that our list takes; None without one."""
    category = {track: str(number) for track, number in video["track_category_ids"].items()}
    several = Counter(category.values())
    for track in sorted(category, key=lambda track: (len(track), track)):
        on = [frame for frame, shown in enumerate(video["segmentations"]) if track in shown]
        if several[category[track]] > 1 and len(on) >= FRAMES:
            return track, [on[row] for row in np.linspace(0, len(on) - 1, FRAMES).round().astype(int)]
    return None


def _object(record, size, what):
    """Label's box, ignore and segmentation of a track on a frame; None of an empty mask."""
    if not isinstance(record, dict) or not isinstance(record.get("rle"), str):
        raise InputError(f"{what} has no text 'rle': get the annotations again.")
    outline = {"size": [size[1], size[0]], "counts": record["rle"]}
    pixels = masks.decode(outline, size, what)
    if not pixels.any():
        note("empty masks left out", what)
        return None
    box = Mask(pixels).box(size)
    return box.x0, box.y0, box.x1, box.y1, False, outline


def _same_sizes(images, name):
    """InputError for a frame whose file has another size than its sequence."""
    sizes = pictures.sizes(images["path"].tolist(), name)
    wrong = (sizes != images[["width", "height"]].to_numpy()).any(1)
    sentence = "{} is {} x {} pixels, its annotations say {} x {}: get the frames of TAO as they are"
    reading.refuse(wrong, "Frame", sentence, images["path"], *sizes.T, images["width"], images["height"])
