"""Where vectors look on pictures: LeGrad maps of any targets, of layers, and of a picture's own descriptor, all on one scale."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from PIL import Image

from foir_lib.errors import InputError
from foir_lib.methods import legrad
from foir_lib.models.vit import ViT
from foir_lib.prompts import Box, patch_shares
from foir_lib.retrievers.base import Retriever
from foir_lib.retrievers.corpus import Corpus
from foir_lib.retrievers.objects import decompose
from foir_lib.text import percent
from foir_lib.view.figures import parts
from foir_lib.view.figures.looks import ORANGE, WIDTH, canvas

SCALE = "Each map goes from 0 at its weakest patch to 1 at its strongest: compare places, not heights, since one map's 1 isn't another's."
CAPTION = "Each map has its own picture's descriptor as target and goes from 0 to its strongest patch. Compare the share of a map that lies on things "
CAPTION += "with their share of the picture: a map that knows nothing of things has that much on them."
HEIGHT = "LeGrad (1: the map's strongest patch)"
EDGE = [withStroke(linewidth=2.2, foreground="black")]
NAME = "picture"  # above the pictures themselves


def heat_maps(
    pictures: Sequence[Image.Image], maps: Mapping[str, Sequence], boxes: Sequence[Sequence[Box]] | None = None, smooth: bool = True,
    title: str | None = None, caption: str | None = SCALE, titles: Sequence[Sequence[str]] | None = None,
) -> Figure:  # fmt: skip
    """A row for each picture: the picture, then each of its ``maps`` over it in grey, all on one scale from 0 to 1.

    ``maps``: name -> a map (rows, columns) for each picture, as :func:`legrad.heatmap` gives them; ``boxes``: of the objects of each
    picture; ``smooth``: bilinear between patches, as LeGrad's own pictures are, or patches as they are; ``titles``: above each panel
    instead of the names. Raises InputError without pictures or maps, for other numbers of them, and for values outside 0 to 1.
    """
    maps = {name: [parts.checked(one, 2, name=f"map {name!r}") for one in rows] for name, rows in maps.items()}
    boxes = [()] * len(pictures) if boxes is None else boxes
    _check_maps(pictures, maps, boxes)
    across, titles = len(maps) + 1, titles or [[NAME, *maps], *[[""] * (len(maps) + 1)] * (len(pictures) - 1)]
    side = min(2.2, (WIDTH - 0.8) / across)
    heights = [side * parts.tall(picture) + 0.25 * any(words) for picture, words in zip(pictures, titles, strict=True)]
    with canvas(sum(heights) + 0.5 + 0.2 * bool(title) + 0.25 * bool(caption), across * side + 0.8) as figure:
        lines = figure.subplots(len(pictures), across, squeeze=False, height_ratios=heights)
        for line, picture, things, words, *row in zip(lines, pictures, boxes, titles, *maps.values(), strict=True):
            parts.show(line[0], picture)
            for axes, heat in zip(line[1:], row, strict=True):
                heat = legrad.upsampled(torch.from_numpy(heat), picture.size) if smooth else heat
                image = parts.heat_map(axes, picture, heat, 1.0)
            for axes, above in zip(line, words, strict=True):
                axes.set_title(above)
                _outlines(axes, things)
        parts.colour_bar(figure, image, lines[:, 1:].ravel().tolist(), HEIGHT)
        parts.words(figure, title, caption)
    return figure


def legrad_maps(
    model: ViT, pictures: Sequence[Image.Image], targets: Mapping[str, torch.Tensor], last: int = 2,
    boxes: Sequence[Sequence[Box]] | None = None, project: bool = False, score: str = "tokens", **options,
) -> Figure:  # fmt: skip
    """LeGrad maps of one or several targets over pictures.

    ``targets``: name -> vector (d,), for all pictures, or (P, d), one for each; ``project``: they lie where CLIP projects to, as its
    texts do; ``last``, ``project``, ``score``: of :func:`legrad.heatmap`; ``options``: of :func:`heat_maps`. Raises what these raise.
    """
    tensors = _preprocessed(model, pictures)
    maps = {name: legrad.heatmap(model, tensors, _each(target, tensors), last, project, score) for name, target in targets.items()}
    return heat_maps(pictures, maps, boxes, **options)


def legrad_layers(
    model: ViT, pictures: Sequence[Image.Image], target: torch.Tensor, boxes: Sequence[Sequence[Box]] | None = None,
    project: bool = False, score: str = "tokens", **options,
) -> Figure:  # fmt: skip
    """LeGrad maps of one target over the last block, the last two, and so on to all of them, side by side; else as :func:`legrad_maps`."""
    tensors, depths = _preprocessed(model, pictures), range(1, model.depth + 1)
    names = {last: "last block" if last == 1 else f"last {last}" for last in depths}
    maps = {names[last]: legrad.heatmap(model, tensors, _each(target, tensors), last, project, score) for last in depths}
    return heat_maps(pictures, maps, boxes, **options)


def descriptor_maps(
    corpus: Corpus, retrievers: Mapping[str, Retriever], rows: Sequence[int], objects: str = "boxes", title: str | None = None
) -> Figure:
    """Database pictures ``rows`` with boxes around their things, and beside each where its descriptor by every retriever looks.

    ``retrievers``: printed name -> method of one vector a picture; ``objects``: whose boxes, as for :func:`decompose`. Maps are
    LeGrad's, all on one scale from 0 to 1. Raises InputError without rows or methods, for rows that there aren't, and for a
    method that can't be had or has several vectors a picture.
    """
    _check(corpus, retrievers, rows)
    things, pictures = decompose(corpus, objects), [corpus.database.open(row) for row in rows]
    maps = {name: looks_at(corpus, retriever, rows) for name, retriever in retrievers.items()}
    boxes = [[Box(*box) for box in things[row].boxes.tolist()] for row in rows]
    titles = []
    for picture, inside, *heats in zip(pictures, boxes, *maps.values(), strict=True):
        covered = _covered(inside, picture.size, corpus.model.grid)
        shares = [f"{name}: {percent(share(heat, covered))} on things" for name, heat in zip(maps, heats, strict=True)]
        titles.append([f"things: {percent(covered.mean())} of it", *shares])
    return heat_maps(pictures, maps, boxes, smooth=False, title=title, caption=CAPTION, titles=titles)


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


def _preprocessed(model, pictures):
    if not len(pictures):
        raise InputError("There is no picture to look at: give at least one.")
    return torch.stack([model.preprocess(picture) for picture in pictures])


def _each(target, tensors):
    """A target for each picture."""
    return target.expand(len(tensors), -1) if target.ndim == 1 else target


def _covered(boxes, size, grid):
    """Share of each patch that lies in one of the boxes, or in several."""
    union = np.zeros(size[::-1], dtype=bool)
    for box in boxes:
        union |= box.pixels(size)
    return patch_shares(union, grid)


def _outlines(axes: Axes, boxes):
    for box in boxes:
        style = {"fill": False, "edgecolor": ORANGE, "linewidth": 1.0, "path_effects": EDGE}
        axes.add_patch(Rectangle((box.x0, box.y0), box.x1 - box.x0, box.y1 - box.y0, **style))


def _check_maps(pictures, maps, boxes):
    n = len(pictures)
    if not n or not maps:
        raise InputError(f"{n} pictures and {len(maps)} kinds of maps make no figure: give at least one of each.")
    if len(boxes) != n or any(len(rows) != n for rows in maps.values()):
        raise InputError(f"{n} pictures need as many maps of each name, and as many lists of boxes.")
    for name, rows in maps.items():
        low, high = min(one.min() for one in rows), max(one.max() for one in rows)
        if not 0 <= low <= high <= 1:
            raise InputError(f"Maps {name!r} go from {low:g} to {high:g}: bring each to 0 and 1, as legrad.heatmap does.")


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
