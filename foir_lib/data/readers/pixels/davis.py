"""DAVIS (Perazzi et al., CVPR 2016; Pont-Tuset et al., 2017) for pixel retrieval: the thing of a video's first frame, in all frames.

    root/JPEGImages/[480p/]<video>/*.jpg  root/Annotations/[480p/]<video>/*.png  [root/ImageSets/<...>/<split>.txt]

An annotation holds the number of a thing in each pixel, 0 for none; one thing, white, is DAVIS-2016's. **Ours**: each thing of a
video's first frame asks, with its mask; the other frames that show it are positive, all other frames wrong.
"""

from collections.abc import Iterator
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from foir_lib.data.readers import pictures, reading, tables
from foir_lib.data.sets import COLUMNS, RetrievalSet
from foir_lib.detections import Localisation
from foir_lib.errors import InputError, count
from foir_lib.folders import below
from foir_lib.images import in_words, opened
from foir_lib.registry import register

REMEDY = "expected JPEGImages/ and Annotations/ with a folder of frames for each video; see `foir data list`."


@register("set", "davis")
def load(root: str | PathLike, split: str = "val", n_frames: int = 0, segmenter: str = "") -> RetrievalSet:
    """davis as a RetrievalSet with the protocol instances; a label is a thing of a video.

    split: the list below ImageSets that names the videos; where there are no lists, all. n_frames: so many evenly spaced frames of
    each video, 0 for all. segmenter: a name or place of `load_segmenter` that refines what is localised here, "" for SAM. Raises MissingError for a missing folder or annotation, InputError for an annotation that isn't one.
    """
    root = reading.need(root, "DAVIS folder", REMEDY)
    root = root / "DAVIS" if (root / "DAVIS").is_dir() else root
    count(n_frames, "n_frames", 0)
    folder = _with_videos(root / "JPEGImages")
    videos = _videos(root, split, folder)
    frames = {video: _spaced(below(folder / video), n_frames) for video in videos}
    paths = [path for some in frames.values() for path in some]
    ids = [f"{Path(path).parent.name}/{Path(path).stem}" for path in paths]
    images = pictures.table(ids, paths, "database", pictures.sizes(paths, "davis"))
    images.loc[[paths.index(some[0]) for some in frames.values()], "split"] = "both"
    annotations, objects = _with_videos(root / "Annotations"), []
    for image_id, width, height in images[["image_id", "width", "height"]].itertuples(index=False, name=None):
        path = reading.need(annotations / f"{image_id}.png", "annotation", REMEDY)
        objects += [(image_id, f"{image_id.split('/')[0]}{thing}", *row) for thing, row in things(path, (width, height))]
    if not objects:
        raise InputError(f"No annotation in {root} shows anything: get the data set again.")
    return reading.instance_set("davis", images, pd.DataFrame(objects, columns=COLUMNS["objects"]), {"unit": "thing"} | ({"masks": segmenter} if segmenter else {}))


def things(path: Path, size: tuple[int, int]) -> Iterator[tuple[str, tuple]]:
    """Each thing of an annotation: "" for a white one, "/1", "/2", ... for numbered ones, and its box, ignore and mask of an objects table."""
    with in_words(path), opened(path) as file, Image.open(file, formats=["PNG"]) as image:
        if image.size != size or image.mode not in ("1", "L", "P"):
            what = f"a {image.mode} picture of {image.width} x {image.height} pixels"
            raise InputError(f"Annotation {path} is {what}, its frame is {size[0]} x {size[1]}: get the file again.")
        numbers = np.asarray(image).astype(np.uint8) * (255 if image.mode == "1" else 1)
    for number in np.unique(numbers[numbers > 0]):
        thing = Localisation.of(numbers == number, 1.0)
        yield "" if number == 255 else f"/{number}", (*thing.box.tolist(), False, thing.mask)


def _with_videos(folder):
    """The folder that holds the videos' folders: itself, or that of a resolution, 480p before others."""
    folder = reading.need(folder, "folder", REMEDY)
    resolutions = sorted((p for p in folder.glob("[0-9]*p") if p.is_dir()), key=lambda p: (p.name != "480p", p.name))
    resolutions += [folder / "Full-Resolution"] if (folder / "Full-Resolution").is_dir() else []
    return resolutions[0] if resolutions else folder


def _videos(root, split, folder):
    lists = sorted(root.glob(f"ImageSets/**/{split}.txt"), reverse=True)  # 480p before 2016 and 2017: with what is annotated
    if lists:  # lines are names of videos, or of frames in /JPEGImages/480p/<video>/
        named = [word.split("/")[-2] if "/" in word else word for line in tables.read_text(lists[0]).splitlines() for word in line.split()[:1]]
        videos = list(dict.fromkeys(named))
        reading.refuse([video in (".", "..") for video in videos], lists[0], "names the video {}: get the file again", videos)
    elif (root / "ImageSets").is_dir():
        raise InputError(f"There is no list {split!r} below {root / 'ImageSets'}: name another split.")
    else:
        videos = sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not videos:
        raise InputError(f"{folder} holds no folders of frames: {REMEDY}")
    return videos


def _spaced(paths, n):
    return [paths[row] for row in np.unique(np.linspace(0, len(paths) - 1, n).round().astype(int))] if n else paths
