"""Where the descriptor of a picture looks on the picture: a global one at shelves, a refined one at things."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from foir_lib.errors import InputError
from foir_lib.methods import legrad
from foir_lib.prompts import Box, patch_shares
from foir_lib.retrievers.base import Retriever
from foir_lib.retrievers.corpus import Corpus
from foir_lib.retrievers.objects import decompose
from foir_lib.view.figures import parts
from foir_lib.view.figures.looks import ORANGE, WIDTH, canvas

CAPTION = "Each map has its own picture's descriptor as target and goes from 0 to its strongest patch. Compare the share of a map that lies on things "
CAPTION += "with their share of the picture: a map that knows nothing of things has that much on them."


def descriptor_maps(
    corpus: Corpus, retrievers: Mapping[str, Retriever], rows: Sequence[int], objects: str = "boxes", title: str | None = None
) -> Figure:
    """Database pictures ``rows`` with boxes around their things, and beside each where its descriptor by every retriever looks.

    ``retrievers``: printed name -> method of one vector a picture; ``objects``: whose boxes, as for :func:`decompose`. Maps are
    LeGrad's, all on one scale from 0 to 1. Raises InputError without rows or methods, for rows that there aren't, and for a
    method that can't be had or has several vectors a picture.
    """
    _check(corpus, retrievers, rows)
    things = decompose(corpus, objects)
    maps = {name: looks_at(corpus, retriever, rows) for name, retriever in retrievers.items()}
    pictures, across = [corpus.database.open(row) for row in rows], len(maps) + 1
    side = min(2.2, (WIDTH - 0.8) / across)
    heights = [side * parts.tall(picture) + 0.25 for picture in pictures]
    with canvas(sum(heights) + 0.8, across * side + 0.8) as figure:
        lines = figure.subplots(len(pictures), across, squeeze=False, height_ratios=heights)
        for (first, *panels), row, picture, *heats in zip(lines, rows, pictures, *maps.values(), strict=True):
            boxes = [Box(*box) for box in things[row].boxes.tolist()]
            covered = _covered(boxes, picture.size, corpus.model.grid)
            parts.show(first, picture)
            first.set_title(f"things: {100 * covered.mean():.0f} % of it")
            for axes, name, heat in zip(panels, maps, heats, strict=True):
                image = parts.heat_map(axes, picture, heat, 1.0)
                axes.set_title(f"{name}: {100 * share(heat, covered):.0f} % on things")
            for axes in (first, *panels):
                _outlines(axes, boxes)
        parts.colour_bar(figure, image, lines[:, 1:].ravel().tolist(), "LeGrad (1: the strongest patch)")
        parts.words(figure, title, CAPTION)
    return figure


def looks_at(corpus: Corpus, retriever: Retriever, rows: Sequence[int]) -> np.ndarray:
    """LeGrad maps (R, rows, columns) in [0, 1] of database pictures, the target of each the descriptor that the method gives it."""
    model, at = corpus.model, np.asarray(rows)
    targets = torch.from_numpy(np.array(corpus.described(retriever, corpus.database).read("descriptor", at)))
    tensors = (model.preprocess(corpus.database.open(row)) for row in rows)
    heats = [legrad.heatmap(model, x, target, project=model.projects) for x, target in zip(tensors, targets, strict=True)]
    return torch.stack(heats).cpu().numpy()


def share(heat: np.ndarray, covered: np.ndarray) -> float:
    """Share of a map (rows, columns) that lies on things, which cover such a share of each patch; 0 of an empty map."""
    return float((heat * covered).sum() / max(heat.sum(), 1e-12))


def _covered(boxes, size, grid):
    """Share of each patch that lies in one of the boxes, or in several."""
    union = np.zeros(size[::-1], dtype=bool)
    for box in boxes:
        union |= box.pixels(size)
    return patch_shares(union, grid)


def _outlines(axes: Axes, boxes):
    for box in boxes:
        axes.add_patch(Rectangle((box.x0, box.y0), box.x1 - box.x0, box.y1 - box.y0, fill=False, edgecolor=ORANGE, linewidth=0.8))


def _check(corpus, retrievers, rows):
    if not len(rows) or not retrievers:
        raise InputError(f"{len(rows)} pictures and {len(retrievers)} methods make no figure: give at least one of each.")
    if outside := [row for row in rows if not 0 <= row < len(corpus.database)]:
        raise InputError(f"{corpus.set.name} has no database row {outside[0]}: rows go from 0 to {len(corpus.database) - 1}.")
    for name, retriever in retrievers.items():
        if missing := retriever.lacks(corpus):
            raise InputError(f"{name} can't be shown: {missing}.")
        if retriever.vector != "descriptor" or not hasattr(corpus.model, "tap"):
            raise InputError(f"{name} has no single descriptor of a picture on a ViT: choose a method such as CBIR, MeanCrops or MaO.")
