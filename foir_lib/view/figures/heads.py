"""Attention of heads, and the paper's figures of it, PHS Figures 6, A3, A4 and A5.

The map of a model is the mean over heads of what CLS takes from every patch in the last block: over all heads
("Vanilla"), over all heads under the foveal bias ("FA"), or over the kept heads ("PHS").
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image

from foir_lib.errors import InputError
from foir_lib.methods import foveal, head_selection
from foir_lib.models.vit import ViT
from foir_lib.prompts import Prompt
from foir_lib.view.figures import parts
from foir_lib.view.figures.looks import ORANGE, SMALL, WIDTH, canvas
from foir_lib.view.figures.pictures import Grid, attention_compare

EVEN = 8  # even shares at which the scale of head_maps ends
NARROW = 8  # columns of a figure from which on a title has little room


def head_maps(picture: Image.Image, attention, grid: Grid, heads=None, roi=None) -> Figure:
    """Every head's attention from CLS to the patches, ``attention`` (h, N), all on one linear scale.

    The scale ends at :data:`EVEN` times the even share, 100 / N percent, or before: what lies above has the colour of its end.
    ``heads`` (h,) bool: the chosen ones get an orange frame and a star. ``roi`` (N,) bool: outlined on every
    map, and each title tells the head's ROI attention (PHS eq. 7) in percent of all its attention.
    """
    attention = parts.checked(attention, 2, grid, "attention")
    heads = np.zeros(len(attention), bool) if heads is None else parts.checked(heads, 1).astype(bool)
    if len(heads) != len(attention):
        raise InputError(f"{len(heads)} head choices don't fit {len(attention)} heads: give one for each.")
    roi = None if roi is None else parts.checked(roi, 1, grid, "roi").astype(bool)
    columns = min(6, len(attention))
    rows, side = math.ceil(len(attention) / columns), (WIDTH - 0.7) / (columns + 1)
    with canvas(rows * (side * parts.tall(picture) + 0.25) + 0.5) as figure:
        cells = figure.add_gridspec(rows, columns + 1)
        even = 100 / attention.shape[1]
        panels, image = _band(cells, 0, picture, attention, grid, min(parts.scale_of(100 * attention), EVEN * even), roi, heads)
        panels[0].set_title("query" if roi is None else "query and ROI")
        if roi is not None:
            parts.outline(panels[0], roi.reshape(grid), picture.size)
        parts.colour_bar(figure, image, panels, f"attention per patch (%); even share {even:.2g}", 100 * attention)
        legend = [f"\N{BLACK STAR} {int(heads.sum())} of {len(heads)} heads chosen"] if heads.any() else []
        legend += [] if roi is None else ["percent: attention on the ROI"]
        figure.suptitle(", ".join(legend))
    return figure


def _band(cells, line, picture, attention, grid, top, roi=None, chosen=None, prompt=None):
    """The query and, from ``line`` of the gridspec on, the map of every head, up to ``top`` percent: the axes and the last map.

    ``roi`` (N,) bool: outlined, with the attention on it in the titles, where columns are narrow on a line of its own; ``chosen`` (h,)
    bool: which get a frame and a star.
    """
    figure, columns = cells.figure, cells.ncols - 1
    panels = [figure.add_subplot(cells[line, 0])]
    parts.query(panels[0], picture, prompt, grid)
    for head, row in enumerate(attention):
        panels.append(axes := figure.add_subplot(cells[line + head // columns, 1 + head % columns]))
        image = parts.heat_map(axes, picture, 100 * row.reshape(grid), top)
        spent = 0 if roi is None else 100 * row[roi].sum()
        share, on = [] if roi is None else [f"{spent:.{int(spent < 1)}f}%"], chosen is not None and chosen[head]
        axes.set_title((": " if columns < NARROW else "\n").join([f"head {head}", *share]), fontweight="bold" if on else None)
        if on:
            parts.frame(axes, ORANGE, "\N{BLACK STAR}")
        if roi is not None:
            parts.outline(axes, roi.reshape(grid), picture.size)
    return panels, image


def attention_maps(model: ViT, picture: Image.Image, prompt: Prompt, h_on: int = 5, roi: str = "sum") -> dict[str, np.ndarray]:
    """The three maps of one picture under a prompt: name -> (N,) attention, "Vanilla", "FA" and "PHS".

    A model with fewer than ``h_on`` heads keeps all of them.
    """
    x, inside = model.preprocess(picture)[None], torch.from_numpy(prompt.tokens(model.grid, picture.size))[None]
    state = model.cls_state(x)
    heads = head_selection.select(state, inside, min(h_on, model.n_heads), roi)[0]
    biased = model.cls_state(x, foveal.bias(prompt, model.grid, picture.size), min(4, model.depth))
    maps = {"Vanilla": state.attention[0], "FA": biased.attention[0], "PHS": state.attention[0][heads]}
    return {name: attention.mean(0).cpu().numpy() for name, attention in maps.items()}


def compare_methods(
    model: ViT, pictures: Sequence[Image.Image], prompts: Sequence[Prompt], h_on: int = 5, roi: str = "sum"
) -> Figure:
    """One row per picture: the query, then the maps of Vanilla, FA and PHS on one scale (PHS Figures 6, A3)."""
    _paired(pictures, prompts)
    maps = [attention_maps(model, picture, prompt, h_on, roi) for picture, prompt in zip(pictures, prompts)]
    title = f"Attention from CLS in the last block of {model.name}, PHS with {_kept(model, h_on)}"
    caption = "Look in each row at what is bright inside the prompt and outside it. FA adds a little inside, PHS leaves out the heads "
    caption += "that look elsewhere; nothing is cut out, what the kept heads see of the surroundings stays."
    by_name = {name: np.stack([one[name] for one in maps]) for name in maps[0]}
    return attention_compare(pictures, prompts, by_name, model.grid, title, caption)


def compare_sizes(
    models: Sequence[ViT], pictures: Sequence[Image.Image], prompts: Sequence[Prompt], h_on: int = 5, roi: str = "sum"
) -> Figure:
    """One row per picture: the query, then the PHS map of every model on one scale (PHS Figure A5)."""
    _paired(pictures, prompts)
    _some(models)
    names = {f"{model.name}\n{_kept(model, h_on)}": model for model in models}
    maps = {name: np.stack([attention_maps(model, *pair, h_on, roi)["PHS"] for pair in zip(pictures, prompts)])
            for name, model in names.items()}  # fmt: skip
    grids = {name: model.grid for name, model in names.items()}
    title = "PHS: mean attention of the kept heads in the last block, by model"
    caption = "Look along each row: do the bright patches keep closer to the prompt where there are more heads to choose from?"
    return attention_compare(pictures, prompts, maps, grids, title, caption)


def heads_of_models(models: Sequence[ViT], picture: Image.Image, prompt: Prompt | None = None) -> Figure:
    """All heads of every model's last block on one picture, a band per model, all on one scale (PHS Figure A4).

    ``prompt``: its patches are outlined on every map, titles tell each head's ROI attention.
    """
    _some(models)
    columns = 8
    rows = [math.ceil(model.n_heads / columns) for model in models]
    attention = [model.cls_state(model.preprocess(picture)[None]).attention[0].cpu().numpy() for model in models]
    values = 100 * np.concatenate([a.ravel() for a in attention])
    side, top, panels = (WIDTH - 0.7) / (columns + 1), parts.scale_of(values), []
    caption = "Look in each band for heads that are bright in different places: only where they differ can a prompt choose among them."
    line = 1.3 * SMALL / 72  # inches
    above = 1 + (prompt is not None)  # lines of a head's title, above which that of its band stands
    with canvas(sum(rows) * (side * parts.tall(picture) + 0.1 + above * line) + len(rows) * line + 0.9) as figure:
        cells = figure.add_gridspec(sum(rows), columns + 1)
        for model, heads, row in zip(models, attention, np.cumsum([0, *rows])):
            inside = None if prompt is None else prompt.tokens(model.grid, picture.size)
            band, image = _band(cells, row, picture, heads, model.grid, top, inside, prompt=prompt)
            words = f"{model.name}, {model.n_heads} heads"
            band[0].set_title(words, fontweight="bold", loc="left", pad=72 * above * line + 6)
            panels += band
        parts.colour_bar(figure, image, panels, values=values)
        parts.words(figure, "Attention from CLS in the last block, every head by itself", caption)
    return figure


def _kept(model, h_on):
    return f"{min(h_on, model.n_heads)} of {model.n_heads} heads"


def _paired(pictures, prompts):
    if not len(pictures) or len(pictures) != len(prompts):
        words = f"{len(pictures)} pictures and {len(prompts)} prompts can't be paired"
        raise InputError(f"{words}: give at least one of each, as many of both.")


def _some(models):
    names = [model.name for model in models]
    if not names or len(set(names)) < len(names):
        raise InputError(f"Models {', '.join(names) or '(none)'} can't be compared: give at least one, each once.")
