"""This-is-My-Img (Seifi et al., "Personalization Toolkit", 2025): things of somebody's own, to be known again, and what isn't them.

    root/Single-concept/train/<thing>/*                 reference pictures: what a memory is told, the queries
    root/Single-concept/test/Positive/<thing>/*         pictures that show the thing
    root/Single-concept/test/{Negative (Hard),Negative (Other),Fake}/<thing>/*    pictures that don't

The layout that the README and loader of the authors' code name. There are no boxes: a thing is asked for by a whole picture.
Whether a negative of one thing shows another isn't said: it is wrong for its own thing and ignored for the others. The part with
several things on a picture, Multi-concept, isn't read: how its folders of pairs are named isn't documented.
"""

from dataclasses import replace
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd

from foir_lib.data.readers import pictures, reading
from foir_lib.data.sets import RetrievalSet
from foir_lib.folders import below
from foir_lib.registry import register

REMEDY = "expected Single-concept/train/<thing>/* and Single-concept/test/Positive/<thing>/*; see `foir data list`."
TRAIN, POSITIVE = "train", "test/Positive"
NEGATIVE = ("test/Negative (Hard)", "test/Negative (Other)", "test/Fake")


@register("set", "this-is-my-img")
def load(root: str | PathLike, negatives: bool = True) -> RetrievalSet:
    """This-is-My-Img, single things, as a RetrievalSet with the protocol instances: reference pictures ask for those that show the thing.

    negatives: whether the pictures of the three other folders, where they are there, are in the database. A thing without a positive
    is no query. Raises MissingError and InputError.
    """
    root = reading.need(root, "This-is-My-Img folder", REMEDY)
    root = reading.need(root / "Single-concept" if (root / "Single-concept").is_dir() else root, "folder Single-concept", REMEDY)
    parts = [TRAIN, POSITIVE, *(part for part in NEGATIVE if negatives and (root / part).is_dir())]
    rows = pd.concat([_part(root, part) for part in parts], ignore_index=True)
    rows = rows[rows["label"].isin(rows["label"][rows["part"] == POSITIVE])].reset_index(drop=True)
    sizes = pictures.sizes(rows["path"].tolist(), "this-is-my-img")
    images = pictures.table(rows["image_id"], rows["path"], "", sizes).assign(split=np.where(rows["part"] == TRAIN, "query", "database"))
    shows = rows["part"].isin((TRAIN, POSITIVE)).to_numpy()
    result = reading.instance_set("this-is-my-img", images, reading.whole_pictures(images[shows], rows["label"][shows]))
    rules, others = result.protocols["instances"], rows[(rows["part"] != TRAIN).to_numpy()].reset_index(drop=True)
    ignored = {label: np.flatnonzero((others["part"] != POSITIVE) & (others["label"] != label)) for label in rules.positive}
    return replace(result, protocols={"instances": replace(rules, ignored=ignored)})


def _part(root, part):
    """Table image_id, path, label, part of the pictures in the folders of things of a part."""
    folder = reading.need(root / part, f"folder {part} of This-is-My-Img", REMEDY)
    places = [Path(path).relative_to(folder) for path in below(folder)]
    lone = [len(place.parts) != 2 for place in places]
    reading.refuse(lone, folder, "holds {}, which is not in the folder of a thing: keep the layout <thing>/<picture>", [p.as_posix() for p in places])
    ids = [f"{part}/{place.as_posix()}" for place in places]
    return pd.DataFrame({"image_id": ids, "path": [str(folder / place) for place in places], "label": [p.parts[0] for p in places], "part": part})
