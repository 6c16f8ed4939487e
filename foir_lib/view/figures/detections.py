"""What a detector says of a picture, and where a vector looks on the crops around its objects."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from foir_lib.detections import Detections
from foir_lib.errors import InputError
from foir_lib.methods.refinement import soft_iou
from foir_lib.view.figures import parts
from foir_lib.view.figures.looks import ORANGE, WIDTH, canvas

ACROSS = 3  # pictures in a row
MOST = 10  # crops in a row


def detections(picture: Image.Image, ways: Mapping[str, Detections], title: str | None = None) -> Figure:
    """A picture once for each of ``ways`` (name -> what it detects), with its boxes and the edges of its masks.

    Raises InputError without any.
    """
    if not ways:
        raise InputError("No detections make no figure: give one at least.")
    across = min(ACROSS, len(ways))
    down = -(-len(ways) // across)
    with canvas(down * (WIDTH / across * parts.tall(picture) + 0.25)) as figure:
        for axes, (name, objects) in zip(figure.subplots(down, across, squeeze=False).ravel(), ways.items()):
            parts.show(axes, picture, 2 * parts.THUMB)
            for x0, y0, x1, y1 in objects.boxes.tolist():
                axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=ORANGE, linewidth=1))
            for mask in [] if objects.masks is None else objects.masks:
                axes.contour(mask, levels=[0.5], colors="white", linewidths=0.7)
            axes.set_title(f"{name}: {len(objects)} objects")
        for axes in figure.axes[len(ways) :]:
            axes.axis("off")
        parts.words(figure, title)
    return figure


def crop_maps(
    crops: Sequence[Image.Image], maps: Mapping[str, Float[np.ndarray, "n N"]], shares: Float[np.ndarray, "n N"],
    grid: tuple[int, int], title: str | None = None, most: int = MOST,
) -> Figure:  # fmt: skip
    """The first ``most`` crops, and below them a line for each of ``maps`` (name -> maps in [0, 1]) with the masks' edges and soft IoU.

    ``shares``: of each patch inside the object's mask; the edge is drawn around patches that it covers by half. Raises InputError
    without crops or maps, and where their numbers differ.
    """
    n = min(len(crops), most)
    lines = {name: parts.checked(values, 2, grid, name) for name, values in maps.items()}
    shares = parts.checked(shares, 2, grid, "shares")
    if not n or not lines or any(len(values) != len(crops) for values in (*lines.values(), shares)):
        raise InputError(f"{len(crops)} crops, {len(shares)} masks and {len(lines)} lines of maps make no figure: give as many of each.")
    side = min(1.6, WIDTH / n)
    with canvas((len(lines) + 1) * (side + 0.2) + 0.4, max(n * side, WIDTH / 2)) as figure:
        rows = figure.subplots(len(lines) + 1, n, squeeze=False)
        for axes, crop in zip(rows[0], crops):
            parts.show(axes, crop)
        for row, (name, values) in zip(rows[1:], lines.items()):
            for axes, crop, heat, covered, agreement in zip(row, crops, values, shares, soft_iou(*map(torch.from_numpy, (values, shares)))):
                image = parts.heat_map(axes, crop, heat.reshape(grid), 1.0)
                parts.outline(axes, covered.reshape(grid) >= 0.5, crop.size)
                axes.set_title(f"IoU {agreement:.2f}")
            row[0].set_ylabel(name)
        parts.colour_bar(figure, image, rows[1:].ravel().tolist(), "LeGrad (1: the strongest patch)")
        parts.words(figure, title)
    return figure
