"""One shape for every benchmark: pictures, the objects on them, queries, and which database images are right."""

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd
from PIL import Image

from foir_lib.data import checks, contents
from foir_lib.data.checks import COLUMNS, CORNERS, UNITS, corners, plain
from foir_lib.data.masks import decode, usable
from foir_lib.data.protocol import Protocol
from foir_lib.errors import InputError, parsing
from foir_lib.images import open_image
from foir_lib.notices import Notice
from foir_lib.prompts import Box, Mask


@dataclass(frozen=True, eq=False)
class RetrievalSet:
    """A benchmark: tables of pictures, objects and queries, and named protocols.

    images: image_id (int or str, unique), path, width, height (pixels), split (query, database or both).
    objects: image_id, label, x0, y0, x1, y1 (pixels, exclusive end, inside the picture), ignore (crowd or
    difficult), segmentation (None, COCO polygons or COCO RLE). queries: image_id, prompt (Box), label,
    object (its row in objects, or -1). protocols: name -> Protocol; "contains" is the one of PHS.
    settings: numbers that belong to the data (checks.SETTINGS), e.g. the unit of the queries, or local features a picture.
    notices: what was left out, turned or guessed while the files were read, counted by reason.
    A set without objects may have no queries: one's own photographs, searched with one's own prompts.

    Everything is checked here, once; InputError says what is wrong and where.
    """

    name: str
    images: pd.DataFrame
    objects: pd.DataFrame
    queries: pd.DataFrame
    protocols: dict[str, Protocol]
    settings: dict = field(default_factory=dict)
    notices: tuple[Notice, ...] = ()

    def __post_init__(self):
        tables = {name: checks.columns(self.name, name, getattr(self, name)) for name in COLUMNS}
        with parsing(f"{self.name}: its tables hold values of another type", "give ids, numbers and text as RetrievalSet says"):
            images = checks.images(self.name, tables["images"])
            objects = checks.objects(self.name, tables["objects"], images)
            queries = checks.queries(self.name, tables["queries"], images, objects)
        for name, table in zip(COLUMNS, (images, objects, queries), strict=True):
            object.__setattr__(self, name, table)
        checks.protocols(self.name, self.protocols, len(queries), len(self.database))
        checks.settings(self.name, self.settings)

    @cached_property
    def database(self) -> pd.DataFrame:
        """Rows of images that are searched, in order, index from 0: what Ranking and Protocol count by."""
        return self.images[self.images["split"] != "query"].reset_index(drop=True)

    @cached_property
    def query_images(self) -> pd.DataFrame:
        """Rows of images that queries may point into, in order, index from 0."""
        return self.images[self.images["split"] != "database"].reset_index(drop=True)

    @property
    def unit(self) -> str:
        """What queries are independent by: "picture" (those on one picture belong together), "landmark" or "thing"."""
        return self.settings.get("unit", "picture")

    @cached_property
    def units(self) -> np.ndarray:
        """The :attr:`unit` of each query as a number from 0, int (Q,); a part, "palace/portal", belongs to its landmark."""
        names = self.queries[UNITS[self.unit]]
        return pd.factorize(names.str.partition("/")[0] if self.unit == "landmark" else names)[0]

    @cached_property
    def _image_row(self):
        return {image_id: row for row, image_id in enumerate(self.images["image_id"])}

    @cached_property
    def _object_counts(self):
        objects = self.objects
        return objects["image_id"][~objects["ignore"].astype(bool)].value_counts().to_dict()

    def _row(self, image_id):
        if image_id not in self._image_row:
            first = plain(self.images["image_id"].iloc[0])
            remedy = f"choose one of images.image_id, e.g. {first!r}"
            raise InputError(f"{self.name} has no image {plain(image_id)!r}: {remedy}.")
        return self._image_row[image_id]

    def open(self, image_id: int | str, longest: int | None = None) -> Image.Image:
        """The picture as RGB PIL image; with ``longest``, a small copy of at most so many pixels on its longer side.

        Raises InputError for an unknown id or a broken file, and for a query image whose file has
        another size than the table says (its prompts would point elsewhere).
        """
        path, width, height, split = self.images[["path", "width", "height", "split"]].iloc[self._row(image_id)]
        picture = open_image(path, longest=longest)
        if longest is None and split != "database" and picture.size != (width, height):
            sizes = f"{picture.width} x {picture.height} pixels, its annotation says {width} x {height}"
            remedy = "its EXIF turns it, load the set with check_files=True" if picture.size == (height, width) else "use the original file"
            raise InputError(f"Picture {path} is {sizes}: {remedy}.")
        return picture

    def n_objects(self, image_id: int | str) -> int:
        """Number of objects of an image, without ignored ones (crowd, difficult)."""
        self._row(image_id)
        return self._object_counts.get(image_id, 0)

    def mask(self, object_row: int) -> Mask:
        """Segmentation of an object (row of objects) as Mask of the picture's size; a sliver that covers no
        whole pixel becomes its box. Raises InputError without a segmentation or with a broken one.
        """
        if not 0 <= object_row < len(self.objects):
            raise InputError(f"{self.name} has no object {object_row}: rows go from 0 to {len(self.objects) - 1}.")
        item = self.objects.iloc[int(object_row)]
        what = f"Object {object_row} ({item['label']}) of image {plain(item['image_id'])!r}"
        if not isinstance(item["segmentation"], (list, tuple, dict)) or not item["segmentation"]:
            raise InputError(f"{what} has no segmentation: use its box as the prompt.")
        size = tuple(int(n) for n in self.images[["width", "height"]].iloc[self._row(item["image_id"])])
        pixels = decode(item["segmentation"], size, what)
        return Mask(pixels if pixels.any() else Box(*item[CORNERS]).pixels(size))

    def has_mask(self, object_rows: np.ndarray) -> np.ndarray:
        """For which of some rows of objects, int (n,), :meth:`mask` can be had: bool (n,), False for -1, no object."""
        rows = np.asarray(object_rows, dtype=np.int64)
        image_ids, outlines = (self.objects[key].to_numpy()[rows[rows >= 0]] for key in ("image_id", "segmentation"))
        at = np.array([self._image_row[image_id] for image_id in image_ids], dtype=int)
        sizes = [self.images[side].to_numpy()[at].tolist() for side in ("width", "height")]
        has = np.zeros(len(rows), dtype=bool)
        has[rows >= 0] = [usable(outline, size) for outline, *size in zip(outlines, *sizes, strict=True)]
        return has

    @cached_property
    def digests(self) -> dict:
        """Image id -> a digest of what its file holds (bytes). Raises MissingError without a file."""
        return dict(zip(self.images["image_id"], contents.digests(self.images["path"].tolist(), f"pictures of {self.name}")))

    def unchanged(self, image_ids) -> None:
        """Raises InputError for a picture whose file doesn't hold any more what its digest says."""
        for image_id in image_ids:
            path = self.images["path"].iloc[self._row(image_id)]
            if contents.digest(path) != self.digests[image_id]:
                raise InputError(f"Picture {path} was changed while it was being read: start again, what is done is stored.")

    @cached_property
    def content(self) -> str:
        """Hex sha256 of all that scores depend on: the :attr:`fingerprint`, labels, settings and protocols."""
        facts = [self.fingerprint, sorted(self.settings.items()), self.queries["label"].tolist()]
        facts.append(pd.util.hash_pandas_object(self.objects[["image_id", "label", "ignore"]], index=False).to_numpy().tobytes())
        for name, protocol in self.protocols.items():
            groups = [(group, protocol.positive[group].tobytes(), protocol.ignored[group].tobytes()) for group in protocol.positive]
            facts.append((name, protocol.metric, protocol.definition, protocol.groups, protocol.own.tobytes(), groups))
        return hashlib.sha256(repr(facts).encode()).hexdigest()

    @cached_property
    def fingerprint(self) -> str:
        """Hex sha256 of what features are made of: name, pictures (id, split, size, what their files hold) and prompts
        (boxes and masks of the queries). Moving the folder leaves it as it is. Raises MissingError without a file.
        """
        digest = hashlib.sha256(self.name.encode())
        for image_id, *about in self.images[["image_id", "width", "height", "split"]].itertuples(index=False, name=None):
            digest.update(repr((str(image_id), *about, self.digests[image_id])).encode())
        digest.update(repr([str(i) for i in self.queries["image_id"]]).encode())
        digest.update(corners(self.queries["prompt"]).tobytes())
        at = self.queries["object"].to_numpy(dtype=np.int64)
        for segmentation in self.objects["segmentation"].iloc[at[at >= 0]]:
            digest.update(json.dumps(segmentation, sort_keys=True, default=list).encode())
        return digest.hexdigest()
