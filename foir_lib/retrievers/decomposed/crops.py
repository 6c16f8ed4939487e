"""Crops around objects or prompts, each an item of a part of its own, so that features of crops are kept as any others are."""

from collections.abc import Callable, Iterator

import numpy as np
import torch

from foir_lib.methods.decomposition import window
from foir_lib.prompts import patch_shares
from foir_lib.retrievers.decomposed.decomposing import Objects, segmenter_of
from foir_lib.retrievers.parts import Pictures
from foir_lib.store.features import array_digest
from foir_lib.threads import Batches

OWN, BOXES = "own", "boxes"


class Crops(Pictures):
    """Crops of a part's items, picture by picture: item m shows the ``window`` around box m of item ``owner[m]`` of ``source``.

    ``boxes`` (M, 4) in pixels of the whole picture; ``pixels(m)``: mask of the object on it; ``least``: pixels that a crop has at
    least on each side; ``found`` (M,) bool: False for a whole picture that stands for objects where there are none.
    """

    unit = "crop"

    def __init__(self, source: Pictures, boxes: np.ndarray, owner: np.ndarray, pixels: Callable, found: np.ndarray, least: int, digest: str):
        sizes = source.sizes[owner].tolist()
        windows = np.array([window(box, size, least) for box, size in zip(boxes.tolist(), sizes)], dtype=int).reshape(-1, 4)
        name = f"{source.name}, crops of {least} px at least, {digest}, {array_digest(boxes, owner)}"
        super().__init__(source.corpus, name, len(boxes), self._open, source.data, windows[:, 2:] - windows[:, :2])
        self.source, self.boxes, self.owner, self.pixels, self.found, self.windows = source, boxes, owner, pixels, found, windows
        self.label = f"{source.label}, crops"

    @classmethod
    def of_objects(cls, pictures: Pictures, objects: Objects, least: int) -> "Crops":
        """Those around all objects; a picture without any is one crop, the whole."""
        empty = np.setdiff1d(np.arange(len(pictures)), objects.owner)
        whole = np.c_[np.zeros((len(empty), 2)), pictures.sizes[empty]]
        order = np.argsort(np.r_[objects.owner, empty], kind="stable")
        boxes, owner = np.r_[objects.boxes, whole][order].astype(np.float32), np.r_[objects.owner, empty][order].astype(int)
        found, n = order < len(objects.owner), len(objects.owner)

        def pixels(m):
            at = order[m]
            return objects.pixels(at) if at < n else np.ones(pictures.sizes[empty[at - n]][::-1], bool)

        return cls(pictures, boxes, owner, pixels, found, least, objects.digest)

    @classmethod
    def of_prompts(cls, part: Pictures, least: int) -> "Crops":
        """Those around the prompts of a part."""
        grid, every = part.corpus.model.grid, np.arange(len(part))
        boxes = [part.prompt(m).box(part.size(m), grid) for m in every]
        corners = np.array([(b.x0, b.y0, b.x1, b.y1) for b in boxes], np.float32)

        def pixels(m):
            prompt = part.prompt(m)
            return prompt.pixels(part.size(m), grid) if not hasattr(prompt, "window") else boxes[m].pixels(part.size(m))

        return cls(part, corners, every, pixels, np.ones(len(part), bool), least, "prompts")

    def _open(self, m):
        return self.source.open(self.owner[m]).crop(tuple(self.windows[m].tolist()))

    def rows_of(self, owners: np.ndarray) -> np.ndarray:
        """Rows of the crops of some neighbouring items of the source."""
        low, high = np.searchsorted(self.owner, [owners[0], owners[-1] + 1])
        return np.arange(low, high)

    def grouped(self, owners: np.ndarray) -> Iterator[np.ndarray]:
        """Some neighbouring items of the source, in runs of at most ``batch_size`` crops, or of one item."""
        counts = np.bincount(self.owner, minlength=owners[-1] + 1)[owners]
        run, total = [], 0
        for owner, n in zip(owners, counts):
            if run and total + n > self.corpus.batch_size:
                yield np.array(run)
                run, total = [], 0
            run, total = [*run, owner], total + n
        yield np.array(run)


def embeddings(crops: Crops):
    """Features of crops: "embedding" (M, d), after the last norm (and CLIP's projection), not of unit length."""
    model = crops.corpus.model

    def describe(rows):
        for tokens in crops.trunk(rows, 1):
            yield {"embedding": raw(model, tokens)}

    return crops.features("crop embeddings", Batches(crops, describe, plain=True))


def raw(model, tokens: torch.Tensor) -> torch.Tensor:
    """Embeddings (B, d) from tokens before the last block: of CLS after the last norm, projected by CLIP, not of unit length."""
    return model.descriptor(model.finish(tokens), project=model.projects, unit=False)


def shares(crops: Crops, masks: str = OWN):
    """Features of crops: the share of each patch that an object's mask covers, "crop" (M, N) of the crop's patches, "picture" (M, N) of
    the whole picture's.

    ``masks``: "own" (annotated, or of the detector; boxes where there are none), "boxes", or a segmenter's name.
    """
    corpus, grid = crops.corpus, crops.corpus.model.grid
    segmenter = None if masks in (OWN, BOXES) else segmenter_of(corpus, masks)

    def masks_of(rows):
        if segmenter is not None:
            picture = crops.source.open(crops.owner[rows[0]])
            masks_of_boxes = getattr(segmenter, "segments", segmenter.segment)  # one by one where the segmenter can
            return masks_of_boxes(picture, crops.boxes[rows])
        return map(crops.pixels if masks == OWN else _boxed(crops), rows)

    def make(start, stop):
        arrays = {"crop": [], "picture": []}
        for owner in np.unique(crops.owner[start:stop]):
            rows = start + np.flatnonzero(crops.owner[start:stop] == owner)
            for (x0, y0, x1, y1), mask in zip(crops.windows[rows], masks_of(rows), strict=True):
                arrays["crop"].append(patch_shares(mask[y0:y1, x0:x1], grid).ravel())
                arrays["picture"].append(patch_shares(mask, grid).ravel())
        return {name: np.array(values, np.float32) for name, values in arrays.items()}

    return crops.features(f"mask shares: {masks_key(corpus, masks)}", make, *segmenters(corpus, masks))


def segmenters(corpus, masks: str) -> list:
    """What features depend on beside :func:`masks_key`: the segmenter, by its class: its code and libraries."""
    return [] if masks in (OWN, BOXES) else [type(segmenter_of(corpus, masks))]


def masks_key(corpus, masks: str) -> str:
    """What names ``masks`` of :func:`shares` in a key."""
    return masks if masks in (OWN, BOXES) else segmenter_of(corpus, masks).key


def _boxed(crops):
    def pixels(m):
        x0, y0, x1, y1 = crops.boxes[m]
        inside = np.zeros(crops.source.sizes[crops.owner[m]][::-1], bool)
        inside[int(np.floor(y0)) : int(np.ceil(y1)), int(np.floor(x0)) : int(np.ceil(x1))] = True
        return inside

    return pixels
