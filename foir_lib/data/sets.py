"""One shape for every benchmark: pictures, what is on them, what is asked, and which answers are right."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from foir_lib.data.masks import decode
from foir_lib.errors import InputError, MissingError
from foir_lib.images import open_image
from foir_lib.prompts import Box, Mask

CORNERS = ["x0", "y0", "x1", "y1"]
COLUMNS = {
    "images": ["image_id", "path", "width", "height", "split"],
    "objects": ["image_id", "label", *CORNERS, "ignore", "segmentation"],
    "queries": ["image_id", "prompt", "label", "object"],
}
SPLITS = ("query", "database", "both")


@dataclass(frozen=True, eq=False)
class RetrievalSet:
    """A benchmark: tables of pictures, objects and queries, and named protocols.

    images: image_id (int or str, unique), path, width, height (pixels), split (query, database or both).
    objects: image_id, label, x0, y0, x1, y1 (pixels, exclusive end, inside the picture), ignore (crowd or
    difficult), segmentation (None, COCO polygons or COCO RLE). queries: image_id, prompt (Box), label,
    object (its row in objects, or -1). protocols: name -> Protocol; "contains" is the one of PHS.
    A set without objects may have no queries: one's own photographs, searched with one's own prompts.

    Everything is checked here, once; InputError says what is wrong and where.
    """

    name: str
    images: pd.DataFrame
    objects: pd.DataFrame
    queries: pd.DataFrame
    protocols: dict

    def __post_init__(self):
        for table, columns in COLUMNS.items():
            frame = getattr(self, table)
            missing = [column for column in columns if column not in getattr(frame, "columns", ())]
            if missing:
                raise InputError(
                    f"{self.name}: table {table} lacks the column {missing[0]}; it needs {', '.join(columns)}."
                )
            object.__setattr__(self, table, frame.reset_index(drop=True))
        self._check_images()
        self._check_objects()
        self._check_queries()
        for name, protocol in self.protocols.items():
            if len(protocol.groups) != len(self.queries):
                raise InputError(
                    f"{self.name}: protocol {name!r} speaks of {len(protocol.groups)} queries, the table has {len(self.queries)}."
                )
            rows = [*protocol.positive.values(), *protocol.ignored.values(), protocol.own]
            last = max((int(r.max()) for r in rows if len(r)), default=-1)
            if last >= len(self.database):
                raise InputError(
                    f"{self.name}: protocol {name!r} names database row {last}, the database has {len(self.database)} images."
                )

    def _refuse(self, table, bad, problem):
        """Raise InputError for the first row of ``table`` where ``bad`` (bool per row), counting them all."""
        bad = np.asarray(bad, dtype=bool)
        if not bad.any():
            return
        row = int(bad.argmax())
        frame = getattr(self, table)
        image_id, where = frame["image_id"].iloc[row], f"{table} row {row}"
        if table == "objects":
            box = ", ".join(f"{v:g}" for v in frame[CORNERS].iloc[row])
            where += f", label {frame['label'].iloc[row]!r}, box ({box})"
        count = f" ({bad.sum()} such rows)" if bad.sum() > 1 else ""
        raise InputError(f"{self.name}: image {_plain(image_id)!r} ({where}) {problem}{count}.")

    def _check_images(self):
        images = self.images
        if not len(images):
            raise InputError(f"{self.name} has no images: check the data root.")
        self._refuse("images", images["image_id"].isna(), "has no id: give every image an id")
        self._refuse(
            "images", images["image_id"].duplicated(), "is there twice: ids must be unique"
        )
        self._refuse(
            "images",
            ~images["split"].isin(SPLITS),
            f"has an unknown split: it must be one of {', '.join(SPLITS)}",
        )
        sizes = images[["width", "height"]].apply(pd.to_numeric, errors="coerce")
        self._refuse(
            "images",
            ~(sizes >= 1).all(axis=1) | (sizes % 1 != 0).any(axis=1),
            "has no usable size: width and height must be whole numbers of pixels above 0",
        )
        object.__setattr__(self, "images", images.assign(**sizes.astype(np.int64)))
        if not len(self.database):
            raise InputError(
                f"{self.name} has no database: at least one image needs the split database or both."
            )

    def _check_objects(self):
        objects = self.objects.assign(
            **self.objects[CORNERS].apply(pd.to_numeric, errors="coerce").astype(np.float64)
        )
        object.__setattr__(self, "objects", objects)
        rows = pd.Index(self.images["image_id"]).get_indexer(objects["image_id"])
        self._refuse("objects", rows < 0, "is in no images table: every object needs its image")
        self._refuse(
            "objects", _nameless(objects["label"]), "has no label: give every object a name"
        )
        x0, y0, x1, y1 = objects[CORNERS].to_numpy().T
        width, height = self.images[["width", "height"]].to_numpy()[rows].T
        self._refuse(
            "objects",
            ~np.isfinite(x0 + y0 + x1 + y1),
            "is not made of finite numbers: give four pixel positions",
        )
        self._refuse(
            "objects",
            (x1 <= x0) | (y1 <= y0),
            "is empty: x1 must be greater than x0 and y1 greater than y0",
        )
        self._refuse(
            "objects",
            (x0 < 0) | (y0 < 0) | (x1 > width) | (y1 > height),
            "reaches outside its picture: clip it to the width and height",
        )

    def _check_queries(self):
        queries, images = self.queries, self.images
        if not len(queries):
            if len(self.objects):
                raise InputError(
                    f"{self.name} has no queries: no query image holds an object that may be asked for."
                )
            return
        rows = pd.Index(images["image_id"]).get_indexer(queries["image_id"])
        self._refuse("queries", rows < 0, "is in no images table: every query needs its image")
        self._refuse(
            "queries",
            (images["split"] == "database").to_numpy()[rows],
            "is a database image: a query needs an image of split query or both",
        )
        self._refuse(
            "queries", _nameless(queries["label"]), "has no label: give every query a name"
        )
        self._refuse(
            "queries",
            [not isinstance(p, Box) for p in queries["prompt"]],
            "has a prompt that is no Box: give Box(x0, y0, x1, y1)",
        )
        x0, y0, x1, y1 = _corners(queries["prompt"]).T
        width, height = images[["width", "height"]].to_numpy()[rows].T
        self._refuse(
            "queries",
            (x0 < 0) | (y0 < 0) | (x1 > width) | (y1 > height),
            "has a prompt that reaches outside its picture: clip it",
        )
        at = pd.to_numeric(queries["object"], errors="coerce").to_numpy(dtype=float)
        self._refuse(
            "queries",
            ~((at >= -1) & (at < len(self.objects)) & (at % 1 == 0)),
            "names no row of objects: give its row, or -1 for none",
        )
        object.__setattr__(self, "queries", queries.assign(object=at.astype(np.int64)))
        known = self.queries["object"].to_numpy() >= 0
        named = self.objects.iloc[self.queries["object"].to_numpy()[known]]
        other = np.zeros(len(queries), dtype=bool)
        for column in ("image_id", "label"):
            other[known] |= named[column].to_numpy() != queries[column].to_numpy()[known]
        self._refuse(
            "queries", other, "names an object of another image or label: row and label must agree"
        )

    @cached_property
    def database(self):
        """Rows of images that can be found, in order, index from 0: what Ranking and Protocol count by."""
        return self.images[self.images["split"] != "query"].reset_index(drop=True)

    @cached_property
    def query_images(self):
        """Rows of images that can be asked about, in order, index from 0."""
        return self.images[self.images["split"] != "database"].reset_index(drop=True)

    @cached_property
    def _image_row(self):
        return {image_id: row for row, image_id in enumerate(self.images["image_id"])}

    @cached_property
    def _object_counts(self):
        objects = self.objects
        return objects["image_id"][~objects["ignore"].astype(bool)].value_counts().to_dict()

    def _row(self, image_id):
        if image_id not in self._image_row:
            raise InputError(
                f"{self.name} has no image {_plain(image_id)!r}: choose one of images.image_id, e.g. {_plain(self.images['image_id'].iloc[0])!r}."
            )
        return self._image_row[image_id]

    def open(self, image_id):
        """The picture as RGB PIL image.

        Raises InputError for an unknown id or a broken file, and for a query image whose file has
        another size than the table says (its prompts would point elsewhere).
        """
        path, width, height, split = self.images[["path", "width", "height", "split"]].iloc[
            self._row(image_id)
        ]
        picture = open_image(path)
        if split != "database" and picture.size != (width, height):
            raise InputError(
                f"Picture {path} is {picture.width} x {picture.height} pixels, its annotation says {width} x {height}: use the original file."
            )
        return picture

    def n_objects(self, image_id):
        """Number of objects of an image, without ignored ones (crowd, difficult)."""
        self._row(image_id)
        return self._object_counts.get(image_id, 0)

    def mask(self, object_row):
        """Segmentation of an object (row of objects) as Mask of the picture's size; a sliver that covers no
        whole pixel becomes its box. Raises InputError without a segmentation or with a broken one.
        """
        if not 0 <= object_row < len(self.objects):
            raise InputError(
                f"{self.name} has no object {object_row}: rows go from 0 to {len(self.objects) - 1}."
            )
        item = self.objects.iloc[int(object_row)]
        what = f"Object {object_row} ({item['label']}) of image {_plain(item['image_id'])!r}"
        if not isinstance(item["segmentation"], (list, tuple, dict)) or not item["segmentation"]:
            raise InputError(f"{what} has no segmentation: use its box as the prompt.")
        size = tuple(
            int(n) for n in self.images[["width", "height"]].iloc[self._row(item["image_id"])]
        )
        pixels = decode(item["segmentation"], size, what)
        return Mask(pixels if pixels.any() else Box(*item[CORNERS]).pixels(size))

    @cached_property
    def fingerprint(self):
        """Hex sha256 of what features are made of: name, pictures (id, split, size, bytes and time of the file)
        and prompts (boxes and masks of the queries). Moving the folder leaves it as it is; MissingError without a file.
        """
        digest = hashlib.sha256(self.name.encode())
        for image_id, path, width, height, split in self.images[COLUMNS["images"]].itertuples(
            index=False, name=None
        ):
            try:
                file = Path(path).stat()
            except OSError as error:
                raise MissingError(
                    f"There is no picture at {path}: check the data root of {self.name}."
                ) from error
            digest.update(
                repr((str(image_id), width, height, split, file.st_size, file.st_mtime_ns)).encode()
            )
        digest.update(repr([str(i) for i in self.queries["image_id"]]).encode())
        digest.update(_corners(self.queries["prompt"]).tobytes())
        at = self.queries["object"].to_numpy(dtype=np.int64)
        for segmentation in self.objects["segmentation"].iloc[at[at >= 0]]:
            digest.update(json.dumps(segmentation, sort_keys=True, default=list).encode())
        return digest.hexdigest()


def _plain(image_id):
    """An id as plain int or str: sentences say 7, not np.int64(7)."""
    return image_id.item() if isinstance(image_id, np.generic) else image_id


def _nameless(labels):
    return np.array(
        [not isinstance(label, str) or not label.strip() for label in labels], dtype=bool
    )


def _corners(boxes):
    """Boxes as float64 (n, 4)."""
    return np.array([(b.x0, b.y0, b.x1, b.y1) for b in boxes], dtype=np.float64).reshape(-1, 4)
