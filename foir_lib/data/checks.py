"""What the tables of a RetrievalSet must be: every check says in words what is wrong and where."""

import math
from collections.abc import Iterable
from functools import partial
from numbers import Real

import numpy as np
import pandas as pd

from foir_lib.data.protocol import Protocol
from foir_lib.data.values import flags, labels
from foir_lib.errors import InputError, count, unknown
from foir_lib.prompts import Box

CORNERS = ["x0", "y0", "x1", "y1"]
COLUMNS = {
    "images": ["image_id", "path", "width", "height", "split"],
    "objects": ["image_id", "label", *CORNERS, "ignore", "segmentation"],
    "queries": ["image_id", "prompt", "label", "object"],
}
SPLITS = ("query", "database", "both")
UNITS = {"picture": "image_id", "landmark": "label", "thing": "label"}  # what queries are independent by, and its column of the queries
SHARES = "lies in the first pixel, as most do: give pixels, multiply shares of the picture by its width and height"
COUNTS = ("noise_pixels", "n_features", "n_kept", "n_words", "codebook_features", "n_asking", "n_training", "n_neighbours", "n_keypoints")
TEXTS = {"training": "training pictures", "objects": "a detector, or boxes or tokens", "masks": "a segmenter, or own or boxes", "patches": "a ViT"}  # what a setting names
SETTINGS = (*COUNTS, *TEXTS, "enlarged", "unit")


def columns(name: str, table: str, frame: pd.DataFrame) -> pd.DataFrame:
    """The table with its rows numbered from 0. Raises InputError when it lacks one of its COLUMNS."""
    missing = [column for column in COLUMNS[table] if column not in getattr(frame, "columns", ())]
    if missing:
        raise InputError(f"{name}: table {table} lacks the column {missing[0]}; it needs {', '.join(COLUMNS[table])}.")
    return frame.reset_index(drop=True)


def images(name: str, frame: pd.DataFrame) -> pd.DataFrame:
    """The images table with whole-numbered sizes. Raises InputError for bad ids, splits and sizes, or no database."""
    refuse = partial(_refuse, name, "images", frame)
    if not len(frame):
        raise InputError(f"{name} has no images: check the data root.")
    refuse(frame["image_id"].isna(), "has no id: give every image an id")
    refuse(frame["image_id"].duplicated(), "is there twice: ids must be unique")
    refuse(~frame["split"].isin(SPLITS), f"has an unknown split: it must be one of {', '.join(SPLITS)}")
    sizes = frame[["width", "height"]].apply(pd.to_numeric, errors="coerce")
    unusable = ~(sizes >= 1).all(axis=1) | (sizes % 1 != 0).any(axis=1)
    refuse(unusable, "has no usable size: width and height must be whole numbers of pixels above 0")
    if (frame["split"] == "query").all():
        raise InputError(f"{name} has no database: at least one image needs the split database or both.")
    return frame.assign(**sizes.astype(np.int64))


def objects(name: str, frame: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """The objects table with float boxes. Raises InputError for unknown images, no label, boxes that don't fit."""
    frame = frame.assign(label=labels(frame["label"]), ignore=flags(frame["ignore"], f"{name}: ignore of objects"))
    frame = frame.assign(**frame[CORNERS].apply(pd.to_numeric, errors="coerce").astype(np.float64))
    refuse = partial(_refuse, name, "objects", frame)
    rows = pd.Index(images["image_id"]).get_indexer(frame["image_id"])
    refuse(rows < 0, "is in no images table: every object needs its image")
    refuse(_nameless(frame["label"]), "has no label: give every object a name")
    x0, y0, x1, y1 = frame[CORNERS].to_numpy().T
    refuse(~np.isfinite(x0 + y0 + x1 + y1), "is not made of finite numbers: give four pixel positions")
    refuse((x1 <= x0) | (y1 <= y0), "is empty: x1 must be greater than x0 and y1 greater than y0")
    refuse(_outside((x0, y0, x1, y1), images, rows), "reaches outside its picture: clip it to the width and height")
    return frame


def queries(name: str, frame: pd.DataFrame, images: pd.DataFrame, objects: pd.DataFrame) -> pd.DataFrame:
    """The queries table with whole object rows. Raises InputError for prompts, images or objects that don't fit."""
    frame = frame.assign(label=labels(frame["label"]))
    refuse = partial(_refuse, name, "queries", frame)
    if not len(frame):
        if len(objects):
            raise InputError(f"{name} has no queries: no query image holds an object that may be a query.")
        return frame
    rows = pd.Index(images["image_id"]).get_indexer(frame["image_id"])
    refuse(rows < 0, "is in no images table: every query needs its image")
    hidden = (images["split"] == "database").to_numpy()[rows]
    refuse(hidden, "is a database image: a query needs an image of split query or both")
    refuse(_nameless(frame["label"]), "has no label: give every query a name")
    no_box = [not isinstance(prompt, Box) for prompt in frame["prompt"]]
    refuse(no_box, "has a prompt that is no Box: give Box(x0, y0, x1, y1)")
    boxes, sizes = corners(frame["prompt"]), images[["width", "height"]].to_numpy()[rows]
    within = shares(boxes, sizes)
    refuse(within & (2 * within.sum() > len(frame)), f"has a prompt that {SHARES}")
    outside = _outside(boxes.T, images, rows)
    refuse(outside, "has a prompt that reaches outside its picture: clip it")
    at = pd.to_numeric(frame["object"], errors="coerce").to_numpy(dtype=float)
    stray = ~((at >= -1) & (at < len(objects)) & (at % 1 == 0))
    refuse(stray, "names no row of objects: give its row, or -1 for none")
    at = at.astype(np.int64)
    both, other = ["image_id", "label"], np.zeros(len(frame), dtype=bool)
    other[at >= 0] = (objects[both].iloc[at[at >= 0]].to_numpy() != frame[both][at >= 0].to_numpy()).any(axis=1)
    refuse(other, "names an object of another image or label: row and label must agree")
    return frame.assign(object=at)


def protocols(name: str, protocols: dict[str, Protocol], n_queries: int, n_database: int) -> None:
    """Raises InputError for a protocol that speaks of other queries or database rows than there are."""
    for key, protocol in protocols.items():
        if len(protocol.groups) != n_queries:
            speaks = f"speaks of {len(protocol.groups)} queries, the table has {n_queries}"
            raise InputError(f"{name}: protocol {key!r} {speaks}.")
        rows = [*protocol.positive.values(), *protocol.ignored.values(), protocol.own]
        last = max((int(r.max()) for r in rows if len(r)), default=-1)
        if last >= n_database:
            names = f"names database row {last}, the database has {n_database} images"
            raise InputError(f"{name}: protocol {key!r} {names}.")


def settings(name: str, settings: dict) -> None:
    """Raises InputError for a setting that isn't one of SETTINGS, or is no value of its kind."""
    for key, value in settings.items():
        if key not in SETTINGS:
            raise unknown(f"setting of {name}", key, SETTINGS)
        if key in COUNTS:
            count(value, f"{name}: the setting {key}")
        elif key == "enlarged" and not (type(value) is not bool and isinstance(value, Real) and 0 < value < math.inf):
            raise InputError(f"{name}: the setting enlarged={value!r} must be a factor above 0.")
        elif key in TEXTS and not (isinstance(value, str) and value):
            raise InputError(f"{name}: the setting {key}={value!r} must be the name of {TEXTS[key]}.")
        elif key == "unit" and value not in UNITS:
            raise unknown(f"unit for the queries of {name}", value, UNITS)


def shares(boxes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Which boxes (n, 4) in pixels are probably shares of pictures of ``sizes`` (n, 2): those in the first pixel, bool (n,)."""
    return ((boxes >= 0) & (boxes <= 1.5)).all(1) & (boxes != np.round(boxes)).any(1) & (sizes > 2).all(1)


def corners(boxes: Iterable[Box]) -> np.ndarray:
    """Boxes as float64 (n, 4)."""
    return np.array([(b.x0, b.y0, b.x1, b.y1) for b in boxes], dtype=np.float64).reshape(-1, 4)


def plain(image_id: int | str | np.generic) -> int | str:
    """An id as plain int or str: sentences say 7, not np.int64(7)."""
    return image_id.item() if isinstance(image_id, np.generic) else image_id


def _refuse(name, table, frame, bad, problem):
    """Raise InputError for the first row of a table where ``bad`` (bool per row), counting them all."""
    bad = np.asarray(bad, dtype=bool)
    if not bad.any():
        return
    row = int(bad.argmax())
    image_id, where = frame["image_id"].iloc[row], f"{table} row {row}"
    if table == "objects":
        box = ", ".join(f"{v:g}" for v in frame[CORNERS].iloc[row])
        where += f", label {frame['label'].iloc[row]!r}, box ({box})"
    more = f" ({bad.sum()} such rows)" if bad.sum() > 1 else ""
    raise InputError(f"{name}: image {plain(image_id)!r} ({where}) {problem}{more}.")


def _outside(corners, images, rows):
    """True for every box of ``corners`` (4, n) that leaves its picture, which stands at ``rows`` of images."""
    x0, y0, x1, y1 = corners
    width, height = images[["width", "height"]].to_numpy()[rows].T
    return (x0 < 0) | (y0 < 0) | (x1 > width) | (y1 > height)


def _nameless(labels):
    return np.array([not isinstance(label, str) or not label.strip() for label in labels], dtype=bool)
