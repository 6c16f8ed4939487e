"""What a part's pictures hold, object by object: annotated boxes, groups of patch tokens, or what a detector says.

Detections are kept in the feature store, so a detector sees a picture once, whatever methods follow.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from foir_lib import registry
from foir_lib.detections import Detections
from foir_lib.errors import InputError
from foir_lib.files import as_path
from foir_lib.methods import decomposition
from foir_lib.notices import note
from foir_lib.prompts import Box, patch_shares
from foir_lib.store.features import array_digest

ANNOTATED, TOKENS = "boxes", "tokens"
MOST = 300  # objects of a picture that are kept of a detector, the surest first
SIDE = 24  # a detector's mask is kept as SIDE x SIDE bits of its box


@dataclass(frozen=True, eq=False)
class Objects:
    """Objects of ``n`` pictures, picture by picture: boxes (M, 4) in pixels, inside their pictures, scores (M,), owner (M,): the row
    of each one's picture, rising. ``pixels(m)``: its mask, bool (height, width), its box where it has none; ``masked`` (M,) bool;
    ``digest``: names it all.
    """

    n: int
    boxes: np.ndarray
    scores: np.ndarray
    owner: np.ndarray
    masked: np.ndarray
    pixels: Callable[[int], np.ndarray]
    digest: str

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, row: int) -> Detections:
        """The :class:`Detections` of a picture, with masks where it has objects and all of them have one."""
        at = np.flatnonzero(self.owner == range(self.n)[row])
        masks = np.stack([self.pixels(m) for m in at]) if len(at) and self.masked[at].all() else None
        return Detections(self.boxes[at], self.scores[at], masks)

    def of(self, row: int) -> "Objects":
        """Those of a picture by itself: of a part with that one picture."""
        at = np.flatnonzero(self.owner == range(self.n)[row])
        arrays = (self.boxes[at], self.scores[at], np.zeros(len(at), int), self.masked[at])
        return Objects(1, *arrays, lambda m: self.pixels(at[m]), f"{self.digest}, {row}")


def decompose(corpus, name: str = TOKENS, pictures=None) -> Objects:
    """The :class:`Objects` of the database, or of another part without prompts.

    ``name``: "boxes" (annotated ones: an oracle), "tokens" (groups of patch tokens, which need no detector), or a detector, see
    :func:`detector_of`. Raises InputError for an unknown name, and what a detector raises that can't be had.
    """
    pictures = corpus.database if pictures is None else pictures
    return corpus.learned(("objects", name, pictures), lambda: _decomposed(corpus, name, pictures))


def detector_of(corpus, name: str):
    """The detector of a name or place, see models/segmenters."""
    return corpus.learned(("detector", name), lambda: _loaded("detector", name, corpus.model.device))


def segmenter_of(corpus, name: str):
    """The segmenter of a name or place, see models/segmenters."""
    return corpus.learned(("segmenter", name), lambda: _loaded("segmenter", name, corpus.model.device))


def check_name(option: str, value: str, kind: str, own: tuple[str, ...]) -> None:
    """Raises InputError for a ``value`` of an option that is none of ``own``, no registered ``kind`` and no place.

    A segmenter's name with "-grid" behind it is a detector.
    """
    if value in own or "/" in value or as_path(value or "-").exists():
        return
    known = [*own, *registry.names(kind), *(f"{name}-grid" for name in registry.names("segmenter") if kind == "detector")]
    if value not in known:
        raise InputError(f"{option}={value!r} is no {kind}: choose one of {', '.join(known)}, or a folder with one's weights.")


@dataclass(frozen=True)
class Tokens:
    """The detector that needs none: groups of patch tokens of a ViT, on tiles of a picture at its full resolution."""

    model: object

    @property
    def key(self) -> str:
        return f"token groups of {self.model.key}"

    @torch.inference_mode()
    def features(self, picture) -> np.ndarray:
        """Patch tokens after the last norm (and projection), unit length, (rows, columns, d), of all tiles of a picture."""
        model = self.model
        boxes, (down, across) = decomposition.tiles(picture.size, model.image_size)
        x = torch.stack([model.preprocess(picture.crop(box)) for box in boxes])
        (part,) = model.tap(model.tokens(x, model.depth - 1), ("tokens",))
        z = model.readout(part["tokens"][:, model.n_prefix :], model.projects).unflatten(1, model.grid)
        return z.unflatten(0, (down, across)).transpose(1, 2).flatten(2, 3).flatten(0, 1).float().cpu().numpy()

    def detect(self, picture) -> Detections:
        """The groups of a picture as boxes with masks."""
        groups = decomposition.groups(self.features(picture))
        boxes = [decomposition.box_of(mask, picture.size) for mask in groups.masks]
        masks = [_enlarged(mask, picture.size) for mask in groups.masks]
        return Detections(np.array(boxes, np.float32).reshape(-1, 4), groups.scores, np.array(masks, bool).reshape(-1, *picture.size[::-1]))


def _decomposed(corpus, name, pictures):
    if name == ANNOTATED:
        return _annotated(corpus.set, pictures)
    detector = Tokens(corpus.model) if name == TOKENS else detector_of(corpus, name)

    def describe(row):
        return _stored(detector.detect(pictures.open(row)), pictures.sizes[row].tolist())

    features = pictures.each(f"objects: {detector.key}", describe, type(detector))
    count = features.read("count")
    at = np.arange(features.layout["boxes"][1][0]) < count[:, None]
    owner, boxes, masks = np.repeat(np.arange(len(pictures)), count), features.read("boxes")[at], features.read("masks")[at]
    masked = features.read("masked")[owner]

    def pixels(m):
        size = tuple(pictures.sizes[owner[m]].tolist())
        x0, y0, x1, y1 = _touched(boxes[m])
        inside = Box(*boxes[m].tolist()).pixels(size)
        if masked[m]:
            inside[y0:y1, x0:x1] = _enlarged(np.unpackbits(masks[m]).reshape(SIDE, SIDE) > 0, (x1 - x0, y1 - y0))
        return inside

    return Objects(len(pictures), boxes, features.read("scores")[at], owner, masked, pixels, array_digest(boxes, owner, masks, masked))


def _annotated(retrieval_set, pictures):
    objects, row_of = retrieval_set.objects, {image_id: row for row, image_id in enumerate(pictures.ids)}
    owner = objects["image_id"].map(row_of).fillna(-1).to_numpy().astype(int)
    at = np.flatnonzero((owner >= 0) & ~objects["ignore"].to_numpy().astype(bool))
    at = at[np.argsort(owner[at], kind="stable")]
    boxes, owner = objects[["x0", "y0", "x1", "y1"]].to_numpy(np.float32)[at], owner[at]
    masked = retrieval_set.has_mask(at)
    outlines = [outline if has else None for outline, has in zip(objects["segmentation"].iloc[at], masked)]

    def pixels(m):
        return retrieval_set.mask(at[m]).array if masked[m] else Box(*boxes[m].tolist()).pixels(tuple(pictures.sizes[owner[m]].tolist()))

    outline = hashlib.sha256(json.dumps(outlines, default=list).encode()).hexdigest()[:16]
    return Objects(len(pictures), boxes, np.ones(len(at), np.float32), owner, masked, pixels, f"{array_digest(boxes, owner)} {outline}")


def _stored(detections, size):
    """Detections as arrays of one size: those on the picture, the surest first."""
    boxes = np.clip(detections.boxes, 0, np.array([*size, *size], np.float32))
    on = np.flatnonzero((boxes[:, 2:] > boxes[:, :2]).all(1))
    on = on[np.argsort(-detections.scores[on], kind="stable")]
    if len(on) > MOST:
        note(f"objects beyond the {MOST} surest of their picture are left out", n=len(on) - MOST)
    on = on[:MOST]
    arrays = {"boxes": np.zeros((MOST, 4), np.float32), "scores": np.zeros(MOST, np.float32), "masks": np.zeros((MOST, SIDE * SIDE // 8), np.uint8)}
    arrays["boxes"][: len(on)], arrays["scores"][: len(on)] = boxes[on], detections.scores[on]
    for i, m in enumerate(on if detections.masks is not None else ()):
        x0, y0, x1, y1 = _touched(boxes[m])
        arrays["masks"][i] = np.packbits(patch_shares(detections.masks[m, y0:y1, x0:x1], (SIDE, SIDE)) >= 0.5)
    return arrays | {"count": np.int64(len(on)), "masked": np.bool_(detections.masks is not None)}


def _touched(box):
    x0, y0, x1, y1 = box.tolist()
    return int(np.floor(x0)), int(np.floor(y0)), int(np.ceil(x1)), int(np.ceil(y1))


def _enlarged(mask, size):
    """A mask of cells on the pixels of a ``size`` (width, height) that they divide."""
    (rows, columns), (width, height) = mask.shape, size
    down, across = ((2 * np.arange(n) + 1) * cells // (2 * n) for n, cells in ((height, rows), (width, columns)))
    return mask[np.ix_(down, across)]


def _loaded(kind, name, device):
    from foir_lib.models import segmenters  # not above: it takes seconds, and most methods need none

    return (segmenters.load_detector if kind == "detector" else segmenters.load_segmenter)(name, device)
