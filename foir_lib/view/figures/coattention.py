"""Co-attention maps of candidates, and local features by scale and cluster."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from PIL import Image

from foir_lib.errors import InputError
from foir_lib.models.cnn import Locals
from foir_lib.view.figures import parts
from foir_lib.view.figures.looks import BLUE, GREEN, ORANGE, RED, WIDTH, canvas

COLOURS = (BLUE, ORANGE, GREEN, RED, "#CC79A7", "#56B4E9", "#F0E442", "#7F7F7F", "#000000", "#8C510A")


def coattention_maps(
    picture: Image.Image | Sequence[Image.Image], prompts: Sequence, candidates: Sequence, maps: dict, title: str | None = None
) -> Figure:
    """The query with its prompt, then every candidate under each map (co-attention Figures 7 and 8).

    One band of rows for each prompt; ``picture``: PIL, or one for each prompt. ``candidates``: for each prompt a list of PIL
    pictures; ``maps``: name -> for each prompt a list of maps (rows, columns) over those candidates, or None to show the bare
    picture. All maps of a band have one scale.
    """
    prompts = list(prompts)
    queries = list(picture) if isinstance(picture, (list, tuple)) else [picture] * len(prompts)
    if not prompts or any(len(m) != len(prompts) for m in (queries, candidates, *filter(None, maps.values()))):
        raise InputError(f"{len(prompts)} prompts need as many lists of candidates and of maps, at least one.")
    wide, lines = max(len(row) for row in candidates), len(maps)
    side = min(1.2, (WIDTH - 1.0) / (wide + 1))
    tall = max(parts.tall(p) for row in candidates for p in row)
    with canvas(len(prompts) * lines * (side * tall + 0.1) + 0.5, side * (wide + 1) + 1.2) as figure:
        cells = figure.add_gridspec(len(prompts) * lines, wide + 1)
        for band, prompt in enumerate(prompts):
            axes = figure.add_subplot(cells[band * lines : (band + 1) * lines, 0])
            parts.query(axes, queries[band], prompt)
            axes.set_title("query", color=BLUE, fontweight="bold")
            values = [np.ravel(m) for rows in filter(None, maps.values()) for m in rows[band]]
            values = np.concatenate(values or [np.zeros(1)])
            top, panels, image = parts.scale_of(values), [], None
            for line, (name, rows) in enumerate(maps.items()):
                for column, candidate in enumerate(candidates[band]):
                    panels.append(axes := figure.add_subplot(cells[band * lines + line, 1 + column]))
                    if rows is None:
                        parts.show(axes, candidate)
                    else:
                        image = parts.heat_map(axes, candidate, rows[band][column], top)
                    axes.set_ylabel("" if column else name, fontweight="bold")
            if image is not None:
                parts.colour_bar(figure, image, panels, "attention accumulated on a pixel", values)
        figure.suptitle(title or "")
    return figure


def local_features(picture: Image.Image, features: Locals, labels=None) -> Figure:
    """Selected local features of a picture as circles: by scale and norm, and, with ``labels`` (N,), by cluster (Figure 6).

    A circle is as large as its cell in the picture, the thicker the larger
    the norm. Clusters have a colour and, at their largest norm, a number.
    """
    if labels is not None and len(labels) != len(features):
        raise InputError(f"{len(labels)} labels don't fit {len(features)} local features: give one for each.")
    scale, norm, positions, cells = (a.cpu().numpy() for a in (features.scale, features.norm, features.positions, features.cell))
    scales, by_scale = np.unique(scale, return_inverse=True)
    panels = {"by scale and norm": by_scale} | ({} if labels is None else {"by cluster": np.array([int(k) for k in labels])})
    widths, number = 0.4 + 1.4 * norm / (norm.max() or 1.0), {"ha": "center", "va": "center"}
    with canvas(2.5 * parts.tall(picture) + 0.5, 0.3 + 2.7 * len(panels)) as figure:
        first, *others = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, (name, groups) in zip((first, *others), panels.items(), strict=True):
            parts.show(axes, picture, alpha=0.75)
            colours = [COLOURS[group % len(COLOURS)] for group in groups]
            for at, cell, width, colour in zip(positions, cells, widths, colours, strict=True):
                axes.add_patch(Circle(at, cell.min() / 2, fill=False, edgecolor=colour, linewidth=width))
            for i in np.unique(groups, return_index=True)[1] if axes in others else ():
                style = {"color": colours[i], "weight": "bold", "path_effects": parts.HALO}
                axes.text(*positions[i], str(groups[i]), **style, **number)
            axes.set_title(f"{len(features)} local features {name}")
        for i, scale in enumerate(scales):
            first.plot([], [], "o", mfc="none", mec=COLOURS[i % len(COLOURS)], label=f"scale {scale:.2g}")
        first.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, 0), ncols=3)
    return figure
