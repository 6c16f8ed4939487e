"""Small copies of database pictures as bytes for the browser, read once and kept."""

import io
from collections import OrderedDict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from PIL import Image, ImageDraw

from foir_lib.data.sets import RetrievalSet
from foir_lib.errors import FoirError, InputError

THREADS = 2


class Thumb(NamedTuple):
    """``image``: bytes of a JPEG; ``problem``: why it shows a cross instead of the picture, or ""."""

    image: bytes
    problem: str = ""


def jpeg(picture: Image.Image, longest: int) -> bytes:
    """A copy of ``picture`` as JPEG bytes, at most ``longest`` pixels on its longer side."""
    small, file = picture.convert("RGB"), io.BytesIO()
    small.thumbnail((longest, longest))
    small.save(file, "JPEG", quality=85)
    return file.getvalue()


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
        """A :class:`Thumb` for each image id. A picture that can't be opened is a grey field with a cross."""
        image_ids = list(image_ids)
        wanted = dict.fromkeys(image_ids)
        missing = [i for i in wanted if i not in self._cache]
        new = dict(zip(missing, self._pool.map(self._read, missing), strict=True))
        for image_id in wanted:
            wanted[image_id] = self._cache[image_id] = new.get(image_id) or self._cache[image_id]
            self._cache.move_to_end(image_id)
        while len(self._cache) > self.keep:
            self._cache.popitem(last=False)
        return [wanted[i] for i in image_ids]

    def close(self) -> None:
        """Let the threads go and forget the thumbnails; what is asked for later raises RuntimeError."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._cache.clear()

    def _read(self, image_id):
        try:
            return Thumb(jpeg(self.set.open(image_id, longest=self.longest), self.longest))
        except (FoirError, OSError) as error:
            return Thumb(_cross(self.longest), str(error))


def _cross(side):
    field = Image.new("RGB", (side, side), "#9a9a9a")
    draw, low, high = ImageDraw.Draw(field), side * 0.3, side * 0.7
    for start, stop in (((low, low), (high, high)), ((low, high), (high, low))):
        draw.line((start, stop), fill="white", width=max(1, side // 20))
    return jpeg(field, side)
