"""What a view keeps of its picture: which one it was, and a small copy of its region, so that a memory outlives its pictures."""

import hashlib
import io
import math

import numpy as np
import sqlalchemy as sa
from PIL import Image
from pycocotools import mask as rle

from foir_lib.detections import as_text
from foir_lib.errors import FoirError, IntegrityError
from foir_lib.images import open_image, rgb
from foir_lib.memory.database import tables
from foir_lib.memory.database.journal import Journal
from foir_lib.memory.state import View
from foir_lib.prompts import Grid, Mask, Point, Prompt, Size, crop

LONGEST = 512  # pixels of a kept crop's longer side


def content(picture: Image.Image) -> str:
    """Names a picture by its pixels: sha256 of its size and RGB values."""
    picture = rgb(picture)
    return hashlib.sha256(b"%d %d " % picture.size + picture.tobytes()).hexdigest()


def placed(region: Prompt | None, size: Size, grid: Grid | None) -> tuple[list[float] | None, dict | None]:
    """A region as box and mask of a :class:`View`: what lies in the picture; a point is its window of the model's patches."""
    if region is None:
        return None, None
    if isinstance(region, Mask):
        pixels = np.asfortranarray(region.pixels(size), dtype=np.uint8)
        return _numbers(region.box(size)), as_text(rle.encode(pixels))
    return _numbers(region.box(size, grid) if isinstance(region, Point) else region.box(size)), None


def cut(picture: Image.Image, region: Prompt | None, grid: Grid | None = None) -> bytes:
    """The region's box as a PNG of at most LONGEST pixels a side."""
    part = rgb(picture) if region is None else crop(picture, region, grid)[0]
    part = part.copy()
    part.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    part.save(stream, "PNG")
    return stream.getvalue()


def opened(png: bytes) -> Image.Image:
    """The picture of a kept crop. Raises IntegrityError where the bytes are damaged."""
    try:
        return open_image(io.BytesIO(png))
    except FoirError as error:
        raise IntegrityError(f"A kept crop is damaged ({error}): import the memory's last export into a new file.") from error


def kept(journal: Journal, view: View) -> Image.Image | None:
    """What a view shows: the kept crop of its region, else cut from its picture; None where neither is left."""
    with tables.told(journal.name), journal.engine.connect() as connection:
        png = connection.scalar(sa.select(tables.crops.c.png).where(tables.crops.c.view == view.id))
    if png:
        return opened(png)
    picture = original(view)
    return None if picture is None else opened(cut(picture, view.region))


def shown(journal: Journal, view: View) -> tuple[Image.Image, Prompt | None] | None:
    """A view as (picture, region): its whole picture where that still lies unchanged at its path, else the kept crop."""
    if (picture := original(view)) is not None:
        return picture, view.region
    small = kept(journal, view)
    return None if small is None else (small, masked(view, small))


def original(view: View) -> Image.Image | None:
    """The picture of a view where it still lies at its path with the same pixels."""
    try:
        picture = None if view.path is None else open_image(view.path)
    except FoirError:
        return None
    return picture if picture is not None and picture.size == view.size and content(picture) == view.picture else None


def masked(view: View, kept: Image.Image) -> Mask | None:
    """The view's mask on its kept crop, or None."""
    if view.mask is None:
        return None
    x0, y0, x1, y1 = view.box
    part = view.region.array[math.floor(y0) : math.ceil(y1), math.floor(x0) : math.ceil(x1)]
    small = np.asarray(Image.fromarray(part.astype(np.uint8) * 255).resize(kept.size, Image.Resampling.BOX)) >= 128
    return Mask(small) if small.any() else None


def _numbers(box):
    return [float(v) for v in (box.x0, box.y0, box.x1, box.y1)]
