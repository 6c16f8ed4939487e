"""Colours by name: the eleven basic colour terms (Berlin and Kay, 1969), by the nearest of a few samples of each in CIELAB.

Samples are CSS names, so that anyone can look them up; which pixels count is the caller's.
"""

from functools import cache

import cv2
import matplotlib.colors
import numpy as np
from PIL import Image

TERMS = {
    "black": ["black"], "white": ["white", "snow"], "grey": ["grey", "darkgrey", "dimgrey"], "red": ["red", "firebrick", "crimson"],
    "orange": ["darkorange", "orange"], "yellow": ["yellow", "gold"], "green": ["green", "limegreen", "seagreen"],
    "blue": ["blue", "royalblue", "steelblue", "navy", "deepskyblue"], "purple": ["purple", "darkviolet", "mediumpurple"],
    "pink": ["pink", "hotpink"], "brown": ["saddlebrown", "sienna", "tan"],
}  # fmt: skip
SYNONYMS = {"gray": "grey", "violet": "purple", "golden": "yellow", "beige": "brown", "navy": "blue", "turquoise": "blue"}
SIDE = 32  # pixels of a crop's sides that are looked at


def named(text: str) -> str | None:
    """The basic term among a text's words, or None: "dark blue" is blue."""
    words = [SYNONYMS.get(word, word) for word in text.casefold().replace("-", " ").split()]
    return next((word for word in reversed(words) if word in TERMS), None)


def shares(picture: Image.Image, middle: float = 0.6) -> dict[str, float]:
    """The share of each basic colour term among the pixels of the ``middle`` part (of each side) of a picture; they add to 1."""
    small = np.asarray(picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX))
    edge = round(SIDE * (1 - middle) / 2)
    lab = _lab(small[edge : SIDE - edge, edge : SIDE - edge].reshape(-1, 3))
    terms, samples = _samples()
    nearest = ((lab[:, None] - samples) ** 2).sum(-1).argmin(1)
    counts = np.bincount(np.array(terms)[nearest], minlength=len(TERMS)) / len(lab)
    return dict(zip(TERMS, counts.tolist()))


@cache
def _samples():
    """(which term, CIELAB) of every sample."""
    pairs = [(i, name) for i, names in enumerate(TERMS.values()) for name in names]
    rgb = np.array([matplotlib.colors.to_rgb(name) for _, name in pairs])
    return tuple(i for i, _ in pairs), _lab((255 * rgb).round().astype(np.uint8))


def _lab(rgb):
    return cv2.cvtColor((rgb[None] / np.float32(255)).astype(np.float32), cv2.COLOR_RGB2LAB)[0]
