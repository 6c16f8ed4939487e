"""Which pixels of a database picture show what a query asks for, as COCO RLE, worked out when they are asked for."""

from collections.abc import Callable, Iterator, Mapping
from functools import cache

import numpy as np
from pycocotools import mask as rle

from foir_lib.data import masks
from foir_lib.data.checks import CORNERS, plain
from foir_lib.data.sets import RetrievalSet
from foir_lib.errors import InputError, unknown


class TrueMasks(Mapping):
    """Positive database row -> true pixels as compressed COCO RLE, of one query; lazy."""

    def __init__(self, rows: np.ndarray, mask_of: Callable[[int], dict]):
        self.rows, self.mask_of = frozenset(np.asarray(rows).tolist()), mask_of

    def __getitem__(self, row: int) -> dict:
        if row not in self.rows:
            raise KeyError(row)
        return self.mask_of(int(row))

    def __contains__(self, row: object) -> bool:
        return row in self.rows

    def __iter__(self) -> Iterator[int]:
        return iter(sorted(self.rows))

    def __len__(self) -> int:
        return len(self.rows)


def true_masks(retrieval_set: RetrievalSet, protocol: str) -> list[TrueMasks]:
    """For each query the pixels of its thing on each positive database row of a protocol.

    They are the union of the objects with the query's label on that picture: their masks, of one without a segmentation its box.
    Queries of one label share them. Raises InputError for an unknown protocol; when asked for a picture, if it holds no such
    object or a broken segmentation.
    """
    if protocol not in retrieval_set.protocols:
        raise unknown(f"protocol of {retrieval_set.name}", protocol, retrieval_set.protocols)
    objects, labels = retrieval_set.objects, retrieval_set.queries["label"].to_numpy()
    wanted = np.flatnonzero(objects["label"].isin(labels))
    rows_of = objects.iloc[wanted].groupby(["image_id", "label"], sort=False).indices
    pictures = retrieval_set.database[["image_id", "width", "height"]]

    @cache
    def mask(label, row):
        image_id, *size = pictures.iloc[row]
        if (image_id, label) not in rows_of:
            fact = f"has no object {label!r} on the picture {plain(image_id)!r}, which is right for it"
            raise InputError(f"{retrieval_set.name} {fact}: give boxes or masks of the things on its database pictures.")
        return masks.union([object_mask(retrieval_set, at, size) for at in wanted[rows_of[image_id, label]]])

    def mask_of(label):
        return lambda row: mask(label, row)

    rules = retrieval_set.protocols[protocol]
    return [TrueMasks(rules.positives(query), mask_of(label)) for query, label in enumerate(labels)]


def object_mask(retrieval_set: RetrievalSet, object_row: int, size: tuple[int, int]) -> dict:
    """Compressed COCO RLE of an object (row of objects) on its picture of ``size`` (width, height): as ``RetrievalSet.mask``, or its box."""
    item, size = retrieval_set.objects.iloc[object_row], tuple(int(side) for side in size)
    if isinstance(item["segmentation"], list | tuple | dict) and item["segmentation"]:
        what = f"Object {object_row} ({item['label']}) of image {plain(item['image_id'])!r}"
        encoded = masks.encode(item["segmentation"], size, what)
        if rle.area(encoded):  # else a sliver
            return encoded
    return masks.encode_box(item[CORNERS].to_numpy(dtype=float), size)
