"""A detector whose answers stay on disk: it is what costs most on real photographs, and every network asks it the same."""

import hashlib
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from foir_lib.detections import Detections
from foir_lib.files import cached
from foir_lib.store.keys import code_of


@dataclass(frozen=True, eq=False)
class Recorded:
    """``detector``, asked once for each picture: boxes, scores and masks stand in the cache, named by picture, thresholds and code."""

    detector: object

    @property
    def key(self) -> str:
        return self.detector.key

    @property
    def device(self):
        return self.detector.device

    def detect(self, picture: Image.Image) -> Detections:
        """What the detector says of a picture; it must have masks."""
        pixels = hashlib.sha256(np.asarray(picture).tobytes()).hexdigest()
        key = {"detector": self.key, "code": code_of(type(self.detector)), "picture": pixels, "size": picture.size}
        with np.load(io.BytesIO(cached("detections", key, lambda: packed(self.detector.detect(picture))))) as arrays:
            boxes, scores, bits = (arrays[name] for name in ("boxes", "scores", "masks"))
        width, height = picture.size
        masks = np.unpackbits(bits, axis=1, count=width * height).reshape(-1, height, width)
        return Detections(boxes, scores, masks.astype(bool))


def packed(detections: Detections) -> bytes:
    """Detections as a compressed file, a bit for each pixel of a mask."""
    file, (n, height, width) = io.BytesIO(), detections.masks.shape
    masks = np.packbits(detections.masks.reshape(n, height * width), axis=1)
    np.savez_compressed(file, boxes=detections.boxes, scores=detections.scores, masks=masks)
    return file.getvalue()
