"""Small copies of database pictures as bytes for the browser, read once and cached."""

import io
from collections import OrderedDict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from foir_lib.data.sets import RetrievalSet
from foir_lib.errors import FoirError, InputError
from foir_lib.prompts import Box
from foir_lib.view.figures.looks import BLUE

THREADS = 2


class Thumb(NamedTuple):
    """``image``: bytes of a JPEG, none of a picture that can't be opened; ``problem``: why it can't, or ""."""

    image: bytes
    problem: str = ""


def encoded(picture: Image.Image, longest: int, kind: str = "JPEG", quality: int = 85) -> bytes:
    """A copy of ``picture`` as bytes of a file (of a PNG in its own mode), at most ``longest`` pixels on its longer side."""
    small, file = picture.copy() if kind == "PNG" else picture.convert("RGB"), io.BytesIO()
    small.thumbnail((longest, longest))
    small.save(file, kind, quality=quality)
    return file.getvalue()


def marked(picture: Image.Image, box: Box, size: tuple[int, int], longest: int) -> bytes:
    """A small picture with a blue frame around a box, which is in pixels of the whole picture of ``size``; bytes of a JPEG."""
    small = ImageOps.contain(picture, (longest, longest))
    scale = np.divide(small.size, size)
    start = np.maximum((box.x0, box.y0) * scale, 6)  # outside the box, but on the picture
    end = np.maximum(np.minimum((box.x1, box.y1) * scale, np.array(small.size) - 7), start)
    for reach, colour, width in ((6, "white", 8), (4, BLUE, 4)):
        ImageDraw.Draw(small).rectangle((*(start - reach), *(end + reach)), outline=colour, width=width)
    return encoded(small, longest)


class Thumbs:
    """Thumbnails of a set's pictures by image id; the last ``keep`` of them stay in memory."""

    def __init__(self, retrieval_set: RetrievalSet, longest: int = 128, keep: int = 4096):
        if longest < 1 or keep < 1:
            raise InputError(f"Thumbnails of {longest} pixels, {keep} kept: both must be at least 1.")
        self.set, self.longest, self.keep = retrieval_set, longest, keep
        self._cache, self._pool = OrderedDict(), ThreadPoolExecutor(THREADS, "thumbs")

    def __len__(self):
        return len(self._cache)

    def get(self, image_ids: Iterable) -> list[Thumb]:
        """A :class:`Thumb` for each image id."""
        image_ids = list(image_ids)
        missing = [i for i in dict.fromkeys(image_ids) if i not in self._cache]
        self._cache.update(zip(missing, self._pool.map(self._read, missing), strict=True))
        for image_id in image_ids:
            self._cache.move_to_end(image_id)
        thumbs = [self._cache[i] for i in image_ids]
        while len(self._cache) > self.keep:
            self._cache.popitem(last=False)
        return thumbs

    def close(self) -> None:
        """Let the threads go and forget the thumbnails; :meth:`get` raises RuntimeError from then on."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._cache.clear()

    def _read(self, image_id):
        try:
            return Thumb(encoded(self.set.open(image_id, longest=self.longest), self.longest))
        except (FoirError, OSError) as error:
            return Thumb(b"", str(error))
