"""Large pictures, searched tile by tile: what is small on a picture of 10,000 pixels is as large on a tile as its localiser needs it."""

from dataclasses import dataclass
from threading import Lock

import numpy as np
from PIL import Image
from pycocotools import mask as rle

from foir_lib.detections import Localisation, as_text
from foir_lib.errors import InputError
from foir_lib.images import rgb
from foir_lib.methods.decomposition import overlapping, window
from foir_lib.prompts import Mask, Point
from foir_lib.registry import register
from foir_lib.retrievers.parts import Pictures
from foir_lib.retrievers.pixels.around import Around


@register("localiser", "Tiled")
@dataclass(frozen=True)
class Tiled(Around):
    """Another localiser (``of``), asked on overlapping tiles of pictures whose longer side is above ``side`` pixels.

    Tiles of ``side`` pixels that share ``overlap`` pixels; then of twice as many, shown at half the size, and so on to the whole
    picture, so that a thing of any size lies in a tile whole. The tile of the highest score answers, and beside it those of its
    size that agree with it where both look: IoU of their masks there at least ``agree``. A prompt on a large picture asks from a
    window of ``side`` pixels around it. Tiles, and what is kept of them, are made of the pictures asked about alone; one picture
    of them is in memory at a time, and no mask of its size.
    """

    side: int = 1024
    overlap: int = 256
    agree: float = 0.5

    def __post_init__(self):
        super().__post_init__()
        if self.overlap >= self.side:
            raise InputError(f"overlap={self.overlap} must be less than side={self.side}: tiles would not move on.")

    def locate(self, corpus, part, m, rows):
        rows = np.asarray(rows, dtype=int)
        large = corpus.database.sizes[rows].max(1) > self.side
        asking = around_prompt(part, m, self.side)
        small = iter(self.localiser.locate(corpus, *asking, rows[~large]) if not large.all() else ())
        return [self._tiled(corpus, *asking, row) if by_tiles else next(small) for row, by_tiles in zip(rows.tolist(), large)]

    def _tiled(self, corpus, part, m, row):
        tiles = Tiles(corpus.database, row, self.side, self.overlap)
        answers = self.localiser.locate(corpus.over(tiles), part, m, np.arange(len(tiles)))
        size = tuple(corpus.database.sizes[row].tolist())
        shown = map(tuple, tiles.sizes.tolist())
        placed = [answer.within(one, size, at) for answer, one, at in zip(answers, tiles.windows, shown, strict=True)]
        there = [i for i, answer in enumerate(placed) if answer]
        if not there:
            return Localisation.nothing(max(answer.score for answer in placed))
        best = max(there, key=lambda i: placed[i].score)
        level = [i for i in there if i != best and tiles.levels[i] == tiles.levels[best]]
        group = [best, *(i for i in level if _agreement(placed[best], placed[i], tiles.windows[best], tiles.windows[i]) >= self.agree)]
        masks = [placed[i].mask for i in group if placed[i].mask is not None]
        corners = np.stack([placed[i].box for i in group])
        box = np.r_[corners[:, :2].min(0), corners[:, 2:].max(0)]
        return Localisation(as_text(rle.merge(masks)) if masks else None, box, placed[best].score)


class Tiles(Pictures):
    """Overlapping tiles of one picture of a part, those of each level at most ``side`` pixels large; the picture is opened when a tile is.

    windows: x0, y0, x1, y1 of each in the picture; levels: 0 for tiles of its own scale, 1 for those at half of it, ...
    """

    def __init__(self, source: Pictures, row: int, side: int, overlap: int):
        whole, self.windows, self.levels, scale = tuple(source.sizes[row].tolist()), [], [], 1
        while True:
            level = overlapping(whole, side * scale, overlap * scale)
            self.windows, self.levels = self.windows + level, self.levels + [len(set(self.levels))] * len(level)
            if len(level) == 1:
                break
            scale *= 2
        sizes = [_shown((x1 - x0, y1 - y0), side) for x0, y0, x1, y1 in self.windows]
        name = f"{source.name}, tiles of picture {row}, {side} px, overlap {overlap}"
        super().__init__(source.corpus, name, len(sizes), self._open, source.data, sizes)
        self.source, self.row, self._picture, self._lock = source, row, None, Lock()

    def _open(self, m):
        with self._lock:
            if self._picture is None:  # past the source's own memory, which holds several
                ids, opened = self.source.ids, self.source.corpus.set.open
                self._picture = rgb(opened(ids[self.row]) if len(ids) else self.source.open(self.row))
        return self._picture.resize(tuple(self.sizes[m].tolist()), Image.Resampling.LANCZOS, self.windows[m], reducing_gap=2.0)


def around_prompt(part, m: int, side: int) -> tuple[Pictures, int]:
    """A part and the number of a prompt in it: those asked about, or on a larger picture than ``side`` a window of so many pixels at least
    around the prompt, at most ``side`` pixels large."""
    size, prompt = part.size(m), part.prompt(m)
    if max(size) <= side:
        return part, m
    pixels, corners = part.pixels(m), part.box(m)
    x0, y0, x1, y1 = window((corners.x0, corners.y0, corners.x1, corners.y1), size, side)
    shown = _shown((x1 - x0, y1 - y0), side)
    picture = part.open(m).crop((x0, y0, x1, y1)).resize(shown, Image.Resampling.LANCZOS)
    if isinstance(prompt, Point):
        scale = shown[0] / (x1 - x0)
        return part.corpus.live(picture, [Point((prompt.x - x0) * scale, (prompt.y - y0) * scale, prompt.window)]), 0
    shares = np.asarray(Image.fromarray(pixels[y0:y1, x0:x1].astype(np.uint8) * 255).resize(shown, Image.Resampling.BOX))
    return part.corpus.live(picture, [Mask(shares >= min(128, shares.max()))]), 0


def _shown(size, side):
    """Width and height at which a window of ``size`` is shown: its longer side ``side`` pixels, if it isn't shorter."""
    factor = min(side / max(size), 1.0)
    return tuple(max(round(length * factor), 1) for length in size)


def _agreement(one, other, window, beside):
    """IoU of two answers in what both tiles see; 0 where that is nothing, or there is no mask."""
    x0, y0, x1, y1 = (*map(max, zip(window[:2], beside[:2])), *map(min, zip(window[2:], beside[2:])))
    if x0 >= x1 or y0 >= y1 or one.mask is None or other.mask is None:
        return 0.0
    height, width = one.mask["size"]
    (both,) = rle.frPyObjects(np.array([[x0, y0, x1 - x0, y1 - y0]], float), height, width)
    masks = [rle.merge([answer.mask, both], intersect=True) for answer in (one, other)]
    shared, joined = rle.area(rle.merge(masks, intersect=True)), rle.area(rle.merge(masks))
    return float(shared / joined) if joined else 0.0
