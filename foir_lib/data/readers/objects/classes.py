"""A folder for each class, as ImageNet has them: the whole of each picture is a view of the class that its folder is named after.

    root/<class>/**/*.jpg
"""

from os import PathLike
from pathlib import Path

import numpy as np

from foir_lib.data.readers import pictures, reading
from foir_lib.data.sets import RetrievalSet
from foir_lib.errors import InputError, count
from foir_lib.folders import below
from foir_lib.registry import register

REMEDY = "give a folder that holds a folder of pictures for each class."


@register("set", "classes")
def load(root: str | PathLike, n_each: int = 0, seed: int = 0) -> RetrievalSet:
    """A folder per class as a RetrievalSet; image ids are the paths below ``root``. n_each: so many pictures of each class, drawn with ``seed``;
    0 for all. Raises MissingError without a folder, InputError for one without two classes, and for pictures that can't be read."""
    root, rng = reading.need(root, "folder", REMEDY), np.random.default_rng(count(seed, "seed", 0))
    folders, paths = sorted(path for path in Path(root).iterdir() if path.is_dir()), []
    count(n_each, "n_each", 0)
    for folder in folders:
        some = below(folder)
        paths += [some[i] for i in sorted(rng.permutation(len(some))[: n_each or None])]
    ids = [Path(path).relative_to(root).as_posix() for path in paths]
    labels = [name.split("/")[0] for name in ids]
    if len(set(labels)) < 2:
        raise InputError(f"{root} has {len(set(labels))} folders with pictures: {REMEDY}")
    sizes = pictures.sizes(paths, "classes")
    images = pictures.table(ids, paths, "both", sizes)
    return reading.make_set("classes", images, reading.whole_pictures(images, labels))
