"""A memory that needs no network: its encoder sees nine colours of a region."""

import numpy as np
from PIL import Image

from foir_lib.prompts import crop


class Colours:
    """An encoder as a memory takes it: the mean colours of the region's thirds across and down, unit length; ``n``: repeats of those numbers."""

    knows_drawings_only = False

    def __init__(self, name="colours", n=1):
        self.key = self.name = name
        self.n, self.embedded = n, 0

    def embed(self, regions):
        self.embedded += len(regions)
        parts = [picture.convert("RGB") if region is None else crop(picture, region)[0] for picture, region in regions]
        small = [np.asarray(part.resize((3, 3), Image.Resampling.BOX), np.float32).ravel() + 1 for part in parts]
        vectors = np.tile(np.stack(small), self.n)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def picture(seed, size=(40, 30)):
    """A picture of random colours, in blocks of ten pixels."""
    blocks = np.random.default_rng(seed).integers(0, 256, (-(-size[1] // 10), -(-size[0] // 10), 3), dtype=np.uint8)
    return Image.fromarray(blocks.repeat(10, 0).repeat(10, 1)[: size[1], : size[0]])
