"""The prompts of a benchmark: each query's box, its noisy box, its mask, or every click on its mask."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from foir_lib.errors import InputError
from foir_lib.methods.noise import noisy
from foir_lib.notices import note
from foir_lib.prompts import Point

KINDS = ("box", "segment", "point")


class Prompts(NamedTuple):
    """``M`` prompts: the query row (M,) each belongs to, and ``get(m)``, which makes the prompt."""

    rows: np.ndarray
    get: Callable


def prompts_of(retrieval_set, sizes, grid_of, kind="box", noise=0, seed=0):
    """The :class:`Prompts` of all queries of a set.

    ``sizes``: (width, height) of each query's picture; ``grid_of(size)``: (rows, columns) of the model's patches, or None. ``kind``: "box" or "segment", one per query, or "point",
    one per patch window position in the mask (PHS Table 3). ``noise``: pixels m of prompt noise on boxes (PHS A3),
    0 for none, drawn by ``seed``. An object without a mask asks with its box, where others have one; they are counted. Raises
    InputError for an unknown kind, noise on other prompts than boxes, and masks where no object has one.
    """
    queries = retrieval_set.queries
    everyone = np.arange(len(queries))
    if kind not in KINDS:
        raise InputError(f"Prompt kind {kind!r} is unknown: choose one of {', '.join(KINDS)}.")
    if noise and kind != "box":
        raise InputError(f"Prompt noise is defined for boxes, not for {kind} prompts.")
    if kind == "box":
        boxes = [box.box(size) for box, size in zip(queries["prompt"], sizes, strict=True)]
        if noise:  # a generator per query: the noise of a query depends on nothing else
            boxes = [noisy(boxes[q], sizes[q], np.random.default_rng([seed, q]), noise) for q in everyone]
        return Prompts(everyone, boxes.__getitem__)
    if kind == "point" and grid_of is None:
        raise InputError("Point prompts are windows of patches: name a model with a grid, such as mini-vit.")
    shape = _shapes(retrieval_set)
    if kind == "segment":
        return Prompts(everyone, shape)
    clicks = [points(shape(q), grid_of(size), size) for q, size in enumerate(sizes)]
    at = np.concatenate(clicks)
    return Prompts(np.repeat(everyone, [len(c) for c in clicks]), lambda m: Point(*at[m].tolist()))


def _shapes(retrieval_set):
    """The function that gives the mask of a query's object, or its box where there is no mask that can be read."""
    objects, boxes = retrieval_set.queries["object"].to_numpy(), retrieval_set.queries["prompt"]
    has_mask = retrieval_set.has_mask(objects)
    if not has_mask.any():
        retrieval_set.mask(objects[0])  # says what it lacks
    reason = f"queries of {retrieval_set.name} without a mask that can be read ask with their boxes"
    note(reason, f"query {int((~has_mask).argmax())}", int((~has_mask).sum()))
    return lambda q: retrieval_set.mask(objects[q]) if has_mask[q] else boxes[q]


def points(mask, grid, size):
    """Positions (n, 2), x and y in pixels, of the clicks that Table 3 averages over.

    Ours: the centres of all patches that lie in the mask; its centroid if there are none.
    """
    (rows, columns), (width, height) = grid, size
    pixels = mask.pixels(size)
    ys, xs = (np.arange(rows) + 0.5) * height / rows, (np.arange(columns) + 0.5) * width / columns
    inside = np.argwhere(pixels[np.ix_(ys.astype(int), xs.astype(int))])
    if len(inside):
        return np.c_[xs[inside[:, 1]], ys[inside[:, 0]]]
    return np.array([[axis.mean() for axis in np.nonzero(pixels)[::-1]]])
